package validators

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
)

// TestRules replays testdata/<rule>.yaml through each rule and compares what it
// finds with the "# want" comments, line by line.
func TestRules(t *testing.T) {
	for _, r := range All {
		t.Run(r.Name, func(t *testing.T) { replay(t, r, false) })
	}
}

// TestRulesOverCaches does so over what the webhook's caches hold, by their
// indexes. A request to
// scale is about a workload that comes from there, too.
func TestRulesOverCaches(t *testing.T) {
	for _, r := range All {
		t.Run(r.Name, func(t *testing.T) { replay(t, r, true) })
	}
}

func replay(t *testing.T, r *Rule, cached bool) {
	if r.Level == Off {
		raised := *r // as one who wants the rule must configure it
		raised.Level = Warn
		r = &raised
	}
	data, err := clustertest.Load(filepath.Join("testdata", r.Name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if data.Wants() == 0 {
		t.Errorf("%s: no # want: the rule never fires", data.File)
	}
	whole, err := data.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	source := cluster.Reader(whole)
	if cached {
		if source, err = data.Cached(); err != nil {
			t.Fatal(err)
		}
	}
	spy, live := clustertest.NewSpy(source), clustertest.NewSpy(whole)
	asked := 0
	for _, s := range data.Steps {
		before := s.DeepCopyObject()
		world := cluster.Environment{Source: spy, Retain: s.Retain, Manifests: s.Manifests,
			Kubernetes: versionsAsked{s.Kubernetes, &asked}}
		if cached {
			world.Finder, world.Live = spy, live
		}
		view := world.View(context.Background(), s.Request)
		findings, undecided := Review(view, []*Rule{r}, s.Old, s.Obj)
		for _, u := range undecided {
			t.Errorf("%s:%d: undecided: %v", s.File, s.Line(""), u)
		}
		for _, f := range findings {
			if line := s.Line(f.Field); !data.Take(line, f.Level.String(), f.String()) {
				t.Errorf("%s:%d: unexpected: %s: %v", s.File, line, f.Level, f)
			}
		}
		if diff := cmp.Diff(before, runtime.Object(s.Object)); diff != "" {
			t.Errorf("%s:%d: the rule edited what it looked at:\n%s", s.File, s.Line(""), diff)
		}
	}
	for _, left := range data.Left() {
		t.Error(left)
	}
	if asked > 0 && len(r.Versions) == 0 {
		t.Error("it asks for the version of Kubernetes, and has no Versions")
	}
	declared := map[string]bool{}
	for _, o := range slices.Concat(r.Reads, r.adopts()) {
		declared[fmt.Sprintf("%T", o)] = true
	}
	maps.Copy(spy.Kinds, live.Kinds)
	if diff := cmp.Diff(declared, spy.Kinds); diff != "" {
		t.Errorf("Reads (-declared +read):\n%s", diff)
	}
}

// versionsAsked counts how often reviews ask for the version.
type versionsAsked struct {
	are cluster.Versions
	n   *int
}

func (v versionsAsked) Versions() cluster.Versions {
	*v.n++
	return v.are
}

// TestAllIsComplete parses the package: every rule is listed, in order, in a
// file of its name, with testdata of its name.
func TestAllIsComplete(t *testing.T) {
	declared, err := clustertest.Declared("Rule")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range slices.Concat(All, OfManifests) {
		names = append(names, r.Name)
		if file := strings.ReplaceAll(r.Name, "-", "_") + ".go"; declared[file] != r.Name {
			t.Errorf("rule %s is not in %s", r.Name, file)
		}
		checkDoc(t, r)
	}
	if n := len(All); !slices.IsSorted(names[:n]) || !slices.IsSorted(names[n:]) {
		t.Errorf("All or OfManifests is not sorted: %q", names)
	}
	for _, name := range slices.Sorted(maps.Values(declared)) {
		if !slices.Contains(names, name) {
			t.Errorf("rule %s is not in All", name)
		}
	}
	testdata, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range testdata {
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); !slices.Contains(names, name) {
			t.Errorf("%s is the testdata of no rule", file)
		}
	}
}

// version is a version of Kubernetes.
var version = regexp.MustCompile(`\b1\.[234]\d\b`)

func checkDoc(t *testing.T, r *Rule) {
	title, rest, _ := strings.Cut(r.Doc, "\n\n")
	if title == "" || strings.HasSuffix(title, ".") || strings.Contains(title, "\n") || rest == "" {
		t.Errorf("%s: Doc needs a title of one line without a full stop, an empty line, and the reasons", r.Name)
	}
	if n := len(r.Exempt); n < 30 || n > 120 || strings.HasSuffix(r.Exempt, ".") || strings.Contains(r.Exempt, "\n") {
		t.Errorf("%s: Exempt needs a clause, which says when it is right to exempt an object: %q", r.Name, r.Exempt)
	}
	if !slices.Contains(Losses, r.Loses) {
		t.Errorf("%s: Loses must say what is lost: one of %v", r.Name, Losses)
	}
	if r.SavesData && r.Loses != LosesData {
		t.Errorf("%s saves data, and loses %s", r.Name, r.Loses)
	}
	if version.MatchString(r.Doc) {
		t.Errorf("%s: what a version of Kubernetes decides belongs in Versions", r.Name)
	}
	for _, other := range All {
		if other != r && other.Exempt == r.Exempt {
			t.Errorf("%s: Exempt says what that of %s says", r.Name, other.Name)
		}
	}
	if r.Level == Off && len(r.Checks) == 0 {
		t.Errorf("%s: no checks", r.Name)
	}
}
