package validators

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/cluster/clustertest"
)

// TestStoredObjects reviews the objects of testdata as audit does, out of a
// snapshot that holds them as caches do: the findings are those about the
// objects as they were written.
func TestStoredObjects(t *testing.T) {
	reviewed := 0
	for _, r := range All {
		data, err := clustertest.Load(filepath.Join("testdata", r.Name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := data.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		stored := cache.NewSnapshot()
		for gvk := range cluster.Scheme().AllKnownTypes() {
			stored.Know(gvk)
		}
		objs := data.Objects
		for _, s := range data.Steps {
			if s.Obj != nil {
				objs = append(objs, s.Obj)
			}
		}
		for i := range objs {
			objs[i] = objs[i].DeepCopyObject().(cluster.Object)
			objs[i].SetResourceVersion("1") // a cluster has them
		}
		for _, obj := range data.Objects {
			if err := stored.Add(obj.DeepCopyObject().(cluster.Object)); err != nil {
				t.Fatal(err)
			}
		}
		for _, obj := range objs {
			kept := cache.NewSnapshot()
			if err := kept.Add(obj.DeepCopyObject().(cluster.Object)); err != nil {
				t.Fatal(err)
			}
			kept.Know(kindOf(t, obj))
			got := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(cluster.Object)
			if err := kept.Get(t.Context(), cluster.KeyOf(obj), got); err != nil {
				t.Fatal(err)
			}
			want, _ := Review(cluster.Environment{Source: snapshot, Finder: snapshot}.View(t.Context(), cluster.Request{}),
				[]*Rule{r}, nil, obj)
			found, undecided := Review(cluster.Environment{Source: stored, Finder: stored}.View(t.Context(),
				cluster.Request{}), []*Rule{r}, nil, got)
			if len(undecided) > 0 {
				t.Errorf("%s: %s %s: %v", data.File, kindOf(t, obj).Kind, obj.GetName(), undecided[0])
			}
			if diff := cmp.Diff(texts(want), texts(found)); diff != "" {
				t.Errorf("%s: %s %s (-as written +stored):\n%s", data.File, kindOf(t, obj).Kind, obj.GetName(), diff)
			}
			reviewed++
		}
	}
	if reviewed < len(All) {
		t.Errorf("%d objects were reviewed", reviewed)
	}
}

func kindOf(t *testing.T, obj cluster.Object) schema.GroupVersionKind {
	t.Helper()
	gvk, err := cluster.GVK(obj)
	if err != nil {
		t.Fatal(err)
	}
	return gvk
}
