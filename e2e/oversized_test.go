package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/validators"
)

// TestOversizedVolumesAreForetold makes random sets of volumes and claims, and
// compares what claim-oversized-volume and claim-unbindable say with what the
// PersistentVolume controller then binds, or the scheduler where the class waits for it. The
// number of sets is STAYPUT_BINDING_SETS, of a random seed, or 200.
func TestOversizedVolumesAreForetold(t *testing.T) {
	t.Parallel()
	sets := 200
	if text := os.Getenv("STAYPUT_BINDING_SETS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("STAYPUT_BINDING_SETS=%q: must be a positive number", text)
		}
		sets = n
	}
	b := &binder{ns: namespace(t), client: newClient(t, env.Cluster.Config(), "")}
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for seed := range seeds {
				b.try(t, seed)
			}
		})
	}
	// The same sets every time, so that a failure can be looked at; others for
	// a controller that asks for a number of them.
	base := uint64(1)
	if os.Getenv("STAYPUT_BINDING_SETS") != "" {
		base = rand.Uint64()
	}
	for i := range sets {
		seeds <- base + uint64(i)
	}
	close(seeds)
	wg.Wait()
	t.Logf("%d sets from seed %d: %d claims, of which %d were bound, %d to a volume larger than asked, and %d not, "+
		"as foretold", sets, base, b.claims.Load(), b.bound.Load(), b.oversized.Load(), b.unbindable.Load())
	if b.oversized.Load() == 0 || b.unbindable.Load() == 0 ||
		b.bound.Load() == b.claims.Load() || b.bound.Load() == b.oversized.Load() {
		t.Error("the sets have no claims of some sort, and show nothing")
	}
}

type binder struct {
	ns     string
	client client.Client

	claims, bound, oversized, unbindable atomic.Int64
}

// A forecast is what two rules say about a claim.
type forecast struct {
	oversized  string // the volume that claim-oversized-volume names, or ""
	unbindable bool   // whether claim-unbindable finds it
}

// try makes one set and its claims one after the other.
func (b *binder) try(t *testing.T, seed uint64) {
	ctx := t.Context()
	s := newBindingSet(b.ns, seed)
	create := func(obj cluster.Object) bool {
		err := b.client.Create(ctx, obj)
		if err != nil {
			t.Errorf("seed %d: make %T %s: %v", seed, obj, obj.GetName(), err)
		}
		return err == nil
	}
	if !create(s.class) {
		return
	}
	defer b.remove(s.class)
	for _, pv := range s.volumes {
		if !create(pv) {
			return
		}
		defer b.remove(pv)
	}
	for _, pv := range s.volumes {
		ok := s.eventually(t, pv.Name+" is available", func() error {
			if err := b.client.Get(ctx, client.ObjectKeyFromObject(pv), pv); err != nil {
				return err
			}
			if pv.Status.Phase == corev1.VolumePending || pv.Status.Phase == "" {
				return fmt.Errorf("phase %q", pv.Status.Phase)
			}
			return nil
		})
		if !ok {
			return
		}
	}
	var foretold []forecast
	for _, pvc := range s.claims {
		want, err := b.foretell(ctx, pvc)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
			return
		}
		// Stayput's own informers may be a moment behind.
		ok := s.eventually(t, "Stayput foretells as much", func() error {
			dry := pvc.DeepCopy()
			a := ask(ctx, func(ctx context.Context) error { return b.client.Create(ctx, dry, client.DryRunAll) })
			if got := forecastOf(a.warnings); a.err != nil || got != want {
				return fmt.Errorf("about %s Stayput foretells %v, the same rules over the API server %v (%w)", pvc.Name, got, want,
					a.err)
			}
			return nil
		})
		if !ok || !create(pvc) {
			return
		}
		defer b.remove(pvc)
		if s.waits {
			pod := podOf(pvc)
			if !create(pod) {
				return
			}
			defer b.remove(pod)
		}
		if !b.compare(t, s, pvc, want) {
			return
		}
		foretold = append(foretold, want)
	}
	for i, pvc := range s.claims { // those given up may have been bound since
		b.claims.Add(1)
		if err := b.client.Get(ctx, client.ObjectKeyFromObject(pvc), pvc); err != nil {
			t.Errorf("seed %d: %v", seed, err)
			return
		}
		if pvc.Status.Phase == corev1.ClaimBound {
			b.bound.Add(1)
		}
		if s.larger(pvc) != "" {
			b.oversized.Add(1)
		}
		if foretold[i].unbindable {
			b.unbindable.Add(1)
		}
		s.agree(t, pvc, foretold[i])
	}
}

func (b *binder) remove(obj cluster.Object) {
	_ = b.client.Delete(context.Background(), obj, client.GracePeriodSeconds(0))
}

