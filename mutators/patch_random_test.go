package mutators

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gomodules.xyz/jsonpatch/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/randfill"
)

// FuzzPatch patches random objects with random changes: patched with
// everything that our types do not know, the wire form of one becomes that of
// the other, and what our types do not know stays where it was.
func FuzzPatch(f *testing.F) {
	for seed := range int64(20) {
		f.Add(seed)
	}
	f.Add(int64(654747)) // two containers of one name, of which one goes
	r := newRandom()
	f.Fuzz(func(t *testing.T, seed int64) { patchRandom(t, r, seed) })
}

// TestPatchRandom also proves that the small objects mean something: they meet
// every operation, and have unknown fields that must stay.
func TestPatchRandom(t *testing.T) {
	seeds, met := eachSeed(t, 4000, 5_000_000, patchRandom)
	t.Logf("%d random objects, of which the small ones have met %v", seeds, met)
	for _, what := range []string{"add", "remove", "replace", "move", "unknown field", "unknown field in a list"} {
		if met[what] == 0 {
			t.Errorf("small objects have met no %s: %v", what, met)
		}
	}
}

func patchRandom(t *testing.T, r *random, seed int64) {
	r.begin(seed)
	kinds := []client.Object{
		&corev1.Pod{}, &corev1.Pod{}, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{},
		&corev1.Service{}, &appsv1.StatefulSet{}, &storagev1.StorageClass{},
	}
	random := kinds[r.Intn(len(kinds))]
	fill := r.fill(random)
	plain, err := json.Marshal(random)
	if err != nil {
		t.Fatal(err)
	}
	// What the wire says is what the server decodes.
	before := reflect.New(reflect.TypeOf(random).Elem()).Interface().(client.Object)
	if err := json.Unmarshal(plain, before); err != nil {
		t.Fatal(err)
	}
	after := before.DeepCopyObject().(client.Object)
	change(r.Rand, fill, reflect.ValueOf(after).Elem())
	want, err := json.Marshal(after)
	if err != nil {
		t.Fatal(err)
	}
	raw, _, unknown := withUnknown(t, plain, reflect.TypeOf(before))

	ops, err := Patch(raw, before, after)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if string(plain) == string(want) && len(ops) > 0 {
		t.Errorf("seed %d: nothing changed, but: %v", seed, ops)
	}
	out := applyPatch(t, raw, ops)
	got := reflect.New(reflect.TypeOf(before).Elem()).Interface().(client.Object)
	if err := json.Unmarshal(out, got); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	again, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, again) { // null and left out are one
		if diff := cmp.Diff(withoutEmpty(decode(t, want)), withoutEmpty(decode(t, again))); diff != "" {
			t.Fatalf("seed %d: %T (-want +got):\n%s", seed, before, diff)
		}
	}
	kept := checkUnknown(t, unknown, decode(t, want), decode(t, out))
	if ops2, err := Patch(raw, before, after); err != nil || !reflect.DeepEqual(ops, ops2) {
		t.Errorf("seed %d: the second time, %v, %v", seed, ops2, err)
	}
	if t.Failed() {
		t.Fatalf("seed %d", seed)
	}
	r.meet(ops, kept)
}

// A random makes objects of seeds. Most are small: what an object costs grows
// with its size, and what goes wrong with many elements mostly does with few.
type random struct {
	*rand.Rand
	small, large *randfill.Filler

	isSmall bool
	met     map[string]int // by the small ones
}

func newRandom() *random {
	r := rand.New(rand.NewSource(0))
	small := filler(r).NilChance(.95).Funcs(func(s *string, c randfill.Continue) { *s = c.String(6) })
	return &random{Rand: r, small: small, large: filler(r), met: map[string]int{}}
}

// begin has all that is drawn and filled from here on depend on the seed alone.
func (r *random) begin(seed int64) {
	r.Seed(seed)
	r.isSmall = seed%64 != 0
}

