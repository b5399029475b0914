package mutators

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMutators replays testdata/<mutator>.yaml through each mutator and
// compares the patches and warnings with testdata/<mutator>.golden.
func TestMutators(t *testing.T) {
	for _, m := range All {
		t.Run(m.Name, func(t *testing.T) {
			spy := clustertest.NewSpy(nil)
			var got strings.Builder
			snap := replay(t, m, func(s step) cluster.Object {
				spy.Reader = s.world.Source
				s.world.Source, s.world.Finder = spy, spy
				after, ops, warnings := s.check(t)
				s.print(t, &got, ops, warnings)
				return after
			})
			checkUnedited(t, m, snap)
			declared := map[string]bool{}
			for _, o := range m.Reads {
				declared[fmt.Sprintf("%T", o)] = true
			}
			if diff := cmp.Diff(declared, spy.Kinds); diff != "" {
				t.Errorf("Reads (-declared +read):\n%s", diff)
			}
			golden := filepath.Join("testdata", m.Name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got), written anew by go test ./mutators -update:\n%s", golden, diff)
			}
		})
	}
}

// A step is one document of the testdata: a request.
type step struct {
	where   string
	mutator *Mutator
	doc     manifest.Manifest
	old     cluster.Object
	world   cluster.Environment
	req     cluster.Request
}

// words are the directives that a comment above a document may begin with.
//
//	as USER        who asks; nodes are in the group of nodes
//	uid UID        of the request
//	retain WHICH   what the configuration retains
//	refused        the API server refuses the result, which is not stored
//	managed-fields the outcome depends on managed fields, which a client
//	               cannot send as they stand here
var words = []string{"as", "uid", "retain", "refused", "managed-fields"}

