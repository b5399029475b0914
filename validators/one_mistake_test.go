package validators_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/validators"
)

// A pair are two rules that speak of one input. One mistake is one finding: who
// can mend it is told, and nobody else.
type pair struct{ a, b string }

func pairOf(a, b string) pair {
	if a > b {
		a, b = b, a
	}
	return pair{a, b}
}

// pairs are the rules that speak of one field, or in the broken examples and the
// field's inputs of one file, and why they are two mistakes all the same.
var pairs = map[pair]string{
	{"statefulset-retention", "storageclass-reclaim"}: "the one deletes claims, the other disks " +
		"with them",
	{"claim-volume", "volume-stale-claim"}: "the author of the claim may not be the one who restores " +
		"the volume",
	{"claim-template-binding", "claim-template-expandable"}: "a class may lack several things",
	{"claim-template-expandable", "claim-template-reclaim"}: "a class may lack several things",
	{"claim-template-class", "statefulset-scale-up"}: "a class that is gone, and claims from " +
		"before: new ones have other ordinals",
	{"claim-template-class", "statefulset-service-missing"}: "one input of two mistakes",
	{"statefulset-scale-up", "statefulset-service-missing"}: "one input of two mistakes",
	{"statefulset-disruption-budget",
		"statefulset-scale-up"}: "both are told by the number of replicas, and have nothing in common",
	{"field-fixed", "statefulset-service-selector"}: "the API server's refusal is a hint " +
		"beside whatever else is so",
	{"pod-identity-skipped", "pod-subdomain"}: "the label asks for one Service, and the " +
		"subdomain names another, which there is not",
	{"statefulset-parallel", "statefulset-service-headless"}: "what starts together, and what one " +
		"address hides, are mended apart",
	{"statefulset-service-not-ready-addresses",
		"statefulset-service-shared"}: "whom a Service hides, and whom it leads to besides, are mended apart",
	{"statefulset-service-shared", "workload-selector-overlap"}: "the selectors of a Service and of a " +
		"controller are two, though one label mends both",
}

// TestOneMistakeOneFinding fails where two rules speak of one field of an object,
// or of one input that is otherwise well made, and no reason stands above.
func TestOneMistakeOneFinding(t *testing.T) {
	met := map[pair][]string{}
	add := func(where string, all []said, sameField bool) {
		findings := standing(all)
		for i, f := range findings {
			for _, g := range findings[i+1:] {
				if f.Rule.Name == g.Rule.Name || sameField && f.Field != g.Field {
					continue
				}
				p := pairOf(f.Rule.Name, g.Rule.Name)
				met[p] = append(met[p], fmt.Sprintf("%s\n\t%s\n\t%s", where, f, g))
			}
		}
	}
	rules, err := validators.Select(validators.All, nil)
	if err != nil {
		t.Fatal(err)
	}
	policy := &validators.Policy{Rules: rules}
	review := func(world cluster.Environment, req cluster.Request, old, obj cluster.Object) (all []said) {
		about := obj
		if about == nil {
			about = old
		}
		verdict, err := policy.Review(world.View(context.Background(), req), old, obj)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range verdict.Findings {
			all = append(all, said{f, about})
		}
		return all
	}

	for _, data := range allTestdata(t) {
		snap := snapshotOf(t, data)
		for _, s := range data.Steps {
			world := cluster.Environment{Source: snap, Finder: snap, Retain: s.Retain, Manifests: s.Manifests,
				Kubernetes: s.Kubernetes}
			add(fmt.Sprintf("%s:%d", data.File, s.Line("")), review(world, s.Request, s.Old, s.Obj), true)
		}
	}

	fields, err := clustertest.LoadFields("testdata/field")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		snap, err := f.Snapshot(true)
		if err != nil {
			t.Fatal(err)
		}
		var all []said
		for _, s := range f.Steps {
			all = append(all, review(cluster.Environment{Source: snap, Finder: snap, Manifests: f.Linted()}, s.Request, s.Old,
				s.Obj)...)
		}
		add(f.File, all, false)
	}

	files, err := filepath.Glob("../examples/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	storage := parsed(t, "../examples/broken/storage.yaml")
	for _, file := range files {
		docs := parsed(t, file)
		snap := &cluster.Snapshot{Complete: true}
		for _, m := range slices.Concat(storage, docs) {
			if err := m.AddTo(snap); err != nil {
				t.Fatal(err)
			}
		}
		var all []said
		for _, m := range docs {
			all = append(all, review(cluster.Environment{Source: snap, Finder: snap, Manifests: true}, cluster.Request{}, nil,
				m.Object)...)
		}
		add(file, all, false)
	}

	for _, p := range slices.SortedFunc(maps.Keys(met), func(a, b pair) int { return strings.Compare(a.a+a.b, b.a+b.b) }) {
		if pairs[p] == "" {
			t.Errorf("%s and %s, %d times: %s", p.a, p.b, len(met[p]), met[p][0])
		}
	}
	for p := range pairs {
		if met[p] == nil {
			t.Errorf("%s and %s never speak of one thing: they must leave the list", p.a, p.b)
		}
	}
}

// said is a finding, and what it is about.
type said struct {
	validators.Finding
	about cluster.Object
}

// standing returns what lint and audit leave of what is said of several objects.
func standing(all []said) (left []validators.Finding) {
	causes := map[string]bool{}
	for _, s := range all {
		if cause, yields := s.Cause(s.about); cause != "" && !yields {
			causes[cause] = true
		}
	}
	for _, s := range all {
		if cause, yields := s.Cause(s.about); !yields || !causes[cause] {
			left = append(left, s.Finding)
		}
	}
	return left
}
