// Package versions records on which minors of Kubernetes Stayput was tested, how and
// when, and how these differ. docs/versions.md, the chart's note about an untested
// minor, and the matrices of the workflows are generated from it or tested against it.
package versions

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

var (
	//go:embed versions.yaml
	known []byte
	//go:embed tested.json
	tested []byte
)

// TestedFile is the file, in the checkout, to which a run writes its results.
const TestedFile = "e2e/versions/tested.json"

// Known holds the facts that are written by hand.
type Known struct {
	Because string  `json:"because"` // why the oldest minor is the oldest
	Next    *Next   `json:"next"`    // nil if nothing is known of it
	Minors  []Minor `json:"minors"`  // all that the chart admits and that can be run, oldest first
}

// Next is a minor of which there are only pre-releases, and on which nothing ran.
type Next struct {
	Minor string `json:"minor"`
	Why   string `json:"why"`
}

// A Minor is a minor version of Kubernetes.
type Minor struct {
	Minor string `json:"minor"` // 1.34
	Kind  string `json:"kind"`  // node image that the workflow runs: tag@digest
}

// node is the release of Kubernetes in the node image.
func (m Minor) node() string {
	tag, _, _ := strings.Cut(m.Kind, "@")
	return tag
}

// A Difference is a fact about some releases of Kubernetes that rules depend on.
type Difference struct {
	*cluster.Feature
	Rules []string
}

// Differences returns the facts that rules depend on, those of the oldest release first.
func Differences(rules []*validators.Rule) (all []Difference) {
	at := map[*cluster.Feature]int{}
	for _, r := range rules {
		for _, f := range r.Versions {
			if _, known := at[f]; !known {
				at[f] = len(all)
				all = append(all, Difference{Feature: f})
			}
			d := &all[at[f]]
			d.Rules = append(d.Rules, r.Name)
		}
	}
	slices.SortStableFunc(all, func(a, b Difference) int { return a.Since().Compare(b.Since()) })
	return all
}

// Outcomes of a test.
const (
	Passed  = "passed"
	Failed  = "failed"
	LeftOut = "left out"
)

// A Result is the outcome of the last run of one test of the e2e suite.
type Result struct {
	Outcome string `json:"outcome"`
	Why     string `json:"why,omitempty"` // it was left out
	Date    string `json:"date"`
	Commit  string `json:"commit"`
}

// A Record holds the results on one minor.
type Record struct {
	Release string            `json:"release"` // v1.34.4
	Suite   int               `json:"suite"`   // how many tests there are
	Tests   map[string]Result `json:"tests"`
}

// Count returns the number of tests with an outcome.
func (r Record) Count(outcome string) (n int) {
	for _, t := range r.Tests {
		if t.Outcome == outcome {
			n++
		}
	}
	return n
}

// Days returns the first and the last day on which a test ran.
func (r Record) Days() (first, last string) {
	for _, t := range r.Tests {
		if first == "" || t.Date < first {
			first = t.Date
		}
		last = max(last, t.Date)
	}
	return first, last
}

// Whole says whether all tests of the suite passed, except for those that were
// skipped for a given reason.
func (r Record) Whole() bool {
	return r.Count(Passed) > 0 && r.Count(Passed)+r.Count(LeftOut) >= r.Suite
}

// Load returns the known facts and the test results, by minor.
func Load() (Known, map[string]Record, error) {
	var k Known
	if err := yaml.UnmarshalStrict(known, &k); err != nil {
		return k, nil, fmt.Errorf("versions.yaml: %w", err)
	}
	if len(k.Minors) == 0 {
		return k, nil, fmt.Errorf("versions.yaml: no minors")
	}
	records, err := parse(tested)
	return k, records, err
}