// replay calls do with each document that the mutator concerns. Do returns
// what is then stored, and is the old object of the next document of that
// name. The objects of the file as they first appear are the cluster.
func replay(t testing.TB, m *Mutator, do func(step) cluster.Object) (objects []cluster.Object) {
	t.Helper()
	file := filepath.Join("testdata", m.Name+".yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	docs, skipped, err := manifest.ParseManifests(file, data)
	if err != nil {
		t.Fatal(err)
	}
	if skipped > 0 {
		t.Errorf("%s: %d objects of unknown kinds", file, skipped)
	}
	snap := &cluster.Snapshot{Complete: true}
	seen := map[string]bool{}
	for _, d := range docs {
		for _, e := range d.Unknown {
			t.Errorf("%s:%d: %v", file, d.Line(""), e)
		}
		if k := keyOf(d); !seen[k] {
			seen[k] = true
			objects = append(objects, d.Object)
			if err := snap.Add(clustertest.Stripped(d.Object)); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored := map[string]cluster.Object{}
	for _, d := range docs {
		if !slices.ContainsFunc(m.Edits, func(e Edit) bool { return e.Kind == d.GetObjectKind().GroupVersionKind() }) {
			continue
		}
		where := fmt.Sprintf("%s:%d", file, d.Line(""))
		s := step{where: where, mutator: m, doc: d, world: cluster.Environment{Source: snap, Finder: snap}}
		user, _ := d.Directive("as")
		uid, _ := d.Directive("uid")
		retain, _ := d.Directive("retain")
		s.req.User.Username, s.req.UID, s.world.Retain = user, types.UID(uid), cluster.Retain(retain)
		if strings.HasPrefix(user, "system:node:") {
			s.req.User.Groups = []string{cluster.NodesGroup}
		}
		if d.GetName() != "" {
			s.old = stored[keyOf(d)]
		}
		after := do(s)
		if _, refused := d.Directive("refused"); !refused {
			stored[keyOf(d)] = after
		}
	}
	return objects
}

func keyOf(d manifest.Manifest) string {
	return fmt.Sprintf("%T/%s/%s", d.Object, d.GetNamespace(), d.GetName()+d.GetGenerateName())
}

// check mutates the document as the webhook does, and proves what holds for
// every mutator.
func (s step) check(t *testing.T) (cluster.Object, []Operation, []Warning) {
	plain, err := json.Marshal(s.doc.Object)
	if err != nil {
		t.Fatal(err)
	}
	raw, sent := withUnknown(t, plain)
	before := s.decode(t, raw)
	unedited := before.DeepCopyObject()
	var oldUnedited runtime.Object
	if s.old != nil {
		oldUnedited = s.old.DeepCopyObject()
	}
	after, ops, warnings := s.apply(t, raw, before)
	if diff := diff(unedited, runtime.Object(before)); diff != "" {
		t.Errorf("%s: edited the object itself:\n%s", s, diff)
	}
	if diff := diff(oldUnedited, runtime.Object(s.old)); diff != "" {
		t.Errorf("%s: edited the old object:\n%s", s, diff)
	}
	if (len(ops) == 0) != (after == before) {
		t.Errorf("%s: %d operations, but the result is the object itself: %t", s, len(ops), after == before)
	}
	for _, warning := range warnings {
		w := warning.String()
		if n := utf8.RuneCountInString(w); n > maxWarning || strings.HasSuffix(w, "…") || strings.HasSuffix(w, ".") ||
			strings.Contains(w, "immutable") {
			t.Errorf("%s: %d runes, or cut, or a full stop, or says immutable, upon which kubectl apply --force deletes: %s", s,
				n, w)
		}
	}
	out := applyPatch(t, raw, ops)
	patched := s.decode(t, out)
	if diff := diff(after, patched); diff != "" {
		t.Errorf("%s: the patch makes something else of it:\n%s", s, diff)
	}
	checkAuthors(t, sent, decode(t, out), ops)

	// Another webhook may have the API server call again, with another UID.
	again := s
	again.req.UID = "the second call"
	if _, ops, _ := again.apply(t, out, patched); len(ops) > 0 {
		t.Errorf("%s: mutated again: %v", s, ops)
	}
	return after, ops, warnings
}

// diff is cmp.Diff, and quick where there is none.
func diff[T any](want, got T) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

func (s step) apply(t *testing.T, raw []byte, before cluster.Object) (cluster.Object, []Operation, []Warning) {
	t.Helper()
	made, err := Apply(s.world.View(context.Background(), s.req), []*Mutator{s.mutator}, s.old, before)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	ops, err := made.Patch(raw)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return made.Object, ops, made.Warnings
}

func (s step) decode(t *testing.T, raw []byte) cluster.Object {
	t.Helper()
	obj := reflect.New(reflect.TypeOf(s.doc.Object).Elem()).Interface().(cluster.Object)
	if err := json.Unmarshal(raw, obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func (s step) String() string { return s.where }

// print writes the title of the document, which is its comment, and what
// became of it.
func (s step) print(t *testing.T, to *strings.Builder, ops []Operation, warnings []Warning) {
	for _, d := range s.doc.Directives {
		if word, _, _ := strings.Cut(d, " "); !slices.Contains(words, word) {
			fmt.Fprintf(to, "# %s\n", d)
		}
	}
	event := "create"
	if s.old != nil {
		event = "update"
	}
	fmt.Fprintf(to, "%s %s %s\n", event, s.doc.GetObjectKind().GroupVersionKind().Kind,
		s.doc.GetName()+s.doc.GetGenerateName())
	for _, op := range ops {
		value, err := json.Marshal(op.Value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(to, "  %s %s %s\n", op.Op, op.Path, value)
	}
	for _, w := range warnings {
		fmt.Fprintf(to, "  warning: %s\n", w)
	}
	to.WriteString("\n")
}

// checkAuthors checks that everything the author sent is there, except values
// that an operation replaces.
func checkAuthors(t *testing.T, sent, got any, ops []Operation) {
	t.Helper()
	replaced, added := map[string]bool{}, map[string]bool{}
	for _, op := range ops {
		replaced[op.Path], added[op.Path] = op.Op == "replace", op.Op == "add"
	}
	var visit func(path string, sent, got any)
	visit = func(path string, sent, got any) {
		switch sent := sent.(type) {
		case map[string]any:
			got, _ := got.(map[string]any)
			for k, v := range sent {
				visit(path+"/"+escape.Replace(k), v, got[k])
			}
		case []any:
			got, _ := got.([]any)
			for i, v := range sent {
				if i >= len(got) {
					t.Errorf("%s/%d is gone", path, i)
					continue
				}
				visit(fmt.Sprintf("%s/%d", path, i), v, got[i])
			}
		default:
			empty := sent == nil || sent == ""
			if !replaced[path] && !(added[path] && empty) && sent != got {
				t.Errorf("%s was %v and is %v", path, sent, got)
			}
		}
	}
	visit("", sent, got)
}

// checkUnedited checks that what the lookups returned is what stands in the
// file.
func checkUnedited(t *testing.T, m *Mutator, objects []cluster.Object) {
	t.Helper()
	fresh := replay(t, m, func(s step) cluster.Object { return s.doc.Object })
	if diff := cmp.Diff(fresh, objects); diff != "" {
		t.Errorf("edited what a lookup returned:\n%s", diff)
	}
}

// TestAllIsComplete parses the package: every mutator is listed, in order, in a
// file of its name, with testdata of its name.
func TestAllIsComplete(t *testing.T) {
	declared, err := clustertest.Declared("Mutator")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	kinds := map[string]string{}
	for _, m := range All {
		names = append(names, m.Name)
		if file := strings.ReplaceAll(m.Name, "-", "_") + ".go"; declared[file] != m.Name {
			t.Errorf("mutator %s is not in %s", m.Name, file)
		}
		title, rest, _ := strings.Cut(m.Doc, "\n\n")
		if title == "" || strings.HasSuffix(title, ".") || strings.Contains(title, "\n") || rest == "" {
			t.Errorf("%s: Doc needs a title of one line without a full stop, an empty line, and the reasons", m.Name)
		}
		for _, e := range m.Edits {
			if other := kinds[e.Kind.Kind]; other != "" && other != m.Name {
				t.Errorf("%s and %s both edit %s: their order matters", other, m.Name, e.Kind.Kind)
			}
			kinds[e.Kind.Kind] = m.Name
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("All is not sorted: %q", names)
	}
	if diff := cmp.Diff(names, slices.Sorted(maps.Values(declared))); diff != "" {
		t.Errorf("mutators (-listed +declared):\n%s", diff)
	}
	testdata, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range testdata {
		if name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)); !slices.Contains(names, name) {
			t.Errorf("%s is the testdata of no mutator", file)
		}
	}
}
