package mutators

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/randfill"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// FuzzMutators mutates random objects, made just as meaningful as it takes for
// a mutator to act, and checks for each what the testdata prove for a few: that
// the operations are those of the mutator and no others, that they lose nothing
// of the author's, and that mutating the mutated changes nothing.
func FuzzMutators(f *testing.F) {
	for seed := range int64(20) {
		f.Add(seed)
	}
	r := newRandom()
	f.Fuzz(func(t *testing.T, seed int64) { mutateRandom(t, r, seed) })
}

func TestMutatorsRandom(t *testing.T) {
	seeds := int64(1000) // or, with STAYPUT_PROOF=1, five million objects
	if os.Getenv("STAYPUT_PROOF") != "" {
		seeds = 1_250_000
	}
	workers := int64(runtime.GOMAXPROCS(0))
	for w := range workers {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			r := newRandom()
			for seed := w; seed < seeds && !t.Failed(); seed += workers {
				if seed > 0 && seed%100_000 == 0 {
					t.Logf("seed %d of %d", seed, seeds)
				}
				mutateRandom(t, r, seed)
			}
		})
	}
}

func mutateRandom(t *testing.T, r *random, seed int64) {
	for _, tc := range []struct {
		mutator *Mutator
		obj     cluster.Object
		provoke func(cluster.Object)
		paths   []string // of operations
	}{
		{podIdentity, &corev1.Pod{}, func(obj cluster.Object) {
			pod := obj.(*corev1.Pod)
			pod.Labels = map[string]string{"random/~" + pod.Name: "", cluster.LabelSubdomain: "web"}
			pod.Name, pod.GenerateName, pod.Namespace = "", "web-", "default"
			pod.OwnerReferences = nil
			pod.Spec.Hostname, pod.Spec.Subdomain, pod.Spec.HostnameOverride, pod.Spec.HostNetwork = "", "", nil, false
		}, []string{"/metadata/name", "/spec/hostname", "/spec/subdomain"}},
		{statefulsetGoverningService, &appsv1.StatefulSet{}, func(obj cluster.Object) {
			sts := obj.(*appsv1.StatefulSet)
			sts.Namespace, sts.Spec.ServiceName = "default", ""
			metav1.SetMetaDataLabel(&sts.Spec.Template.ObjectMeta, "app", "db")
		}, []string{"/spec/serviceName"}},
		{storageclassRetain, &storagev1.StorageClass{}, func(obj cluster.Object) {
			sc := obj.(*storagev1.StorageClass)
			sc.ReclaimPolicy = new(corev1.PersistentVolumeReclaimDelete)
			metav1.SetMetaDataAnnotation(&sc.ObjectMeta, cluster.AnnotationLastApplied, "{}")
		}, []string{"/metadata/annotations/stayput.dev~1reclaim-policy-defaulted", "/reclaimPolicy"}},
		{volumeRetain, &corev1.PersistentVolume{}, func(obj cluster.Object) {
			pv := obj.(*corev1.PersistentVolume)
			metav1.SetMetaDataAnnotation(&pv.ObjectMeta, cluster.AnnotationProvisionedBy, "csi.example.com")
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "data-db-0"}
			pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		}, []string{"/metadata/annotations/stayput.dev~1claim-of", "/metadata/annotations/stayput.dev~1reclaim-policy-set",
			"/spec/persistentVolumeReclaimPolicy"}},
	} {
		world := lastWorld(t, tc.mutator)
		obj := reflect.New(reflect.TypeOf(tc.obj).Elem()).Interface().(cluster.Object)
		r.fill(seed, obj)
		if r.Intn(2) == 0 {
			obj.SetAnnotations(nil)
		}
		tc.provoke(obj)
		s := step{fmt.Sprintf("%s: seed %d", tc.mutator.Name, seed), tc.mutator, manifest.Manifest{Object: obj}, nil, world,
			cluster.Request{}}
		s.req.UID = types.UID(s.where)
		_, ops, _ := s.check(t)
		var paths []string
		for _, op := range ops {
			paths = append(paths, op.Path)
		}
		if !slices.Equal(paths, tc.paths) {
			t.Errorf("%s: operations on %q, want %q", s, paths, tc.paths)
		}
	}
}

// worlds are those that lastWorld has seen, by mutator.
var worlds sync.Map

// lastWorld returns the cluster as it is at the end of a mutator's testdata.
func lastWorld(t *testing.T, m *Mutator) (world cluster.Environment) {
	if known, ok := worlds.Load(m); ok {
		return known.(cluster.Environment)
	}
	replay(t, m, func(s step) cluster.Object {
		world.Source = s.world.Source
		return s.doc.Object
	})
	worlds.Store(m, world)
	return world
}

// A random makes objects of seeds. Most are small: what an object costs grows
// with its size, and what goes wrong with many elements mostly does with few.
type random struct {
	*rand.Rand
	small, large *randfill.Filler
}

func newRandom() *random {
	r := rand.New(rand.NewSource(0))
	small := filler(r).NilChance(.95).Funcs(func(s *string, c randfill.Continue) { *s = c.String(6) })
	return &random{r, small, filler(r)}
}

// fill fills an object with what depends on the seed alone.
func (r *random) fill(seed int64, obj cluster.Object) {
	r.Seed(seed)
	if seed%64 == 0 {
		r.large.Fill(obj)
		return
	}
	r.small.Fill(obj)
	r.thin(reflect.ValueOf(obj).Elem())
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
		if _, own := v.Addr().Interface().(json.Marshaler); own {
			return // and holds what nobody else can set
		}
		for i := range v.NumField() {
			r.thin(v.Field(i))
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

// filler returns what fills large objects with what r draws.
func filler(r *rand.Rand) *randfill.Filler {
	fill := fuzzer.FuzzerFor(metafuzzer.Funcs, r, scheme.Codecs).NilChance(.6).NumElements(0, 3)
	return fill.Funcs(func(f *metav1.FieldsV1, c randfill.Continue) {
		f.SetRawBytes(fmt.Appendf(nil, `{"f:spec":{"f:%d":{}}}`, c.Uint32()))
	})
}
