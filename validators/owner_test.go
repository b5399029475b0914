package validators

import (
	"context"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

const operator = "system:serviceaccount:operators:redis-operator"

func ownedBy(apiVersion, kind, name string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: "o", Controller: new(true)}}
}

func foreignOwner() []metav1.OwnerReference {
	return ownedBy("redis.example.com/v1", "RedisCluster", "r")
}

// always reports the same about every StatefulSet, whatever happens to it.
func always(r Rule) *Rule {
	said := func(p *Pass) { p.Report(field.Forbidden(namePath, "cannot be"), "mend it") }
	r.Checks = []Check{
		On(func(p *Pass, _ *appsv1.StatefulSet) error { said(p); return nil }),
		OnDelete(func(p *Pass, _ *appsv1.StatefulSet) error { said(p); return nil }),
	}
	return &r
}

// TestOwnerPolicy holds what an operator owns, and what it does not, to the policy.
func TestOwnerPolicy(t *testing.T) {
	rules := []*Rule{
		always(Rule{Name: "plain", Level: Deny}), always(Rule{Name: "saves", Level: Deny, SavesData: true}),
		always(Rule{Name: "style", Level: Warn, Style: true}),
		always(Rule{Name: "companion", Level: Warn, Companion: true, Style: true}),
	}
	owned := func(by []metav1.OwnerReference) *appsv1.StatefulSet {
		s := sts(3)
		s.OwnerReferences = by
		return s
	}
	type said map[string]string // levels by rule
	everything := said{"plain": "deny", "saves": "deny", "style": "warn", "companion": "warn"}
	for name, tc := range map[string]struct {
		user string
		by   []metav1.OwnerReference
		// What is said when it is created, updated and deleted.
		created, updated, deleted said
	}{
		"nobody's": {operator, nil, everything, everything, everything},
		"a Pod's, which an operator has control it, by a service account": {operator, ownedBy("v1", "Pod", "leader-0"),
			said{"plain": "warn", "saves": "deny", "style": "warn"},
			said{"plain": "warn", "saves": "deny", "companion": "warn"},
			said{"plain": "warn", "saves": "deny", "style": "warn", "companion": "warn"}},
		"an operator's, by a service account": {operator, foreignOwner(),
			said{"plain": "warn", "saves": "deny", "style": "warn"},
			said{"plain": "warn", "saves": "deny", "companion": "warn"},
			said{"plain": "warn", "saves": "deny", "style": "warn", "companion": "warn"}},
		"an operator's, by a person: an owner can be forged": {"jane", foreignOwner(),
			said{"plain": "deny", "saves": "deny", "style": "warn"},
			said{"plain": "deny", "saves": "deny", "companion": "warn"}, everything},
		"an operator's, in audit": {"", foreignOwner(),
			said{"plain": "warn", "saves": "deny", "style": "warn", "companion": "warn"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			obj := owned(tc.by)
			for _, event := range []struct {
				name     string
				old, obj cluster.Object
				want     said
			}{{"created", nil, obj, tc.created}, {"updated", sts(1), obj, tc.updated}, {"deleted", obj, nil, tc.deleted}} {
				if event.want == nil {
					continue
				}
				if event.name == "updated" {
					rules = []*Rule{unratcheted(rules[0]), unratcheted(rules[1]), rules[2], rules[3]}
				}
				got := reviewed(t, &Policy{Rules: rules}, user(tc.user), event.old, event.obj)
				levels := said{}
				for i, f := range got.Findings {
					levels[f.Rule.Name] = f.Level.String()
					if i > 0 && f.Level > got.Findings[i-1].Level {
						t.Errorf("%s: %v is graver than the one before", event.name, f)
					}
					if tc.by == nil && strings.Contains(f.String(), "through") ||
						tc.by != nil && f.Level != Deny && !strings.Contains(f.String(),
							"mend it, through "+tc.by[0].Kind+" "+tc.by[0].Name) {
						t.Errorf("%s: %v", event.name, f)
					}
				}
				for rule := range everything {
					if levels[rule] != event.want[rule] {
						t.Errorf("%s: %s says %q, want %q", event.name, rule, levels[rule], event.want[rule])
					}
				}
			}
		})
	}
}

// unratcheted returns a rule that denies what the old object had already.
func unratcheted(r *Rule) *Rule {
	c := *r
	c.Checks = []Check{
		OnCreate(func(p *Pass, _ *appsv1.StatefulSet) error {
			p.Report(field.Forbidden(namePath, "cannot be"), "mend it")
			return nil
		}),
		OnUpdate(func(p *Pass, _, _ *appsv1.StatefulSet) error {
			p.Report(field.Forbidden(namePath, "cannot be"), "mend it")
			return nil
		}),
		OnDelete(func(p *Pass, _ *appsv1.StatefulSet) error {
			p.Report(field.Forbidden(namePath, "cannot be"), "mend it")
			return nil
		}),
	}
	return &c
}