// foretell returns the forecast for a claim.
func (b *binder) foretell(ctx context.Context, pvc *corev1.PersistentVolumeClaim) (forecast, error) {
	view := cluster.Environment{Source: cache.Reader(b.client)}.View(ctx, cluster.Request{})
	findings, undecided := validators.Review(view, validators.All, nil, pvc)
	for _, u := range undecided {
		return forecast{}, u
	}
	var said []string
	for _, f := range findings {
		said = append(said, f.Short(250))
	}
	return forecastOf(said), nil
}

func forecastOf(warnings []string) (f forecast) {
	for _, w := range warnings {
		switch rule, _, _ := strings.Cut(w, ": "); rule {
		case "claim-oversized-volume":
			_, rest, _ := strings.Cut(w, "the nearest volume, ")
			f.oversized, _, _ = strings.Cut(rest, ",")
		case "claim-unbindable":
			f.unbindable = true
		}
	}
	return f
}

// compare waits until the controllers have decided about a claim.
func (b *binder) compare(t *testing.T, s *bindingSet, pvc *corev1.PersistentVolumeClaim, foretold forecast) (ok bool) {
	ok = s.eventually(t, "a decision about "+pvc.Name, func() error {
		if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(pvc), pvc); err != nil {
			return err
		}
		// The controllers say that they found nothing also of what they find a
		// moment later, when they have seen all volumes.
		none := foretold.unbindable || s.chosen(pvc)
		if pvc.Status.Phase == corev1.ClaimBound || none && b.given(t, s, pvc) {
			return nil
		}
		return fmt.Errorf("%s, volume %q, foretold %v", pvc.Status.Phase, pvc.Spec.VolumeName, foretold)
	})
	if !ok {
		return false
	}
	return s.agree(t, pvc, foretold)
}

// agree compares what was foretold of a claim with what it got.
func (s *bindingSet) agree(t *testing.T, pvc *corev1.PersistentVolumeClaim, foretold forecast) bool {
	none := pvc.Status.Phase != corev1.ClaimBound && !s.chosen(pvc)
	if s.larger(pvc) == foretold.oversized && none == foretold.unbindable {
		return true
	}
	t.Errorf("seed %d: %s asks for %s (%v): foretold %v, bound to %q\n%s",
		s.seed, pvc.Name, pvc.Spec.Resources.Requests.Storage(), pvc.Spec.AccessModes, foretold, pvc.Spec.VolumeName, s)
	return false
}

// larger returns the volume that a claim is bound to if it is larger than
// asked, by more than a tenth, and nobody had chosen it.
func (s *bindingSet) larger(pvc *corev1.PersistentVolumeClaim) string {
	for _, pv := range s.volumes {
		if pvc.Status.Phase == corev1.ClaimBound && pv.Name == pvc.Spec.VolumeName &&
			10*pv.Spec.Capacity.Storage().Value() > 11*pvc.Spec.Resources.Requests.Storage().Value() && !s.chosen(pvc) {
			return pv.Name
		}
	}
	return ""
}

// given says whether the controllers have looked at a claim and found nothing.
// Of a claim that names its volume the PersistentVolume controller decides,
// also where the class waits: the scheduler only finds it not bound yet, and
// that volume would still look free to the next claim.
func (b *binder) given(t *testing.T, s *bindingSet, pvc *corev1.PersistentVolumeClaim) bool {
	if s.waits && pvc.Spec.VolumeName == "" { // the scheduler says so on the Pod
		var pod corev1.Pod
		if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(pvc), &pod); err != nil {
			return false
		}
		return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable
		})
	}
	// Events of the volumes that are kept for it are about these alone.
	events, err := env.client.CoreV1().Events(b.ns).List(t.Context(),
		metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(pvc.UID)})
	return err == nil && slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
		return e.Reason != "VolumeMismatch" || pvc.Spec.VolumeName != ""
	})
}

// A bindingSet is a class of its own, with volumes, and claims that are made in
// their order. No two volumes have one size, and of two lists of access modes
// one holds the other: else the controllers themselves leave it to chance.
type bindingSet struct {
	seed    uint64
	waits   bool
	class   *storagev1.StorageClass
	volumes []*corev1.PersistentVolume
	claims  []*corev1.PersistentVolumeClaim
}

