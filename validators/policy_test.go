package validators

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// theRule denies a replica count over 1, on every event.
var theRule = &Rule{
	Name:  "the-rule",
	Level: Deny,
	Checks: []Check{
		On(func(p *Pass, sts *appsv1.StatefulSet) error {
			if replicasOf(sts.Spec.Replicas) > 1 {
				p.Report(field.Invalid(field.NewPath("spec", "replicas"), *sts.Spec.Replicas, "must be 1"), "kubectl scale")
			}
			return nil
		}),
		OnDelete(func(p *Pass, sts *appsv1.StatefulSet) error {
			p.Report(field.Forbidden(field.NewPath("metadata", "name"), "cannot be deleted"), "leave it")
			return nil
		}),
	},
}

func sts(replicas int32, annotations ...string) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "db"}}
	s.Spec.Replicas = &replicas
	for i := 0; i < len(annotations); i += 2 {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, annotations[i], annotations[i+1])
	}
	return s
}

func prod(edit func(ns *corev1.Namespace)) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "prod", Labels: map[string]string{},
		Annotations: map[string]string{}}}
	if edit != nil {
		edit(ns)
	}
	return ns
}

func user(name string, groups ...string) cluster.Request {
	var r cluster.Request
	r.User.Username, r.User.Groups = name, groups
	return r
}

func TestPolicyReview(t *testing.T) {
	const exempt = cluster.ExemptPrefix + "the-rule"
	deleted := sts(3)
	deleted.DeletionTimestamp = new(metav1.Now())
	for name, tc := range map[string]struct {
		policy   Policy
		ns       func(ns *corev1.Namespace)
		req      cluster.Request
		old, obj cluster.Object
		want     string // the levels of the findings
		exempted int
		notes    string
	}{
		"a finding denies":       {obj: sts(3), want: "deny"},
		"nothing is found":       {obj: sts(1)},
		"mode warn lowers it":    {policy: Policy{Mode: ModeWarn}, obj: sts(3), want: "warn"},
		"mode off finds nothing": {policy: Policy{Mode: ModeOff}, obj: sts(3)},
		"a namespace may choose an allowed mode": {policy: Policy{AllowedModes: []Mode{ModeWarn}},
			ns: labelled(cluster.LabelMode, "warn"), obj: sts(3), want: "warn"},
		"but no other": {policy: Policy{AllowedModes: []Mode{ModeWarn}},
			ns: labelled(cluster.LabelMode, "off"), obj: sts(3), want: "deny"},
		"nor what is no mode": {policy: Policy{AllowedModes: []Mode{ModeWarn}},
			ns: labelled(cluster.LabelMode, ""), obj: sts(3), want: "deny"},
		"an object is exempt for a reason":       {obj: sts(3, exempt, "drill"), exempted: 1},
		"but not without one":                    {obj: sts(3, exempt, " "), want: "deny", notes: "without a reason"},
		"a namespace exempts its objects":        {ns: annotated(exempt, "drill"), obj: sts(3), exempted: 1},
		"another rule's exemption has no effect": {obj: sts(3, cluster.ExemptPrefix+"other", "drill"), want: "deny"},
		"exemptions may be forbidden": {policy: Policy{ForbidExemptions: []string{"the-rule"}},
			obj: sts(3, exempt, "drill"), want: "deny", notes: "forbids"},
		"the configuration exempts by pattern": {policy: Policy{Exemptions: []Exemption{{Rule: "the-*", Namespace: "pr*",
			Kind: "StatefulSet", Name: "d?", User: "ann*", Reason: "x"}}}, req: user("anna"), obj: sts(3), exempted: 1},
		"unless the user is another": {policy: Policy{Exemptions: []Exemption{{Rule: "the-rule", User: "anna",
			Reason: "x"}}}, req: user("bob"), obj: sts(3), want: "deny"},
		"even where annotations are forbidden": {policy: Policy{ForbidExemptions: []string{"the-rule"},
			Exemptions: []Exemption{{Rule: "the-rule", Reason: "x"}}}, obj: sts(3), exempted: 1},
		"an update warns of what was there":      {old: sts(2), obj: sts(3), want: "warn"},
		"and denies what was not":                {old: sts(1), obj: sts(3), want: "deny"},
		"a deletion denies":                      {old: sts(1), want: "deny"},
		"but not twice":                          {old: deleted},
		"nor an update of what is being deleted": {old: deleted, obj: sts(3)},
		"nor the garbage collector's": {req: user("system:serviceaccount:kube-system:generic-garbage-collector"),
			old: sts(1)},
		"nor the controller manager's": {req: user("system:kube-controller-manager"), old: sts(1)},
		"nor a kubelet's":              {req: user("system:node:n1", cluster.NodesGroup), old: sts(1)},
		"another account of kube-system is denied": {req: user("system:serviceaccount:kube-system:default"), old: sts(1),
			want: "deny"},
		"so is a like-named one elsewhere": {req: user("system:serviceaccount:prod:generic-garbage-collector"),
			old: sts(1), want: "deny"},
		"what a controller creates only warns": {req: user("system:serviceaccount:kube-system:statefulset-controller"),
			obj: sts(3), want: "warn"},
		"configured callers are only warned": {
			policy: Policy{DeletionCallers: []Caller{{User: "system:serviceaccount:argocd:*"}}},
			req:    user("system:serviceaccount:argocd:sync"), old: sts(1), want: "warn"},
		"of deletions only": {policy: Policy{DeletionCallers: []Caller{{User: "argo"}}},
			req: user("argo"), obj: sts(3), want: "deny"},
		"nothing in a terminating namespace": {ns: func(ns *corev1.Namespace) {
			ns.Status.Phase = corev1.NamespaceTerminating
		}, old: sts(1)},
	} {
		t.Run(name, func(t *testing.T) {
			tc.policy.Rules = []*Rule{theRule}
			snap := &cluster.Snapshot{Complete: true}
			if err := snap.Add(prod(tc.ns)); err != nil {
				t.Fatal(err)
			}
			v := cluster.Environment{Source: snap}.View(context.Background(), tc.req)
			got, err := tc.policy.Review(v, tc.old, tc.obj)
			if err != nil {
				t.Fatal(err)
			}
			var levels []string
			for _, f := range got.Findings {
				levels = append(levels, f.Level.String())
			}
			if s := strings.Join(levels, " "); s != tc.want {
				t.Errorf("findings: %q, want %q", s, tc.want)
			}
			if len(got.Exempted) != tc.exempted {
				t.Errorf("%d exempted, want %d", len(got.Exempted), tc.exempted)
			}
			if s := fmt.Sprint(got.Notes); (len(got.Notes) == 0) != (tc.notes == "") || !strings.Contains(s, tc.notes) {
				t.Errorf("notes: %q, want %q", s, tc.notes)
			}
		})
	}
}