func reviewed(t *testing.T, p *Policy, req cluster.Request, old, obj cluster.Object) Verdict {
	t.Helper()
	snap := &cluster.Snapshot{Complete: true}
	if err := snap.Add(prod(nil)); err != nil {
		t.Fatal(err)
	}
	got, err := p.Review(cluster.Environment{Source: snap}.View(context.Background(), req), old, obj)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestOwnerOfUndecided has a rule that cannot look: it stops an operator only
// where data is at stake.
func TestOwnerOfUndecided(t *testing.T) {
	obj := sts(3)
	obj.OwnerReferences = foreignOwner()
	for saves, want := range map[bool]Level{false: Warn, true: Deny} {
		r := &Rule{Name: "blind", Level: Deny, SavesData: saves,
			Checks: []Check{On(func(*Pass, *appsv1.StatefulSet) error { return errBroken })}}
		got := reviewed(t, &Policy{Rules: []*Rule{r}}, user(operator), nil, obj)
		if len(got.Undecided) != 1 || got.Undecided[0].Rule.Level != want {
			t.Errorf("saves data %t: %v, want it to count as %s", saves, got.Undecided, want)
		}
	}
}

// TestWayThrough refuses a service account all that the testdata of the rules
// has denied, takes the entry that it is told of into the policy, and asks again:
// it lets that through, for nobody else, nowhere else, and no other kind.
func TestWayThrough(t *testing.T) {
	denied := map[string]int{}
	for _, r := range All {
		for _, s := range steps(t, r) {
			s.Request.User.Username = operator
			policy := Policy{Rules: []*Rule{r}}
			review := func(p Policy, user string) Verdict {
				t.Helper()
				s.Request.User.Username = user
				world := cluster.Environment{Source: s.snapshot, Retain: s.Retain, Kubernetes: s.Kubernetes}
				got, err := p.Review(world.View(context.Background(), s.Request), s.Old, s.Obj)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			refused := review(policy, operator)
			if !refused.Denied() {
				continue
			}
			obj := subject(s.Old, s.Obj)
			let, others := policy, policy
			var entry string
			if s.Obj == nil {
				c := CallerFor(operator, obj)
				entry = "deletions: {callers: [" + c.YAML() + "]}"
				let.DeletionCallers = []Caller{c}
				others.DeletionCallers = []Caller{
					{User: operator, Namespace: "elsewhere", Kind: c.Kind}, {User: operator, Namespace: c.Namespace, Kind: "Secret"},
				}
				global := c.Kind == "PersistentVolume" || c.Kind == "CustomResourceDefinition" // of no namespace
				if c.Namespace == "" && !global || c.Kind == "" {
					t.Errorf("%s:%d: wider than it need be: %s", s.File, s.Line(""), c.YAML())
				}
			} else {
				e := ExemptionFor(r.Name, operator, obj)
				entry = "exemptions: [" + e.YAML() + "]"
				let.Exemptions = []Exemption{e}
				other, elsewhere, kind := e, e, e
				other.Rule, elsewhere.Namespace, kind.Kind = "other", "elsewhere", "Secret"
				others.Exemptions = []Exemption{other, elsewhere, kind}
				if obj.GetName() != "" && e.Namespace == "" && e.Name == "" {
					t.Errorf("%s:%d: wider than it need be: %s", s.File, s.Line(""), e.YAML())
				}
			}
			denied[r.Name]++
			foretold := policy
			foretold.Mode = ModeWarn
			checkForetold(t, ways(review(foretold, operator)), r.Name+": under enforce, a platform engineer must add "+entry)
			foretold.DeletionCallers, foretold.Exemptions = let.DeletionCallers, let.Exemptions
			if notes := slices.Concat(ways(review(foretold, operator)), ways(review(foretold, "jane"))); len(notes) > 0 {
				t.Errorf("%s:%d: told to whom it is nothing: %q", s.File, s.Line(""), notes)
			}
			for _, f := range refused.Findings {
				if f.Level != Deny {
					continue
				}
				short := f.Short(denialRunes)
				if !strings.Contains(short, "a platform engineer must add "+entry) {
					t.Errorf("%s:%d: %s\n\tis missing in %s", s.File, s.Line(""), entry, short)
				}
				if n := utf8.RuneCountInString(short); n > denialRunes {
					t.Errorf("%s:%d: %d runes: %s", s.File, s.Line(""), n, short)
				}
				for _, volume := range f.Loses {
					if !strings.Contains(short, volume) {
						t.Errorf("%s:%d: the disk of %s is missing in %s", s.File, s.Line(""), volume, short)
					}
				}
				if r.SavesData != strings.Contains(short, "which lets go ") {
					t.Errorf("%s:%d: what it costs: %s", s.File, s.Line(""), short)
				}
			}
			if again := review(let, operator); again.Denied() {
				t.Errorf("%s:%d: %s does not let it through: %v", s.File, s.Line(""), entry, again.Findings)
			}
			for _, somebody := range []string{operator + "-2", "system:serviceaccount:other:redis-operator", "jane"} {
				if again := review(let, somebody); !again.Denied() {
					t.Errorf("%s:%d: %s lets %s through, too", s.File, s.Line(""), entry, somebody)
				}
			}
			if again := review(others, operator); !again.Denied() {
				t.Errorf("%s:%d: what is for others lets it through", s.File, s.Line(""))
			}
		}
	}
	for _, r := range All {
		// A provisioner may write the volume of a claim that has just gone: people alone are denied.
		if r.Level == Deny && denied[r.Name] == 0 && r != volumeStaleClaim {
			t.Errorf("no service account is ever denied by %s", r.Name)
		}
	}
}

// ways returns the notes of a verdict that name a way through.
func ways(v Verdict) (notes []string) {
	for _, note := range v.Notes {
		if note.Of == "" {
			notes = append(notes, note.String())
		}
	}
	return notes
}

// checkForetold has notes name an entry, each in a warning.
func checkForetold(t *testing.T, notes []string, entry string) {
	t.Helper()
	if len(notes) == 0 {
		t.Errorf("nothing is said of %s", entry)
	}
	for _, note := range notes {
		if !strings.HasPrefix(note, entry) || utf8.RuneCountInString(note) > warningRunes {
			t.Errorf("%d runes: %s\n\twant %s", utf8.RuneCountInString(note), note, entry)
		}
	}
}

// TestWayThroughInLittleRoom has names as long as they come: the owner and the
// entry are the last to go.
func TestWayThroughInLittleRoom(t *testing.T) {
	long := strings.Repeat("n", 63)
	obj := sts(3)
	obj.OwnerReferences = ownedBy("redis.example.com/v1", "RedisCluster", long)
	r := always(Rule{Name: "saves", Level: Deny, SavesData: true})
	deletion := reviewed(t, &Policy{Rules: []*Rule{r}}, user("system:serviceaccount:"+long+":"+long), obj, nil).Findings[0]
	if short := deletion.Short(300); !strings.Contains(short,
		"{user: \"system:serviceaccount:"+long+":"+long+`", namespace: prod, kind: StatefulSet}`) {
		t.Errorf("the entry is missing in %s", short)
	}
	for rule, want := range map[string]int{"saves": 1, strings.Repeat("r", 90): 0} {
		r.Name = rule
		notes := reviewed(t, &Policy{Rules: []*Rule{r}, Mode: ModeWarn},
			user("system:serviceaccount:"+long[:40]+":"+long[:40]), obj, nil).Notes
		if len(notes) != want || want > 0 && !strings.HasSuffix(notes[0].Text, "kind: StatefulSet}]}") {
			t.Errorf("%s: %q", rule, notes)
		}
	}
	warning := reviewed(t, &Policy{Rules: []*Rule{always(Rule{Name: "style", Level: Warn})}}, user(operator), nil,
		obj).Findings[0]
	warning.Remedy = Remedy{strings.Repeat("x", 200) + warning.Remedy.String()}
	if short := warning.Short(warningRunes); !strings.HasSuffix(short,
		"fix: stayput rules style, through RedisCluster "+long) {
		t.Errorf("the owner is missing in %s", short)
	}
	if short := warning.Short(140); !strings.HasSuffix(short, "fix: through RedisCluster "+long) {
		t.Errorf("the owner is missing in %s", short)
	}
}

// TestOperatorsAreSparedByTheAPIServersWord has a cache that says what was: only
// the volume as it is now spares an operator a denial.
func TestOperatorsAreSparedByTheAPIServersWord(t *testing.T) {
	set, claim := sts(1), &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "data-db-0",
		UID: "1"}}
	set.OwnerReferences = foreignOwner()
	set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
	claim.Spec.VolumeName = "disk"
	ref := &corev1.ObjectReference{Namespace: "prod", Name: "data-db-0", UID: "1"}
	volume := func(policy corev1.PersistentVolumeReclaimPolicy, deleted *metav1.Time) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "disk", DeletionTimestamp: deleted},
			Spec: corev1.PersistentVolumeSpec{PersistentVolumeReclaimPolicy: policy, ClaimRef: ref}}
	}
	retained, doomed := volume(corev1.PersistentVolumeReclaimRetain, nil),
		volume(corev1.PersistentVolumeReclaimDelete, nil)
	now := metav1.Now()
	world := func(pv *corev1.PersistentVolume) *cluster.Snapshot {
		snap := &cluster.Snapshot{Complete: true}
		if err := snap.Add(prod(nil), set, pv); err != nil {
			t.Fatal(err)
		}
		return snap
	}
	for name, tc := range map[string]struct {
		cached, live *corev1.PersistentVolume
		by           string
		want         bool // denied
	}{
		"retained":                        {retained, retained, operator, false},
		"since a moment ago":              {doomed, retained, operator, false},
		"not any more":                    {retained, doomed, operator, true},
		"but being deleted":               {retained, volume(corev1.PersistentVolumeReclaimRetain, &now), operator, true},
		"a person forged the owner":       {retained, retained, "jane", true},
		"another account has its own way": {retained, retained, "system:serviceaccount:argocd:sync", false},
	} {
		t.Run(name, func(t *testing.T) {
			v := cluster.Environment{Source: world(tc.cached), Live: world(tc.live)}.View(context.Background(), user(tc.by))
			got, err := (&Policy{Rules: []*Rule{claimInUse}}).Review(v, claim, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Findings) == 0 || len(got.Undecided) > 0 || got.Denied() != tc.want {
				t.Errorf("%v %v, want it denied: %t", got.Findings, got.Undecided, tc.want)
			}
		})
	}
	v := cluster.Environment{Source: world(retained), Live: broken{}}.View(context.Background(), user(operator))
	if _, undecided := Review(v, []*Rule{claimInUse}, claim, nil); len(undecided) != 1 {
		t.Errorf("%v: want undecided where the API server cannot be asked", undecided)
	}
}

