package validators_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

// An oracle says what a rule must come to about what happens to an object in a
// world, the gravest of its findings: Off for nothing. It is written from what
// the rule is to mean, a few lines that ask nothing of the rule's own code, and
// may be as slow as it likes. Old is nil for a creation, obj for a deletion.
type oracle func(w *world, old, obj cluster.Object) validators.Level

const (
	nothing = validators.Off
	hint    = validators.Hint
	warn    = validators.Warn
	deny    = validators.Deny
)

// An Object is an object of any kind.
type Object = cluster.Object

// oracles has one for each rule.
var oracles = map[string]oracle{}

// register adds oracles; each file has some.
func register(of map[string]oracle) bool {
	for name, o := range of {
		oracles[name] = o
	}
	return true
}

// stored asks about what is created, or updated in what its rule looks at,
// created only about what is not updated, and so on.
func stored[T cluster.Object](f func(w *world, obj T) validators.Level) oracle {
	return func(w *world, old, obj cluster.Object) validators.Level {
		if o, ok := obj.(T); ok && (old == nil || !w.same) {
			return f(w, o)
		}
		return nothing
	}
}

func created[T cluster.Object](f func(w *world, obj T) validators.Level) oracle {
	return func(w *world, old, obj cluster.Object) validators.Level {
		if o, ok := obj.(T); ok && old == nil {
			return f(w, o)
		}
		return nothing
	}
}

func updated[T cluster.Object](f func(w *world, old, obj T) validators.Level) oracle {
	return func(w *world, old, obj cluster.Object) validators.Level {
		if was, ok := old.(T); ok && obj != nil {
			return f(w, was, obj.(T))
		}
		return nothing
	}
}

func deleted[T cluster.Object](f func(w *world, obj T) validators.Level) oracle {
	return func(w *world, old, obj cluster.Object) validators.Level {
		if was, ok := old.(T); ok && obj == nil {
			return f(w, was)
		}
		return nothing
	}
}

// gravest asks several.
func gravest(of ...oracle) oracle {
	return func(w *world, old, obj cluster.Object) (level validators.Level) {
		for _, o := range of {
			level = max(level, o(w, old, obj))
		}
		return level
	}
}

// warnIf is warn, or nothing.
func warnIf(found bool) validators.Level {
	if found {
		return warn
	}
	return nothing
}

// denyIf is deny, or a warning.
func denyIf(grave bool) validators.Level {
	if grave {
		return deny
	}
	return warn
}

// FuzzOracles compares every rule with its oracle, over a world made of a seed.
func FuzzOracles(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { newComparison().world(t, seed) })
}

var worlds = flag.Uint64("worlds", 0,
	"how many random worlds TestOracles shows to the rules; with STAYPUT_PROOF 100000, else 1000, and more until every "+
		"oracle has said yes and no")

// TestOracles does so for many seeds, and proves that the comparison means
// something: each oracle said yes and no, at each level that its rule has.
func TestOracles(t *testing.T) {
	c, n := newComparison(), *worlds
	switch {
	case n > 0:
	case os.Getenv("STAYPUT_PROOF") != "":
		n = 100_000
	default:
		n = 1000
	}
	shown := uint64(0)
	for shown < n || shown < 20*n && len(c.unmet()) > 0 { // what few worlds have may need more of them
		c.world(t, shown)
		shown++
	}
	for _, what := range c.unmet() {
		t.Error(what)
	}
	asked := 0
	for _, r := range validators.All {
		s := c.said[r.Name]
		for _, n := range s {
			asked += n
		}
		t.Logf("%-40s %7d nothing %6d hint %6d warn %6d deny", r.Name, s[nothing], s[hint], s[warn], s[deny])
	}
	t.Logf("%d worlds, %d questions", shown, asked)
}

