package examples

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// besides are what else is found in the broken example of a rule: one mistake
// seen from both of its ends.
var besides = map[string][]string{
	"claim-template-storage":       {"unknown-field"},
	"service-governing":            {"statefulset-service-selector"},
	"statefulset-service-headless": {"service-governing"},
	"statefulset-service-selector": {"service-governing"},
}

// milder are the rules whose examples show less than the most that they can
// do, and why.
var milder = map[string]string{
	"statefulset-retention": "it denies where volumes are destroyed with their claims, and as installed Stayput retains " +
		"those of StatefulSets",
	"volume-stale-claim": "it denies to a person what would destroy a disk, and a file is sent by nobody yet",
}

// TestPairs holds the broken example of each rule to that rule alone, at the
// level of the catalogue, and its mended twin to no finding at all, all of
// them linted together as the README does; and each by itself to nothing else.
func TestPairs(t *testing.T) {
	broken, mended := lintAll(t, "broken"), lintAll(t, "mended")
	for _, r := range validators.All {
		_, err := os.Stat(filepath.Join("broken", r.Name+".yaml"))
		if r.OnlyAtAdmission() != (err != nil) {
			t.Errorf("%s: is only seen at admission: %v, has an example: %v", r.Name, r.OnlyAtAdmission(), err == nil)
		}
		if err != nil {
			continue
		}
		want := map[string]validators.Level{r.Name: max(r.Level, validators.Warn)}
		if milder[r.Name] != "" {
			want[r.Name] = validators.Warn
		}
		if r.Level == validators.Hint {
			want[r.Name] = r.Level
		}
		for _, also := range besides[r.Name] {
			want[also] = validators.Warn
		}
		if got := broken[r.Name]; !reflect.DeepEqual(got, want) {
			t.Errorf("broken/%s.yaml: got %v, want %v", r.Name, got, want)
		}
		if got := mended[r.Name]; len(got) > 0 {
			t.Errorf("mended/%s.yaml: %v", r.Name, got)
		}
		for got := range lint(t, filepath.Join("broken", r.Name+".yaml"))[r.Name] {
			if _, ok := want[got]; !ok {
				t.Errorf("broken/%s.yaml alone: %s", r.Name, got)
			}
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(broken)), slices.Collect(maps.Keys(mended))) {
		if !slices.ContainsFunc(validators.All, func(r *validators.Rule) bool { return r.Name == name }) &&
			name != "storage" {
			t.Errorf("%s.yaml is the example of no rule", name)
		}
	}
}

func lintAll(t *testing.T, dir string) map[string]map[string]validators.Level {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	return lint(t, files...)
}

// lint returns what lint finds in files that are all it knows: by the name of
// the file, the rules and how grave each is at most. Rules that are off are
// raised, as one who wants them must configure it.
func lint(t *testing.T, files ...string) map[string]map[string]validators.Level {
	t.Helper()
	levels := map[string]validators.Level{}
	for _, r := range validators.All {
		if r.Level == validators.Off {
			levels[r.Name] = validators.Warn
		}
	}
	rules, err := validators.Select(validators.All, levels)
	if err != nil {
		t.Fatal(err)
	}
	policy, snapshot := &validators.Policy{Rules: rules}, &cluster.Snapshot{}
	var docs []manifest.Manifest
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stream := manifest.ReadStream(file, data)
		for _, err := range stream.Errors {
			t.Error(err)
		}
		docs = append(docs, stream.Manifests...)
	}
	for _, d := range docs {
		if err := snapshot.Add(d.Object); err != nil {
			t.Fatal(err)
		}
	}
	v := cluster.Environment{Source: snapshot}.View(context.Background(), cluster.Request{})
	found := map[string]map[string]validators.Level{}
	for _, d := range docs {
		name := strings.TrimSuffix(filepath.Base(d.File), ".yaml")
		add := func(rule string, level validators.Level) {
			if found[name] == nil {
				found[name] = map[string]validators.Level{}
			}
			found[name][rule] = max(found[name][rule], level)
		}
		for range d.Unknown {
			add("unknown-field", validators.Warn)
		}
		made, err := mutators.Apply(v, mutators.All, nil, d.Object)
		if err != nil {
			made = &mutators.Result{Object: d.Object} // what a mutator would have to know is not there
		}
		verdict, err := policy.Review(v, nil, made.Object)
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", d.File, err))
		}
		for _, f := range verdict.Findings {
			add(f.Rule.Name, f.Level)
		}
		for _, w := range made.Warnings {
			add(w.String(), validators.Warn)
		}
		for _, note := range verdict.Notes {
			add(note.String(), validators.Warn)
		}
	}
	return found
}