// TestOwnerOfFieldFixed has an operator change what cannot change: it is told through
// whom, however little room there is, and also where nothing is to be made anew.
func TestOwnerOfFieldFixed(t *testing.T) {
	old := sts(3)
	old.OwnerReferences = foreignOwner()
	template := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}}
	template.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
	old.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{template}
	obj := old.DeepCopy()
	obj.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("20Gi")
	got := reviewed(t, &Policy{Rules: []*Rule{fieldFixed}}, user(operator), old, obj).Findings
	if len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	const keep = `; fix: keep "10Gi", through RedisCluster r`
	if text := got[0].String(); !strings.HasSuffix(text, ", through RedisCluster r") ||
		!strings.Contains(text, "patch pvc") {
		t.Errorf("the recipe is %s", text)
	}
	if text := got[0].Short(200); !strings.HasSuffix(text, keep) {
		t.Errorf("in little room it is %s, want %q", text, keep)
	}
	if text := got[0].InPlace().String(); !strings.HasSuffix(text, keep) {
		t.Errorf("in place it is %s, want %q", text, keep)
	}
}

// TestOperatorComesBack has a StatefulSet made beside a claim that is there: an
// operator is told of one that differs from its template alone, and anybody else of
// each.
func TestOperatorComesBack(t *testing.T) {
	for _, tc := range []struct {
		owned bool
		size  string
		found int
	}{{true, "10Gi", 0}, {true, "5Gi", 1}, {false, "10Gi", 1}} {
		set := sts(1)
		if tc.owned {
			set.OwnerReferences = foreignOwner()
		}
		template := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}}
		template.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
		set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{template}
		claim := template.DeepCopy()
		claim.Namespace, claim.Name, claim.Labels = set.Namespace, "data-"+set.Name+"-0", set.Spec.Template.Labels
		claim.CreationTimestamp = metav1.Now()
		claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(tc.size)
		snap := &cluster.Snapshot{Complete: true}
		if err := snap.Add(claim); err != nil {
			t.Fatal(err)
		}
		req := user(operator)
		got, undecided := Review(cluster.Environment{Source: snap, Finder: snap}.View(t.Context(), req),
			[]*Rule{statefulsetScaleUp}, nil, set)
		if len(undecided) > 0 || len(got) != tc.found {
			t.Errorf("%+v: %v %v", tc, got, undecided)
		}
	}
}