// ReadTested reads TestedFile, which a run may have written since this program was
// built.
func ReadTested(file string) (map[string]Record, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

func parse(data []byte) (map[string]Record, error) {
	records := map[string]Record{}
	if err := json.Unmarshal(data, &records); err != nil {
		return nil, fmt.Errorf("tested.json: %w", err)
	}
	return records, nil
}

// Oldest is the first minor that the chart permits.
func (k Known) Oldest() string { return k.Minors[0].Minor }

// Newest is the one on which CI runs all tests.
func (k Known) Newest() string { return k.Minors[len(k.Minors)-1].Minor }

// Constraint is the chart's kubeVersion.
func (k Known) Constraint() string { return ">=" + k.Oldest() + ".0-0" }

// TestedOn are the minors on which the whole suite passed, and the one on which CI
// runs it, oldest first.
func TestedOn(k Known, records map[string]Record) (minors []string) {
	for _, m := range k.Minors {
		if m.Minor == k.Newest() || records[m.Minor].Whole() {
			minors = append(minors, m.Minor)
		}
	}
	return minors
}

// Page is docs/versions.md.
func Page(k Known, records map[string]Record) string {
	var s strings.Builder
	fmt.Fprintf(&s, `# Versions of Kubernetes

The chart admits Kubernetes %s and later: %s.
It refuses nothing else, so that an upgrade of Stayput never leaves an old guard on an old cluster. What was tested is
in this table, which the tests write (`+"`make e2e-versions`"+`): on a real control plane of the minor, built from
its sources, with Stayput enforcing. What has not run counts as not tested.

| Kubernetes | tested | kind, in CI |
|---|---|---|
`, k.Oldest(), k.Because)
	if k.Next != nil {
		fmt.Fprintf(&s, "| %s | not tested: %s | |\n", k.Next.Minor, k.Next.Why)
	}
	for _, m := range slices.Backward(k.Minors) {
		fmt.Fprintf(&s, "| %s | %s | %s |\n", m.Minor, testedHow(k, m, records[m.Minor]), m.node())
	}
	s.WriteString(`
The last column is the node image on which the workflow of CI installs, upgrades and restarts the chart; its results are
in CI, and are not counted here. Where the whole suite has not passed on a minor, the notes of the chart say so
after ` + "`helm install`" + `.

## What differs

The version is that of the API servers, which admission reads again and again over new connections, and audit, rehearse
and ` + "`lint --against-cluster`" + ` at their start over several;
` + "`lint --kubernetes-version 1.34`" + ` sets it, and lint alone
takes ` + k.Newest() + `. Where API servers answer with different versions, as during an upgrade, where one
emulates an older version, and where the version cannot be read, the milder level is given, and a remedy that is right
in all of them. No denial rests on a feature gate's default. A version that none of thirty answers in a row has had,
which takes two minutes, counts no more. An API server to which the address of Stayput's connections never leads is
not known to it.

| rules | which releases | what is so there | otherwise | feature gate |
|---|---|---|---|---|
`)
	for _, d := range Differences(validators.All) {
		fmt.Fprintf(&s, "| `%s` | %s | %s | %s | %s |\n", strings.Join(d.Rules, "`, `"), d.Releases(), d.With, d.Without,
			strings.TrimPrefix(d.History(), "gate "))
	}
	s.WriteString(`
A rule that is about something that a minor does not have is silent there: the API server drops the field or refuses the
object. Testdata says so with ` + "`# since 1.37`" + ` above an object, and is replayed without it on older minors; with
` + "`# kubernetes 1.34`" + ` an object is for that version alone.

A command in a message may meet a kubectl of another version. That of 1.35 never ends ` + "`kubectl delete pod`" + `
of a Pod that its StatefulSet makes anew, although the Pod is replaced: add ` + "`--wait=false`" + `, or stop it
([finding](../findings/kubectl-waits-for-successor.sh)). Before 1.33 kubectl takes for JSON whatever begins with a
brace: write a line ` + "`---`" + ` above such a manifest of a message ([finding](../findings/kubectl-flow-yaml.sh)).
`)
	return s.String()
}

// upgrades are the tests that say something about a minor and newer ones.
var upgrades = []struct{ test, shown string }{
	{"TestUpgrade", "upgraded to all newer minors"},
	{"TestTwoAPIServers", "with API servers of it and of a newer minor on one etcd"},
}

// testedHow is what the table says of one minor.
func testedHow(k Known, m Minor, r Record) string {
	var parts []string
	if m.Minor == k.Newest() {
		parts = append(parts, "the whole suite, in each run of CI")
	}
	if len(r.Tests) > 0 {
		first, last := r.Days()
		days := first
		if last != first {
			days += " to " + last
		}
		text := fmt.Sprintf("%s: %d of %d tests of the suite passed, %s", r.Release, r.Count(Passed), r.Suite, days)
		if ran := r.named(Passed); len(ran) > 0 && len(ran) <= 12 && len(ran) < r.Suite {
			text += " (" + strings.Join(ran, ", ") + ")"
		}
		for _, of := range upgrades {
			if r.Tests[of.test].Outcome == Passed {
				text += "; " + of.shown + " (" + of.test + ")"
			}
		}
		for _, outcome := range []string{Failed, LeftOut} {
			if named := r.named(outcome); len(named) > 0 {
				text += "; " + outcome + ": " + strings.Join(named, ", ")
			}
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "not tested"
	}
	return strings.Join(parts, "; ")
}

// named returns the tests with an outcome, and the reason for which they were skipped.
func (r Record) named(outcome string) (names []string) {
	for name, t := range r.Tests {
		if t.Outcome != outcome {
			continue
		}
		if t.Why != "" {
			name += " (" + t.Why + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