// unmet says what no world has had yet: each oracle must have said yes and no, at
// each level that its rule has.
func (c *comparison) unmet() (what []string) {
	for rule := range runsSo {
		if c.ran[rule] == 0 {
			what = append(what, rule+": in no world it meets what runs so already")
		}
	}
	for _, r := range validators.All {
		s := c.said[r.Name]
		if s[nothing] == 0 || s[hint]+s[warn]+s[deny] == 0 || r.Level == deny && s[deny] == 0 {
			what = append(what, r.Name+": its oracle has never said nothing, or never a level that it may say")
		}
	}
	return what
}

// TestOraclesAreIndependent keeps the rules' code away from what judges them.
func TestOraclesAreIndependent(t *testing.T) {
	for _, r := range validators.All {
		if oracles[r.Name] == nil {
			t.Errorf("rule %s has no oracle", r.Name)
		}
	}
	for name := range oracles {
		if !slices.ContainsFunc(validators.All, func(r *validators.Rule) bool { return r.Name == name }) {
			t.Errorf("an oracle for %s, which is no rule", name)
		}
	}
	files, err := filepath.Glob("oracles_*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of oracles: %v", err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if strings.HasPrefix(i.Path.Value, `"stayput.dev/`) && i.Path.Value != `"stayput.dev/validators"` {
				t.Errorf("%s imports %s: an oracle must not ask the rules' own code", file, i.Path.Value)
			}
		}
	}
}

// A comparison counts what the oracles have said, and keeps the rules that
// disagreed: once is enough.
type comparison struct {
	said      map[string]map[validators.Level]int
	disagreed map[string]bool
	ran       map[string]int // creations that a rule let pass for what runs
}

func newComparison() *comparison {
	c := &comparison{map[string]map[validators.Level]int{}, map[string]bool{}, map[string]int{}}
	for name := range oracles {
		c.said[name] = map[validators.Level]int{}
	}
	return c
}

// world shows every rule what may happen to an object of each kind in the world
// of a seed.
func (c *comparison) world(t *testing.T, seed uint64) {
	t.Helper()
	g := newGen(seed)
	w := g.world()
	for _, create := range append(append(g.makers(), g.filed()...), g.definition) {
		obj := create()
		if all := w.ofKind(obj); len(all) > 0 && g.chance(.5) { // one that is there, with what belongs to it
			obj = one(g, all...)
		}
		obj.SetDeletionTimestamp(nil)
		g.belongings(w, obj)
		old := g.changed(obj, create())
		c.one(t, seed, w, nil, obj)
		w.put(old)
		c.one(t, seed, w, old, obj)
		c.one(t, seed, w, obj.DeepCopyObject().(cluster.Object), obj) // nothing is to be said
		w.put(obj)
		c.one(t, seed, w, nil, obj) // as audit sees it
		c.one(t, seed, w, obj, nil)
		going, free := g.freed(obj)
		c.one(t, seed, w, going, free)
	}
}

// freed returns an object that is being deleted, and what an update makes of it
// that takes some of its finalizers off.
func (g gen) freed(obj cluster.Object) (going, free cluster.Object) {
	going = obj.DeepCopyObject().(cluster.Object)
	going.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1_700_000_000, 0)})
	held := []string{"example.com/other"}
	for _, f := range []string{"pvc-protection", "pv-protection", "pv-controller"} {
		if g.chance(.6) {
			held = append(held, "kubernetes.io/"+f)
		}
	}
	if g.chance(.5) {
		held = append(held, "external-provisioner.volume.kubernetes.io/finalizer")
	}
	going.SetFinalizers(held)
	free = going.DeepCopyObject().(cluster.Object)
	free.SetFinalizers(slices.DeleteFunc(slices.Clone(held), func(string) bool { return g.chance(.6) }))
	return going, free
}