// fill fills an object, and returns what fills other values.
func (r *random) fill(obj client.Object) *randfill.Filler {
	if !r.isSmall {
		r.large.Fill(obj)
		return r.large
	}
	r.small.Fill(obj)
	r.thin(reflect.ValueOf(obj).Elem())
	return r.small
}

// thin makes zero most scalars in v, most of which are nothing but more of the
// same.
func (r *random) thin(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			r.thin(v.Elem())
		}
	case reflect.Struct:
		if shapeOf(v) == structure {
			for i := range v.NumField() {
				r.thin(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			r.thin(v.Index(i))
		}
	case reflect.Map, reflect.Interface:
	default:
		if v.CanSet() && r.Intn(3) > 0 {
			v.SetZero()
		}
	}
}

// meet counts the operations that an object has met, and the unknown fields
// that had to stay.
func (r *random) meet(ops []jsonpatch.Operation, kept []string) {
	if !r.isSmall {
		return
	}
	for _, op := range ops {
		r.met[op.Operation]++
		if item, _ := op.Value.(json.RawMessage); bytes.Contains(item, []byte(unknownField)) {
			r.met["move"]++ // it was on the wire
		}
	}
	for _, path := range kept {
		r.met["unknown field"]++
		if strings.Contains(path, "/name=") {
			r.met["unknown field in a list"]++
		}
	}
}

// filler returns what fills large objects with what r draws.
func filler(r *rand.Rand) *randfill.Filler {
	fill := fuzzer.FuzzerFor(metafuzzer.Funcs, r, scheme.Codecs).NilChance(.6).NumElements(0, 3)
	return fill.Funcs(func(f *metav1.FieldsV1, c randfill.Continue) {
		f.SetRawBytes(fmt.Appendf(nil, `{"f:spec":{"f:%d":{}}}`, c.Uint32()))
	})
}

// change makes random changes to v and whatever is in it.
func change(r *rand.Rand, fill *randfill.Filler, v reflect.Value) {
	refill := func(v reflect.Value) { fill.Fill(v.Addr().Interface()) }
	if !v.CanInterface() {
		return
	}
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil() && r.Intn(30) > 0:
		change(r, fill, v.Elem())
	case v.Kind() == reflect.Pointer || shapeOf(v) == leaf:
		if r.Intn(30) == 0 {
			refill(v)
		}
	case shapeOf(v) == structure:
		for i := range v.NumField() {
			change(r, fill, v.Field(i))
		}
	case shapeOf(v) == mapping:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			if r.Intn(5) == 0 {
				item := reflect.New(v.Type().Elem()).Elem()
				if r.Intn(2) == 0 {
					refill(item)
					v.SetMapIndex(k, item)
				} else {
					v.SetMapIndex(k, reflect.Value{})
				}
			}
		}
		if r.Intn(5) == 0 {
			k, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			refill(k)
			refill(item)
			v.SetMapIndex(k, item)
		}
	case shapeOf(v) == list:
		for i := range v.Len() {
			change(r, fill, v.Index(i))
		}
		if v.Len() > 1 && r.Intn(4) == 0 {
			reflect.Swapper(v.Interface())(r.Intn(v.Len()), 0)
		}
		if i := r.Intn(4); i < v.Len() {
			v.Set(reflect.AppendSlice(v.Slice3(0, i, i), v.Slice(i+1, v.Len())))
		}
		if i := r.Intn(8); i <= v.Len() {
			item := reflect.New(v.Type().Elem()).Elem()
			refill(item)
			rest := v.Slice(i, v.Len())
			v.Set(reflect.AppendSlice(reflect.Append(v.Slice3(0, i, i), item), rest))
		}
	}
}

const unknownField = "fieldOfTheNextKubernetes"

