package validators

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAuditedReadsWhatAVerdictWrites puts the annotations of a verdict into an
// event, as the API server does, and reads the decisions of every rule at every
// level again.
func TestAuditedReadsWhatAVerdictWrites(t *testing.T) {
	verdict := Verdict{Mode: ModeEnforce, Exempted: []Exempted{{Finding{Rule: theRule, Level: Deny}, "the object",
		"other=deny"}}}
	var want []Decision
	for _, r := range All {
		for _, level := range []Level{Hint, Warn, Deny} {
			verdict.Findings = append(verdict.Findings, Finding{Rule: r, Level: level}, Finding{Rule: r, Level: level})
			want = append(want, Decision{r.Name, level})
		}
	}
	event := map[string]string{
		"authorization.k8s.io/decision":                "allow",
		"validating.webhook.admission.k8s.io/round_0":  `{"webhook":"deletion.stayput.dev"}`,
		"policy.example.com/rules":                     "theirs=deny",
		"notstayput.dev/rules":                         "theirs=deny",
		"mutation.webhook.admission.k8s.io/rules=deny": "=deny",
		"pods.stayput.dev/rules":                       "",
		"identity.stayput.dev/rules":                   "broken,level=none",
	}
	for key, value := range verdict.AuditAnnotations() {
		event["conventions.stayput.dev/"+key] = value
	}
	if diff := cmp.Diff(want, Audited(event)); diff != "" {
		t.Errorf("decisions (-written +read):\n%s", diff)
	}
	if a := (Verdict{}).AuditAnnotations(); a != nil {
		t.Errorf("of nothing the log keeps %v", a)
	}
}
