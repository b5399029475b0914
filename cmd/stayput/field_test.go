package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stayput.dev/cluster/clustertest"
	"stayput.dev/report"
)

// TestLintField lints what people mended and what was right as it is: nothing is
// found but what the comment of the file names. Of what was seen in charts, all of
// that must be found, too. Whatever is found, no remedy is a command on a cluster:
// who has a manifest before them mends that.
func TestLintField(t *testing.T) {
	dir := filepath.Join("..", "..", "validators", "testdata", "field")
	all, err := clustertest.LoadFields(dir)
	if err != nil {
		t.Fatal(err)
	}
	abs := func(name string) string {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	n := 0
	for _, f := range all {
		if !f.Linted() {
			continue
		}
		n++
		t.Run(f.Name, func(t *testing.T) {
			args := []string{"lint", "--format", "json", abs(f.Name + ".yaml")}
			if _, alone := f.Manifests[0].Directive("alone"); !alone {
				args = append(args, abs("_class.yaml"))
			}
			if kinds, complete := f.Manifests[0].Directive("complete"); complete {
				args = append(args, "--complete="+cmp.Or(kinds, everything))
			}
			for _, m := range f.Manifests {
				if live, saved := m.Directive("beside"); saved {
					args = append(args, "--old", filepath.Join(filepath.Dir(abs(f.Name)), live))
				}
			}
			r := lintedAs(t, args...)
			for _, fault := range append(wrongAboutField(f, r), commands(r)...) {
				t.Error(fault)
			}
		})
	}
	if n < 70 {
		t.Errorf("only %d inputs", n)
	}
}

// TestLintFieldOld lints the updates that were reported as changes of manifests: what
// was said at admission is said before the rollout, with the whole recipe.
func TestLintFieldOld(t *testing.T) {
	all, err := clustertest.LoadFields(filepath.Join("..", "..", "validators", "testdata", "field"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range all {
		if f.Linted() || f.Steps[0].Old == nil || f.Steps[0].Obj == nil {
			continue
		}
		n++
		t.Run(f.Name, func(t *testing.T) {
			var was, is strings.Builder
			var wanted []string
			for _, m := range f.Manifests {
				text, err := m.JSON()
				if err != nil {
					t.Fatal(err)
				}
				_, old := m.Directive("old")
				_, obj := m.Directive("object")
				for _, d := range m.Directives {
					if words, ok := strings.CutPrefix(d, "says "); ok {
						wanted = append(wanted, words)
					}
				}
				if !obj {
					fmt.Fprintf(&was, "---\n%s\n", text)
				}
				if !old {
					fmt.Fprintf(&is, "---\n%s\n", text)
				}
			}
			dir := t.TempDir()
			r := lintedAs(t, "lint", "--format", "json", write(t, dir, "is.yaml", is.String()), "--old",
				write(t, dir, "was.yaml", was.String()))
			if len(wanted) == 0 {
				t.Error("no words are asked for")
			}
			for _, words := range wanted {
				if !slices.ContainsFunc(r.Findings, func(v report.Finding) bool {
					return v.Review == report.Updated && says(words)(v)
				}) {
					t.Errorf("not said: %s\n%+v", words, r.Findings)
				}
			}
		})
	}
	if n < 4 {
		t.Errorf("only %d updates", n)
	}
}

// everything says that no cluster has more than the manifests.
const everything = "namespaced,StorageClass,PersistentVolume,Node"

// TestLintNamesFields holds what lint says of the broken examples to that, and what
// it says where every kind is known.
func TestLintNamesFields(t *testing.T) {
	files, err := filepath.Glob("../../examples/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	remedies := 0
	for _, file := range files {
		abs, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, known := range [][]string{nil, {"--complete=" + everything}} {
			args := []string{"lint", "--format", "json", abs, filepath.Join(filepath.Dir(abs), "storage.yaml")}
			r := lintedAs(t, append(args, known...)...)
			for _, v := range r.Findings {
				if v.Remedy != "" {
					remedies++
				}
			}
			for _, fault := range commands(r) {
				t.Errorf("%s: %s", file, fault)
			}
		}
	}
	if remedies < 100 {
		t.Errorf("only %d remedies", remedies)
	}
}

// lintedAs returns the report of a lint.
func lintedAs(t *testing.T, args ...string) (r report.Report) {
	t.Helper()
	if err := json.Unmarshal([]byte(stayput(t, "", args...).stdout), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// commands says which findings about manifests tell their author to do something to a
// cluster. What changes an object that is there may need a command.
func commands(r report.Report) (faults []string) {
	for _, v := range r.Findings {
		if (v.Review == "" || v.Review == report.Created) && strings.Contains(v.Remedy, "kubectl ") {
			faults = append(faults, fmt.Sprintf("a command: %s: %s; fix: %s", v.Rule, v.Message, v.Remedy))
		}
	}
	return faults
}

// wrongAboutField says what is wrong with a report about an input.
func wrongAboutField(f *clustertest.Field, r report.Report) (faults []string) {
	chart := strings.HasPrefix(f.Name, "chart-")
	found, whole := map[string]bool{}, chart || strings.HasSuffix(f.Name, "-mended") || strings.HasSuffix(f.Name, "-ok")
	for _, v := range r.Findings {
		if whole && !strings.Contains(f.Want, v.Rule) {
			faults = append(faults, fmt.Sprintf("not wanted: %s: %s: %s", v.Level, v.Rule, v.Message))
		}
		found[v.Rule] = true
	}
	level, _, _ := strings.Cut(f.Want, " ")
	if whole && (level == "deny" || level == "warn") && !slices.ContainsFunc(r.Findings,
		func(v report.Finding) bool { return v.Level == level }) {
		faults = append(faults, "no finding of level "+level)
	}
	for _, name := range ruleNamed.FindAllString(f.Want, -1) {
		if chart && !found[name] {
			faults = append(faults, name+" is wanted, and not found")
		}
	}
	for _, d := range f.Manifests[0].Directives {
		if text, ok := strings.CutPrefix(d, "says "); ok && !slices.ContainsFunc(r.Findings, says(text)) {
			faults = append(faults, "not said: "+text)
		}
		if text, ok := strings.CutPrefix(d, "unsaid "); ok && slices.ContainsFunc(r.Findings, says(text)) {
			faults = append(faults, "said: "+text)
		}
	}
	return faults
}

// says returns a function that looks for words in a finding: its level, its rule, what
// is wrong and the remedy.
func says(words string) func(report.Finding) bool {
	rule, rest, _ := strings.Cut(words, " ")
	return func(v report.Finding) bool {
		text := fmt.Sprintf("%s: %s: %s; fix: %s", v.Level, v.Rule, v.Message, v.Remedy)
		return v.Rule == rule && strings.Contains(text, rest) || strings.Contains(text, words)
	}
}

var ruleNamed = regexp.MustCompile(`\b(claim|deployment|field|namespace|pod|service|statefulset|stayput|storageclass|` +
	`unknown|volume|workload)(-[a-z]+)+\b`)
