package validators

import (
	"fmt"
	"slices"
	"strings"
)

// Keys of the annotations that the audit log keeps of a verdict. In an event of
// the log, the API server puts the name of the webhook and a slash before each.
const (
	auditMode       = "mode"       // the mode of the namespace
	AuditRules      = "rules"      // the rules that found something, as [Decision] writes them, joined by commas
	auditExemptions = "exemptions" // <rule> by <whom>: <reason>, joined by semicolons
)

// webhookDomain ends the names of Stayput's webhooks.
const webhookDomain = ".stayput.dev"

// A Decision is the level at which a rule found something in a request.
type Decision struct {
	Rule  string // its name
	Level Level
}

// String returns <rule>=<level>.
func (d Decision) String() string { return d.Rule + "=" + d.Level.String() }

// AuditAnnotations returns what the audit log keeps of a verdict, by key; nil
// if the verdict is empty. [Audited] reads the decisions again.
func (v Verdict) AuditAnnotations() map[string]string {
	if v.Mode == "" {
		return nil
	}
	a := map[string]string{auditMode: string(v.Mode)}
	var rules, exemptions []string
	for _, f := range v.Findings {
		rules = append(rules, Decision{f.Rule.Name, f.Level}.String())
	}
	for _, e := range v.Exempted {
		exemptions = append(exemptions, fmt.Sprintf("%s by %s: %s", e.Rule.Name, e.By, e.Reason))
	}
	if len(rules) > 0 {
		a[AuditRules] = strings.Join(slices.Compact(rules), ",")
	}
	if len(exemptions) > 0 {
		a[auditExemptions] = strings.Join(slices.Compact(exemptions), "; ")
	}
	return a
}

// Audited returns the decisions that are in the annotations of an event of
// audit.k8s.io, those of one webhook in the order in which it wrote them. It
// leaves out what is none.
func Audited(annotations map[string]string) (decisions []Decision) {
	for name, value := range annotations {
		webhook, key, _ := strings.Cut(name, "/")
		if key != AuditRules || !strings.HasSuffix(webhook, webhookDomain) {
			continue
		}
		for text := range strings.SplitSeq(value, ",") {
			var d Decision
			rule, level, _ := strings.Cut(text, "=")
			if d.Level.UnmarshalText([]byte(level)) == nil {
				d.Rule = rule
				decisions = append(decisions, d)
			}
		}
	}
	return decisions
}