// withUnknown adds to every object of raw a field that its Go type does not
// know, whose value is where it is. The paths of those in a list go by name.
// Tree is what out decodes to.
func withUnknown(t testing.TB, raw []byte, typ reflect.Type) (out []byte, tree any, paths []string) {
	t.Helper()
	var visit func(v any, t reflect.Type, path string)
	visit = func(v any, t reflect.Type, path string) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if marshals(t) || marshals(reflect.PointerTo(t)) {
			return
		}
		switch v := v.(type) {
		case map[string]any:
			if t.Kind() == reflect.Map {
				for k, item := range v {
					visit(item, t.Elem(), path+"/"+k)
				}
				return
			}
			known := fieldTypes(t)
			for name, item := range v {
				if t, ok := known[name]; ok && item != nil {
					visit(item, t, path+"/"+name)
				}
			}
			v[unknownField] = path
			paths = append(paths, path)
		case []any:
			for i, item := range v {
				visit(item, t.Elem(), path+"/"+placeOf(v, i))
			}
		}
	}
	tree = decode(t, raw)
	visit(tree, typ, "")
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out, tree, paths
}

// fieldTypes returns the types of a struct's fields by their names in JSON.
func fieldTypes(t reflect.Type) map[string]reflect.Type {
	if known, ok := typesOfFields.Load(t); ok {
		return known.(map[string]reflect.Type)
	}
	types := map[string]reflect.Type{}
	for i := range t.NumField() {
		if f := fieldOf(t.Field(i)); f.inline {
			maps.Copy(types, fieldTypes(t.Field(i).Type))
		} else if f.name != "" {
			types[f.name] = t.Field(i).Type
		}
	}
	typesOfFields.Store(t, types)
	return types
}

// typesOfFields remembers what was asked, for reflection takes its time.
var typesOfFields sync.Map

// checkUnknown checks that every unknown field is where it was, if there is
// such a place in want, and nowhere else. It returns the paths of those that had
// to be there.
func checkUnknown(t testing.TB, paths []string, want, got any) (kept []string) {
	t.Helper()
	places, found := map[string]map[string]any{}, map[string]map[string]any{}
	collect(want, "", places)
	collect(got, "", found)
	for _, path := range paths {
		if strings.Contains(path, "/#") {
			continue // an item without a name, which may be any other
		}
		if places[path] == nil {
			continue
		}
		if kept = append(kept, path); found[path][unknownField] != path {
			t.Errorf("the unknown field of %q is gone: %v", path, found[path])
		}
	}
	for path, obj := range found {
		// Of several items of one name, one may be left.
		at, ok := obj[unknownField].(string)
		if ok && at != path && numbered.ReplaceAllString(at, "/name=") != path && !strings.Contains(path, "/#") {
			t.Errorf("the unknown field of %q is now in %q", at, path)
		}
	}
	return kept
}

// collect finds all objects by path.
func collect(v any, path string, into map[string]map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		into[path] = v
		for k, item := range v {
			collect(item, path+"/"+k, into)
		}
	case []any:
		for i, item := range v {
			collect(item, path+"/"+placeOf(v, i), into)
		}
	}
}

// placeOf returns the name of a list item, or #index where it has none, or
// #index=name where others have that, too.
func placeOf(items []any, i int) string {
	name := func(item any) string {
		m, _ := item.(map[string]any)
		if meta, ok := m["metadata"].(map[string]any); ok {
			m = meta
		}
		s, _ := m["name"].(string)
		return s
	}
	s, n := name(items[i]), 0
	for _, item := range items {
		if name(item) == s {
			n++
		}
	}
	switch {
	case s == "":
		return fmt.Sprintf("#%d", i)
	case n > 1:
		return fmt.Sprintf("#%d=%s", i, s)
	}
	return "name=" + s
}

// numbered is how the place of an item begins whose name others have, too.
var numbered = regexp.MustCompile(`/#[0-9]+=`)

// withoutEmpty drops nulls, and maps and lists that are empty.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, item any) bool { return withoutEmpty(item) == nil })
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	}
	return v
}
