package versions

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/e2e/localcluster"
	"stayput.dev/validators"
)

func load(t *testing.T) (Known, map[string]Record) {
	t.Helper()
	known, records, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return known, records
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// One table says which Kubernetes Stayput is for: the chart, the install page, the
// workflows and the control planes that can be built follow it.
func TestEverythingFollowsTheTable(t *testing.T) {
	known, records := load(t)
	var chart struct{ KubeVersion string }
	if err := yaml.Unmarshal([]byte(read(t, "deploy/chart/Chart.yaml")), &chart); err != nil {
		t.Fatal(err)
	}
	if chart.KubeVersion != known.Constraint() {
		t.Errorf("the chart's kubeVersion is %q, want %q", chart.KubeVersion, known.Constraint())
	}
	tested := TestedOn(known, records)
	oldest := tested[len(tested)-1]
	for i := len(known.Minors) - 1; i >= 0 && slices.Contains(tested, known.Minors[i].Minor); i-- {
		oldest = known.Minors[i].Minor
	}
	for file, sentence := range map[string]string{
		"README.md": "Kubernetes " + known.Oldest() + " and later; the whole suite has passed on " + oldest + " to " +
			known.Newest() + ", and\n[docs/versions.md]",
		"README.ko.md": "쿠버네티스 " + known.Oldest() + " 이상에서 쓰며, 전체 테스트는 " + oldest + "부터 " + known.Newest() +
			"까지 통과했습니다",
	} {
		if !strings.Contains(read(t, file), sentence) {
			t.Errorf("%s does not say %q", file, sentence)
		}
	}
	sentence := "Stayput needs Kubernetes " + known.Oldest() + " or later"
	if !strings.Contains(read(t, "docs/install.md"), sentence) {
		t.Errorf("docs/install.md does not say %q", sentence)
	}
	var kind, minors []string
	for _, m := range known.Minors {
		minors, kind = append(minors, m.Minor), append(kind, m.Kind)
		if !nodeImage.MatchString(m.Kind) || !strings.HasPrefix(m.Kind, "v"+m.Minor+".") {
			t.Errorf("node image %s: want a tag of %s, and a digest", m.Kind, m.Minor)
		}
	}
	if got := matrix(t, "ci.yaml", "kind", "kubernetes"); !slices.Equal(got, kind) {
		t.Errorf("ci.yaml runs kind with %q, want %q", got, kind)
	}
	built, err := localcluster.Minors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := matrix(t, "versions.yaml", "e2e", "minor"); !slices.Equal(got, built) {
		t.Errorf("versions.yaml runs %q each night, want those that are pinned, %q", got, built)
	}
	for _, minor := range built {
		if !slices.Contains(minors, minor) {
			t.Errorf("%s is pinned, and not in the table", minor)
		}
	}
	if newest := cluster.AnyPatch(cluster.NewestMinor).String(); newest != known.Newest() {
		t.Errorf("lint takes %s without a version, and the newest of the table is %s", newest, known.Newest())
	}
	if next := known.Next; next != nil && (slices.Contains(minors, next.Minor) || next.Why == "") {
		t.Errorf("Kubernetes %s is said not to be tested, for %q, and is one of %q", next.Minor, next.Why, minors)
	}
	if newest := built[len(built)-1]; newest != known.Newest() {
		t.Errorf("CI runs %s, and the newest of the table is %s", newest, known.Newest())
	}
}

// matrix is a list in a workflow's matrix.
func matrix(t *testing.T, workflow, job, key string) []string {
	t.Helper()
	var w struct {
		Jobs map[string]struct {
			Strategy struct{ Matrix map[string][]string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, ".github/workflows/"+workflow)), &w); err != nil {
		t.Fatal(err)
	}
	return w.Jobs[job].Strategy.Matrix[key]
}

var nodeImage = regexp.MustCompile(`^v1\.[0-9]+\.[0-9]+@sha256:[0-9a-f]{64}$`)

var since = regexp.MustCompile(`(?m)^# since 1\.([0-9]+)$`)

// What testdata marks as newer is something that its rule knows of versions.
func TestDifferencesAreInTheTable(t *testing.T) {
	marks := 0
	for _, r := range validators.All {
		for _, m := range since.FindAllStringSubmatch(read(t, "validators/testdata/"+r.Name+".yaml"), -1) {
			marks++
			knows := func(f *cluster.Feature) bool {
				return fmt.Sprint(f.Since().Minor) == m[1] || fmt.Sprint(f.Gated.Minor) == m[1]
			}
			if !slices.ContainsFunc(r.Versions, knows) {
				t.Errorf("testdata of %s says %q, and the rule's Versions do not", r.Name, m[0])
			}
		}
	}
	if marks == 0 {
		t.Error("no testdata is marked")
	}
	known, _ := load(t)
	page := Page(known, nil)
	for _, d := range Differences(validators.All) {
		if !strings.Contains(page, "| `"+strings.Join(d.Rules, "`, `")+"` | "+d.Releases()+" | "+d.With+" |") {
			t.Errorf("the page lacks %s", d.Feature)
		}
	}
}

func TestPage(t *testing.T) {
	known := Known{Because: "of something", Minors: []Minor{{"1.30", "v1.30.1"}, {"1.31", "v1.31.1"}, {"1.32", "v1.32.1"},
		{"1.33", "v1.33.1"}}}
	records := map[string]Record{
		"1.31": {Release: "v1.31.9", Suite: 3, Tests: map[string]Result{
			"TestA": {Passed, "", "2026-11-29", "abc"}, "TestB": {LeftOut, "it is too new", "2026-11-30", "abd"},
		}},
		"1.32": {Release: "v1.32.9", Suite: 3, Tests: map[string]Result{"TestA": {Failed, "", "2026-11-29", "abc"}}},
	}
	page := Page(known, records)
	for _, want := range []string{
		"| 1.30 | not tested | v1.30.1 |",
		"| 1.31 | v1.31.9: 1 of 3 tests of the suite passed, 2026-11-29 to 2026-11-30 (TestA); " +
			"left out: TestB (it is too new) |",
		"| 1.32 | v1.32.9: 0 of 3 tests of the suite passed, 2026-11-29; failed: TestA |",
		"| 1.33 | the whole suite, in each run of CI |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("missing: %s\nin:\n%s", want, page)
		}
	}
	// Where something failed, or did not run, nobody is told that it was tested.
	if got := TestedOn(known, records); !slices.Equal(got, []string{"1.33"}) {
		t.Errorf("tested on %q", got)
	}
	records["1.32"].Tests["TestUpgrade"] = Result{Passed, "", "2026-11-29", "abc"}
	want := "; upgraded to all newer minors (TestUpgrade); failed: TestA"
	if page := Page(known, records); !strings.Contains(page, want) {
		t.Errorf("no upgrade is told of:\n%s", page)
	}
	records["1.31"].Tests["TestC"] = Result{Passed, "", "2026-11-30", "abd"}
	if got := TestedOn(known, records); !slices.Equal(got, []string{"1.31", "1.33"}) {
		t.Errorf("tested on %q", got)
	}
}