// one compares all rules with their oracles over one thing that happens.
func (c *comparison) one(t *testing.T, seed uint64, w *world, old, obj cluster.Object) {
	t.Helper()
	snap := &cluster.Snapshot{Complete: true}
	if err := snap.Add(w.objects()...); err != nil {
		t.Fatal(err)
	}
	kind, err := cluster.GVK(cmp.Or(obj, old))
	if err != nil {
		t.Fatal(err)
	}
	var req cluster.Request
	req.User.Username, req.Orphan = w.user, w.orphan
	world := cluster.Environment{Source: snap, Finder: snap, Retain: cluster.Retain(w.retain), Kubernetes: versions(w)}
	view := world.View(context.Background(), req)
	world.Manifests = true
	manifests := world.View(context.Background(), req)
	for _, r := range validators.All {
		ask := oracles[r.Name]
		if ask == nil {
			continue
		}
		rule := *r
		rule.Level = cmp.Or(r.Level, warn)
		found, undecided := validators.Review(view, []*validators.Rule{&rule}, old, obj)
		if len(undecided) > 0 {
			t.Fatalf("seed %d: %v", seed, undecided[0])
		}
		got := nothing
		for _, f := range found {
			got = max(got, f.Level)
		}
		c.remedies(t, seed, w, false, obj, found)
		if old == nil && obj != nil { // as lint sees it
			found, _ := validators.Review(manifests, []*validators.Rule{&rule}, old, obj)
			c.remedies(t, seed, w, true, obj, found)
		}
		concerned := slices.ContainsFunc(r.Checks, func(c validators.Check) bool { return c.Kind == kind })
		w.same = concerned && old != nil && obj != nil && readSame(w, r.Name, old, obj)
		want := ask(w, old, obj)
		if concerned {
			c.said[r.Name][want]++
		}
		if want == deny && old != nil && obj != nil && ask(w, nil, old) == deny {
			want = max(got, warn) // the ratchet lets pass what the old object had already
		}
		if want == deny && old == nil && obj.GetResourceVersion() == "" && lives(w, obj) &&
			(runsSo[r.Name] == nil || runsSo[r.Name](w, obj)) {
			want = warn // it would be no news to what runs
			c.ran[r.Name]++
		}
		if got != want && !c.disagreed[r.Name] {
			c.disagreed[r.Name] = true
			t.Errorf("seed %d: %s comes to %s, its oracle to %s; it says %v\n%s", seed, r.Name, got, want, found,
				describe(w, r, old, obj))
		}
	}
}

// versions returns the releases of a world's API servers.
func versions(w *world) cluster.Versions {
	version := func(r release) cluster.Version { return cluster.Version{Minor: r.minor, Patch: r.patch} }
	return cluster.Versions{Oldest: version(w.servers[0]), Newest: version(w.servers[1])}
}

// remedies holds what findings tell people to do to what the world shows.
func (c *comparison) remedies(t *testing.T, seed uint64, w *world, manifests bool, obj cluster.Object,
	found []validators.Finding) {
	t.Helper()
	for _, f := range found {
		remedy := f.Remedy.String()
		faults := append(destructive(w.objects(), manifests, remedy), misnamed(w.objects(), obj, remedy)...)
		for _, fault := range faults {
			if name := "remedy of " + f.Rule.Name; !c.disagreed[name] {
				c.disagreed[name] = true
				t.Errorf("seed %d: %s: %s", seed, fault, f)
			}
		}
	}
}

// describe writes what happened, and all that the rule might have looked up.
func describe(w *world, r *validators.Rule, old, obj cluster.Object) string {
	var b strings.Builder
	write := func(what string, o any) {
		if text, err := yaml.Marshal(o); err == nil {
			fmt.Fprintf(&b, "--- %s %T\n%s", what, o, text)
		}
	}
	fmt.Fprintf(&b, "retain %s, asked by %s, orphan %v, Kubernetes %s\n", w.retain, w.user, w.orphan, versions(w))
	if old != nil {
		write("old", old)
	}
	if obj != nil {
		write("new", obj)
	}
	for _, kind := range r.Reads {
		for _, o := range w.ofKind(kind) {
			write("in the cluster", o)
		}
	}
	return b.String()
}