func newBindingSet(ns string, seed uint64) *bindingSet {
	r := rand.New(rand.NewPCG(seed, 0))
	s := &bindingSet{seed: seed, waits: r.IntN(4) == 0}
	name := fmt.Sprintf("set-%x", seed)
	mode := storagev1.VolumeBindingImmediate
	if s.waits {
		mode = storagev1.VolumeBindingWaitForFirstConsumer
	}
	s.class = &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name},
		Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: &mode}
	chain := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany}
	r.Shuffle(len(chain), func(i, j int) { chain[i], chain[j] = chain[j], chain[i] })
	modes := func(most int) []corev1.PersistentVolumeAccessMode {
		if r.IntN(12) == 0 {
			return []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
		}
		return slices.Clone(chain[:1+r.IntN(most)])
	}
	labels := func() map[string]string { return map[string]string{"tier": []string{"a", "b"}[r.IntN(2)]} }
	sizes := r.Perm(20)
	claims, volumes := 1+r.IntN(4), 3+r.IntN(5)
	volume := func(i int) string { return fmt.Sprintf("%s-v%d", name, i) }
	for i := range claims {
		pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns,
			Name: fmt.Sprintf("%s-%d", name, i)}}
		pvc.Spec = corev1.PersistentVolumeClaimSpec{
			AccessModes: modes(2), StorageClassName: &name, VolumeMode: volumeMode(r),
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: gibibytes(1 +
				r.IntN(12))}},
		}
		switch r.IntN(8) {
		case 0, 1:
			pvc.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels()}
		case 2: // the author chooses, perhaps wrongly
			pvc.Spec.VolumeName = volume(r.IntN(volumes))
		}
		s.claims = append(s.claims, pvc)
	}
	for i := range volumes {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: volume(i), Labels: labels()}}
		pv.Spec = corev1.PersistentVolumeSpec{
			AccessModes: modes(3), StorageClassName: name, VolumeMode: volumeMode(r),
			Capacity: corev1.ResourceList{corev1.ResourceStorage: gibibytes(1 + sizes[i])},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "example.com",
				VolumeHandle: name}},
		}
		switch r.IntN(8) {
		case 0: // kept for one of the claims
			pvc := s.claims[r.IntN(claims)]
			if pvc.Spec.VolumeName != "" {
				break // it wants another one, which the controllers take long to settle
			}
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: ns, Name: pvc.Name}
			// Perhaps too small, but else fit, or the controllers wait for each other.
			pv.Spec.AccessModes, pv.Spec.VolumeMode = pvc.Spec.AccessModes, pvc.Spec.VolumeMode
		case 1: // of a claim that is gone: released
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: ns, Name: "gone", UID: "3a2c6b86-5a55-4d6c-8f26-000000000000"}
		}
		s.volumes = append(s.volumes, pv)
	}
	return s
}

// volumeMode is mostly Filesystem, as the API server writes it where it is
// left out.
func volumeMode(r *rand.Rand) *corev1.PersistentVolumeMode {
	if r.IntN(12) == 0 {
		return new(corev1.PersistentVolumeBlock)
	}
	return new(corev1.PersistentVolumeFilesystem)
}

func gibibytes(n int) resource.Quantity { return resource.MustParse(fmt.Sprintf("%dGi", n)) }

// eventually is for goroutines, which cannot end the test. It waits for minutes:
// one goroutine of the PersistentVolume controller serves the claims of all tests.
func (s *bindingSet) eventually(t *testing.T, what string, f func() error) bool {
	var err error
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return true
		}
	}
	t.Errorf("seed %d: %s: %v\n%s", s.seed, what, err, s)
	return false
}

// chosen says whether somebody had chosen the claim's volume, by either name.
func (s *bindingSet) chosen(pvc *corev1.PersistentVolumeClaim) bool {
	i := slices.IndexFunc(s.claims, func(c *corev1.PersistentVolumeClaim) bool { return c.Name == pvc.Name })
	original := newBindingSet(pvc.Namespace, s.seed)
	return original.claims[i].Spec.VolumeName != "" || slices.ContainsFunc(original.volumes,
		func(pv *corev1.PersistentVolume) bool {
			return pv.Name == pvc.Spec.VolumeName && pv.Spec.ClaimRef != nil
		})
}

func (s *bindingSet) String() string {
	var out strings.Builder
	for _, pv := range s.volumes {
		fmt.Fprintf(&out, "%s: %s %v %v %s %v\n", pv.Name, pv.Spec.Capacity.Storage(), pv.Spec.AccessModes, pv.Labels,
			*pv.Spec.VolumeMode, pv.Spec.ClaimRef)
	}
	for _, pvc := range s.claims {
		fmt.Fprintf(&out, "%s: %s %v %v %s %q\n", pvc.Name, pvc.Spec.Resources.Requests.Storage(), pvc.Spec.AccessModes,
			pvc.Spec.Selector, *pvc.Spec.VolumeMode, pvc.Spec.VolumeName)
	}
	return out.String()
}

// podOf returns a Pod by which a class that waits gets its first consumer.
func podOf(pvc *corev1.PersistentVolumeClaim) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pvc.Namespace, Name: pvc.Name}}
	pod.Spec.Containers = []corev1.Container{{Name: "db", Image: "db"}}
	pod.Spec.TerminationGracePeriodSeconds = new(int64(1))
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pvc.Name},
	}}}
	return pod
}
