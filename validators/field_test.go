package validators

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/mutators"
)

// missing are inputs of the field that are not answered as they should be, each with
// the reason. One that is has to leave this list.
var missing = map[string]string{}

// TestField asks what was asked in the field: every request, and every file that
// people mended or that was right, in which nothing is found but what its comment
// names. Mutators come first, as at admission and in lint.
func TestField(t *testing.T) {
	all, err := clustertest.LoadFields("testdata/field")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 70 {
		t.Fatalf("only %d inputs", len(all))
	}
	for _, f := range all {
		var faults []string
		switch {
		case !f.Linted() || strings.HasSuffix(f.Name, "-mended") || strings.HasSuffix(f.Name, "-ok"):
			faults = wrongAbout(t, f)
		default:
			faults = unsaidOf(t, f)
		}
		switch why, known := missing[f.Name]; {
		case known && len(faults) == 0:
			t.Errorf("%s: answered as it should be: it must leave the list of what is missing (%s)", f.File, why)
		case !known:
			for _, fault := range faults {
				t.Errorf("%s: %s", f.File, fault)
			}
		}
	}
	for name := range missing {
		if !slices.ContainsFunc(all, func(f *clustertest.Field) bool { return f.Name == name }) {
			t.Errorf("%s is missing, and is no input", name)
		}
	}
}

// unsaidOf says which rule is silent about a linted input that is to be mended, where
// its comment names the rule behind the level.
func unsaidOf(t *testing.T, f *clustertest.Field) []string {
	t.Helper()
	first, _, _ := strings.Cut(f.Want, ";")
	words := strings.Fields(first)
	i := slices.IndexFunc(All, func(r *Rule) bool { return len(words) == 2 && r.Name == words[1] })
	if i < 0 {
		return nil
	}
	_, complete := f.Manifests[0].Directive("complete")
	world, steps, _ := admitted(t, f, complete)
	for _, s := range steps {
		found, _ := Review(world.View(context.Background(), s.Request), []*Rule{All[i]}, s.Old, s.Obj)
		if slices.ContainsFunc(found, func(v Finding) bool { return v.Level.String() == words[0] }) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s says nothing at level %s", words[1], words[0])}
}

// admitted returns the cluster of an input and its reviews, of what mutators made of
// its objects. Patches has <path> <value> of each field that they set.
func admitted(t *testing.T, f *clustertest.Field, complete bool) (world cluster.Environment,
	steps []clustertest.Step, patches []string) {
	t.Helper()
	snapshot, err := f.Snapshot(complete)
	if err != nil {
		t.Fatal(err)
	}
	world = cluster.Environment{Source: snapshot, Finder: snapshot, Manifests: f.Linted()}
	for _, s := range f.Steps {
		made, err := mutators.Apply(world.View(context.Background(), s.Request), mutators.All, s.Old, s.Obj)
		if errors.Is(err, cluster.ErrUnknown) { // lint takes it as written
			steps = append(steps, s)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := s.JSON()
		if err != nil {
			t.Fatal(err)
		}
		ops, err := made.Patch(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range ops {
			patches = append(patches, fmt.Sprint(op.Path, " ", op.Value))
		}
		s.Obj = made.Object
		steps = append(steps, s)
	}
	for _, s := range steps {
		if m := s.Manifest; f.Linted() {
			m.Object = s.Obj // what other objects' rules look up, too
			if err := m.AddTo(snapshot); err != nil {
				t.Fatal(err)
			}
		}
	}
	return world, steps, patches
}

// wrongAbout says what is wrong with what is said of an input.
func wrongAbout(t *testing.T, f *clustertest.Field) (faults []string) {
	t.Helper()
	var found []Finding
	var patches []string
	for _, complete := range []bool{false, true} {
		if !f.Linted() && !complete {
			continue
		}
		world, steps, made := admitted(t, f, complete)
		patches = append(patches, made...)
		for _, s := range steps {
			verdict, err := (&Policy{Rules: All}).Review(world.View(context.Background(), s.Request), s.Old, s.Obj)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, verdict.Findings...)
		}
	}
	if f.Linted() {
		for _, v := range found {
			if !strings.Contains(f.Want, v.Rule.Name) {
				faults = append(faults, fmt.Sprintf("not wanted: %s: %s", v.Level, v))
			}
		}
		return faults
	}
	for _, expect := range f.Expect {
		level, rest, _ := strings.Cut(expect, " ")
		rule, text, _ := strings.Cut(rest, " ")
		said := slices.ContainsFunc(found, func(v Finding) bool {
			sent := v.Short(warningRunes)
			if v.Level == Deny {
				sent = v.Short(denialRunes)
			}
			return strings.HasPrefix(v.Rule.Name, rule) && strings.Contains(sent, text) &&
				(level == "not" || v.Level.String() == level)
		})
		denied := slices.ContainsFunc(found, denies)
		switch {
		case level == "not" && !said, level == "allow" && !denied, level != "not" && level != "allow" && said:
		case level == "patch" && slices.Contains(patches, rest):
		default:
			faults = append(faults, fmt.Sprintf("expected %s, found %v, set %v", expect, found, patches))
		}
	}
	return faults
}
