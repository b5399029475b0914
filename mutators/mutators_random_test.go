package mutators

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	seeds, _ := eachSeed(t, 1000, 1_250_000, mutateRandom)
	t.Logf("%d random objects, one for each of %d mutators", seeds*int64(len(All)), len(All))
}

// eachSeed tries n seeds, or proof with STAYPUT_PROOF=1: in both tests together
// these are ten million objects. It returns how many, and what the small ones
// have met.
func eachSeed(t *testing.T, n, proof int64, try func(*testing.T, *random, int64)) (seeds int64, met map[string]int) {
	if os.Getenv("STAYPUT_PROOF") != "" {
		n = proof
	}
	workers := int64(runtime.GOMAXPROCS(0))
	randoms := make([]*random, workers)
	t.Run("workers", func(t *testing.T) {
		for w := range workers {
			randoms[w] = newRandom()
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				t.Parallel()
				for seed := w; seed < n && !t.Failed(); seed += workers {
					if seed > 0 && seed%100_000 == 0 {
						t.Logf("seed %d of %d", seed, n)
					}
					try(t, randoms[w], seed)
				}
			})
		}
	})
	met = map[string]int{}
	for _, r := range randoms {
		for what, n := range r.met {
			met[what] += n
		}
	}
	return n, met
}

func mutateRandom(t *testing.T, r *random, seed int64) {
	r.begin(seed)
	for _, tc := range []struct {
		mutator *Mutator
		obj     client.Object
		provoke func(client.Object)
		paths   []string // of operations
	}{
		{podIdentity, &corev1.Pod{}, func(obj client.Object) {
			pod := obj.(*corev1.Pod)
			pod.Labels = map[string]string{"random/~" + pod.Name: "", cluster.LabelSubdomain: "web"}
			pod.Name, pod.GenerateName, pod.Namespace = "", "web-", "default"
			pod.OwnerReferences = nil
			pod.Spec.Hostname, pod.Spec.Subdomain, pod.Spec.HostnameOverride, pod.Spec.HostNetwork = "", "", nil, false
		}, []string{"/metadata/name", "/spec/hostname", "/spec/subdomain"}},
		{statefulsetGoverningService, &appsv1.StatefulSet{}, func(obj client.Object) {
			sts := obj.(*appsv1.StatefulSet)
			sts.Namespace, sts.Spec.ServiceName = "default", ""
			metav1.SetMetaDataLabel(&sts.Spec.Template.ObjectMeta, "app", "db")
		}, []string{"/spec/serviceName"}},
		{storageclassRetain, &storagev1.StorageClass{}, func(obj client.Object) {
			sc := obj.(*storagev1.StorageClass)
			sc.ReclaimPolicy = new(corev1.PersistentVolumeReclaimDelete)
			metav1.SetMetaDataAnnotation(&sc.ObjectMeta, cluster.AnnotationLastApplied, "{}")
		}, []string{"/metadata/annotations/stayput.dev~1reclaim-policy-defaulted", "/reclaimPolicy"}},
		{volumeRetain, &corev1.PersistentVolume{}, func(obj client.Object) {
			pv := obj.(*corev1.PersistentVolume)
			metav1.SetMetaDataAnnotation(&pv.ObjectMeta, cluster.AnnotationProvisionedBy, "csi.example.com")
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "data-db-0"}
			pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		}, []string{"/metadata/annotations/stayput.dev~1claim-of", "/metadata/annotations/stayput.dev~1reclaim-policy-set", "/spec/persistentVolumeReclaimPolicy"}},
	} {
		world := lastWorld(t, tc.mutator)
		obj := reflect.New(reflect.TypeOf(tc.obj).Elem()).Interface().(client.Object)
		r.fill(obj)
		tc.provoke(obj)
		s := step{fmt.Sprintf("%s: seed %d", tc.mutator.Name, seed), tc.mutator, manifest.Manifest{Object: obj}, nil, world, cluster.Request{}}
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
func lastWorld(t *testing.T, m *Mutator) (world cluster.World) {
	if known, ok := worlds.Load(m); ok {
		return known.(cluster.World)
	}
	replay(t, m, func(s step) client.Object {
		world.Source = s.world.Source
		return s.doc.Object
	})
	worlds.Store(m, world)
	return world
}