func labelled(key, value string) func(*corev1.Namespace) {
	return func(ns *corev1.Namespace) { ns.Labels[key] = value }
}

func annotated(key, value string) func(*corev1.Namespace) {
	return func(ns *corev1.Namespace) { ns.Annotations[key] = value }
}

// broken answers every lookup with an error.
type broken struct{}

var errBroken = errors.New("broken")

func (broken) Get(context.Context, types.NamespacedName, cluster.Object) error {
	return errBroken
}
func (broken) List(context.Context, cluster.ObjectList, cluster.Selection) error { return errBroken }

func TestAModeThatCannotBeReadIsNoAnswer(t *testing.T) {
	v := cluster.Environment{Source: broken{}}.View(context.Background(), cluster.Request{})
	p := &Policy{Rules: []*Rule{theRule}}
	if _, err := p.Review(v, nil, sts(3)); !errors.Is(err, errBroken) {
		t.Errorf("Review: %v, want %v", err, errBroken)
	}
}

// TestDenialIsAskedAgain has a cache that says what was, and an API server
// that says what is.
func TestDenialIsAskedAgain(t *testing.T) {
	stale, live := &cluster.Snapshot{Complete: true}, &cluster.Snapshot{Complete: true}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "db"}}
	svc.Spec.Selector = map[string]string{"app": "db"}
	recreated := svc.DeepCopy()
	recreated.Spec.ClusterIP = corev1.ClusterIPNone
	for _, err := range []error{stale.Add(svc, prod(nil)), live.Add(recreated, prod(nil))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	set := sts(3)
	set.Spec.ServiceName, set.Spec.Template.Labels = "db", svc.Spec.Selector
	set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
	review := func(w cluster.Environment) Verdict {
		p := &Policy{Rules: []*Rule{statefulsetServiceHeadless}}
		got, err := p.Review(w.View(context.Background(), cluster.Request{}), nil, set)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := review(cluster.Environment{Source: stale}); !got.Denied() {
		t.Errorf("not denied where the cache is the truth: %v", got.Findings)
	}
	if got := review(cluster.Environment{Source: stale, Live: live}); got.Denied() {
		t.Errorf("denied for what the API server no longer has: %v", got.Findings)
	}
	got := review(cluster.Environment{Source: stale, Live: broken{}})
	if got.Denied() || len(got.Undecided) != 1 {
		t.Errorf("findings %v, undecided %v: want undecided where the API server cannot be asked", got.Findings,
			got.Undecided)
	}
	terminating := prod(func(ns *corev1.Namespace) { ns.DeletionTimestamp = new(metav1.Now()) })
	gone := &cluster.Snapshot{Complete: true}
	if err := gone.Add(svc, terminating); err != nil {
		t.Fatal(err)
	}
	if got := review(cluster.Environment{Source: stale, Live: gone}); got.Denied() {
		t.Errorf("denied in a namespace that terminates: %v", got.Findings)
	}
}

func TestRatchetKnowsItemsByName(t *testing.T) {
	r := &Rule{Name: "no-latest", Level: Deny, Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		for _, c := range containers(&sts.Spec.Template.Spec) {
			if c.item.Image == "latest" {
				p.Report(field.Invalid(field.NewPath("spec", "template", "spec", c.field).Index(c.index).Child("image"),
					c.item.Image, "must not"), "pin it")
			}
		}
		return nil
	})}}
	old, obj := sts(1), sts(1)
	old.Spec.Template.Spec.Containers = []corev1.Container{{Name: "a", Image: "latest"}, {Name: "b", Image: "v1"}}
	obj.Spec.Template.Spec.Containers = []corev1.Container{{Name: "b", Image: "latest"}, {Name: "a", Image: "latest"}}
	found, undecided := Review(cluster.Environment{}.View(context.Background(), cluster.Request{}), []*Rule{r}, old, obj)
	if len(undecided) > 0 {
		t.Fatal(undecided)
	}
	got := map[string]Level{}
	for _, f := range found {
		got[f.Field] = f.Level
	}
	if got["spec.template.spec.containers[0].image"] != Deny || got["spec.template.spec.containers[1].image"] != Warn {
		t.Errorf("%v: want b, which is new, denied and a, which moved, warned about", got)
	}
}

