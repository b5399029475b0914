package main

import (
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
// that must be found, too.
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
		chart := strings.HasPrefix(f.Name, "chart-")
		if !chart && !strings.HasSuffix(f.Name, "-mended") && !strings.HasSuffix(f.Name, "-ok") {
			continue
		}
		n++
		t.Run(f.Name, func(t *testing.T) {
			args := []string{"lint", "--format", "json", abs("_class.yaml"), abs(f.Name + ".yaml")}
			if _, complete := f.Manifests[0].Directive("complete"); complete {
				args = append(args, "--assume-complete")
			}
			for _, m := range f.Manifests {
				if live, saved := m.Directive("beside"); saved {
					args = append(args, "--old", filepath.Join(filepath.Dir(abs(f.Name)), live))
				}
			}
			var r report.Report
			if err := json.Unmarshal([]byte(stayput(t, "", args...).stdout), &r); err != nil {
				t.Fatal(err)
			}
			for _, fault := range wrongAboutField(f, r, chart) {
				t.Error(fault)
			}
		})
	}
	if n < 30 {
		t.Errorf("only %d inputs", n)
	}
}

// wrongAboutField says what is wrong with a report about an input.
func wrongAboutField(f *clustertest.Field, r report.Report, chart bool) (faults []string) {
	found := map[string]bool{}
	for _, v := range r.Findings {
		if !strings.Contains(f.Want, v.Rule) {
			faults = append(faults, fmt.Sprintf("not wanted: %s: %s: %s", v.Level, v.Rule, v.Message))
		}
		if strings.Contains(f.Want, "no command that deletes") && strings.Contains(v.Remedy, "delete") {
			faults = append(faults, "a command that deletes: "+v.Remedy)
		}
		if strings.Contains(f.Want, "another Service") && strings.Contains(v.Remedy, "mesh") {
			faults = append(faults, "the Service that leads to others: "+v.Remedy)
		}
		found[v.Rule] = true
	}
	level, _, _ := strings.Cut(f.Want, " ")
	if (level == "deny" || level == "warn") && !slices.ContainsFunc(r.Findings,
		func(v report.Finding) bool { return v.Level == level }) {
		faults = append(faults, "no finding of level "+level)
	}
	for _, name := range ruleNamed.FindAllString(f.Want, -1) {
		if chart && !found[name] {
			faults = append(faults, name+" is wanted, and not found")
		}
	}
	return faults
}

var ruleNamed = regexp.MustCompile(`\b(claim|deployment|field|namespace|pod|service|statefulset|stayput|storageclass|` +
	`unknown|volume|workload)(-[a-z]+)+\b`)