// TestAVolumeBelongsWhereItsClaimLives has the mode of the claim's namespace
// decide about its volume.
func TestAVolumeBelongsWhereItsClaimLives(t *testing.T) {
	snap := &cluster.Snapshot{Complete: true}
	if err := snap.Add(prod(labelled(cluster.LabelMode, "warn"))); err != nil {
		t.Fatal(err)
	}
	v := cluster.Environment{Source: snap}.View(context.Background(), cluster.Request{})
	p := &Policy{AllowedModes: Modes()}
	pv := &corev1.PersistentVolume{}
	for _, want := range []Mode{ModeEnforce, ModeWarn} {
		if got, err := p.ModeFor(v, pv); err != nil || got != want {
			t.Errorf("%s, %v: want %s for the claim %v", got, err, want, pv.Spec.ClaimRef)
		}
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "prod", Name: "data"}
	}
}

func TestSelect(t *testing.T) {
	hint := &Rule{Name: "hint", Level: Hint}
	teardown := &Rule{Name: "teardown", Level: Warn, NeverDeny: true}
	rules := []*Rule{theRule, hint, teardown}
	for name, tc := range map[string]struct {
		levels map[string]Level
		want   string
	}{
		"a rule that is not there":       {map[string]Level{"nope": Off}, `no rule is called "nope"`},
		"a hint cannot deny":             {map[string]Level{"hint": Deny}, "the API server itself"},
		"a denial is no hint":            {map[string]Level{"the-rule": Hint}, "only for what the API server itself refuses"},
		"what never denies is not asked": {map[string]Level{"teardown": Deny}, "never denies"},
	} {
		if _, err := Select(rules, tc.levels); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	got, err := Select(rules, map[string]Level{"the-rule": Warn, "hint": Off})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Level != Warn || theRule.Level != Deny {
		t.Errorf("%v: want the-rule at warn without changing the original, hint gone", got)
	}
}

// TestShortCutsBetweenAlternatives has an alternative with the words that join
// others: only the rule knows where one ends.
func TestShortCutsBetweenAlternatives(t *testing.T) {
	f := Finding{Rule: theRule, Error: field.Invalid(field.NewPath("spec"), "v", "must not be"),
		Remedy: Remedy{"echo one, or two; or three", ", or leave it", "; or, to use it, " + strings.Repeat("x", 100), ""}}
	what, rest := f.what(), ", or: stayput rules the-rule"
	two := "echo one, or two; or three, or leave it"
	for want, limit := range map[string]int{
		f.Remedy.String():                   1000,
		two + rest:                          len(what + "; fix: " + two + rest),
		"echo one, or two; or three" + rest: len(what+"; fix: "+two+rest) - 1,
		"stayput rules the-rule":            len(what+"; fix: echo one, or two; or three"+rest) - 1,
	} {
		if got := f.Short(limit); got != what+"; fix: "+want {
			t.Errorf("%d runes: %q, want the remedy %q", limit, got, want)
		}
	}
}

func TestShortFitsAndSaysWhereTheRestIs(t *testing.T) {
	f := Finding{Rule: theRule, Error: field.Invalid(field.NewPath("spec"), "v",
		"must not\nbe \x00 "+strings.Repeat("ä", 300)), Remedy: Remedy{strings.Repeat("x", 200)}}
	for _, limit := range []int{60, 250, 500} {
		s := f.Short(limit)
		if n := len([]rune(s)); n > limit {
			t.Errorf("%d runes, want at most %d", n, limit)
		}
		if strings.ContainsAny(s, "\n\x00") {
			t.Errorf("control characters in %q", s)
		}
		if !strings.HasSuffix(s, "; fix: stayput rules the-rule") {
			t.Errorf("%q does not say where the rest is", s)
		}
	}
}
