package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/validators"
)

// TestClaimsFateIsForetold scales, renumbers, orphans, deletes and makes anew
// StatefulSets and changes their policies, all at random, and compares what
// Stayput says of their claims with what the StatefulSet controller and the
// garbage collector then do. It takes half a minute, of seeds that are the same
// every time; with STAYPUT_PROOF ten minutes, of others.
func TestClaimsFateIsForetold(t *testing.T) {
	t.Parallel()
	f := &fates{client: newClient(t, env.Cluster.Config(), "")}
	f.ns = namespace(t, "stayput.dev/mode=warn")
	kubectl(t, "annotate", "namespace", f.ns, "stayput.dev/reclaim-policy=Delete") // the volumes go, too
	seed, until := uint64(1), 30*time.Second
	if os.Getenv("STAYPUT_PROOF") != "" {
		seed, until = rand.Uint64(), 10*time.Minute
	}
	end := time.Now().Add(until)
	first := seed
	var next atomic.Uint64
	next.Store(seed)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for once := true; once || time.Now().Before(end); once = false {
				f.sequence(t, next.Add(1)-1)
			}
		})
	}
	wg.Wait()
	t.Logf("%d sequences from seed %d: %d steps; %d claims went as foretold, %d of them as their StatefulSet was made "+
		"anew, %d stayed as foretold", next.Load()-first, first, f.steps.Load(), f.gone.Load(), f.anew.Load(),
		f.stayed.Load())
	if f.gone.Load() == 0 || f.stayed.Load() == 0 || f.anew.Load() == 0 {
		t.Error("no claim went, or none did as its StatefulSet was made anew, or none stayed: this shows nothing")
	}
}

type fates struct {
	ns                  string
	client              client.Client
	steps, gone, stayed atomic.Int64
	anew                atomic.Int64 // claims that went as their StatefulSet was made anew
}

// A foretelling holds what warnings say will happen to claims.
type foretelling struct {
	lost, may, stay, used, doomed []string
}

// said are the sentences about claims, and where their names go.
var said = []struct {
	sentence *regexp.Regexp
	into     func(*foretelling) *[]string
}{
	{regexp.MustCompile(`must not lose data: (.+?) WILL BE DELETED`), func(f *foretelling) *[]string { return &f.lost }},
	{regexp.MustCompile(`must not lose data: (.+?) may be deleted`), func(f *foretelling) *[]string { return &f.may }},
	{regexp.MustCompile(`cannot free storage: (.+?) stay`), func(f *foretelling) *[]string { return &f.stay }},
	{regexp.MustCompile(`cannot start empty, as (?:its claim exists|claims exist): ([a-z0-9-]+(?:, [a-z0-9-]+)*)`),
		func(f *foretelling) *[]string { return &f.used }},
	{regexp.MustCompile(`cannot keep (.+?), scaled away under Delete`),
		func(f *foretelling) *[]string { return &f.doomed }},
	{regexp.MustCompile(`cannot free storage: (.+?) stay.*they go when it is deleted`),
		func(f *foretelling) *[]string { return &f.doomed }},
}

// read takes the names of claims out of warnings. Of statefulset-ordinals, which
// names Pods, it takes what becomes of the claims of all that leave.
func read(warnings []string, claims, leaving []string) (f foretelling) {
	add := func(to *[]string, names ...string) {
		for _, n := range names {
			if !slices.Contains(*to, n) {
				*to = append(*to, n)
			}
		}
	}
	existing := slices.DeleteFunc(slices.Clone(leaving), func(n string) bool { return !slices.Contains(claims, n) })
	for _, w := range warnings {
		for _, s := range said {
			if m := s.sentence.FindStringSubmatch(w); m != nil {
				add(s.into(&f), strings.Split(m[1], ", ")...)
			}
		}
		var to *[]string
		switch {
		case !strings.HasPrefix(w, "statefulset-ordinals: "):
			continue
		case strings.Contains(w, "their claims WILL BE DELETED with them"):
			to = &f.lost
		case strings.Contains(w, "what they wrote stays"):
			to = &f.stay
			if strings.Contains(w, "claims that go when it is deleted") {
				add(&f.doomed, existing...)
			}
		default:
			continue
		}
		add(to, existing...)
	}
	for _, names := range []*[]string{&f.lost, &f.may, &f.stay, &f.used, &f.doomed} {
		slices.Sort(*names)
	}
	return f
}

// A lifeOf is one StatefulSet name through a sequence of steps.
type lifeOf struct {
	*fates
	seed   uint64
	r      *rand.Rand
	sts    *appsv1.StatefulSet // as it is to be next
	doomed []string            // were said to go with the StatefulSet, and nobody has freed them
	log    []string
}

// sequence runs one StatefulSet through ten steps.
func (f *fates) sequence(t *testing.T, seed uint64) {
	l := &lifeOf{fates: f, seed: seed, r: rand.New(rand.NewPCG(seed, 0))}
	l.fresh()
	l.create()
	if !l.settled(t) {
		return
	}
	for range 10 {
		if t.Failed() || !l.step(t) {
			break
		}
		f.steps.Add(1)
	}
	_ = f.client.Delete(context.Background(), l.sts, client.PropagationPolicy(metav1.DeletePropagationBackground))
}

// fresh is the StatefulSet, to be created, of a random size and policy.
func (l *lifeOf) fresh() {
	name := fmt.Sprintf("f%x", l.seed)
	labels := map[string]string{"app": name}
	sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: name}}
	sts.Spec = appsv1.StatefulSetSpec{
		ServiceName: name, Replicas: new(int32(l.r.IntN(4))), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}},
	}
	if l.r.IntN(2) == 0 {
		sts.Spec.PodManagementPolicy = appsv1.ParallelPodManagement
	}
	sts.Spec.Template.Spec.Containers = []corev1.Container{{Name: "db", Image: "db",
		VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}}}
	class := "disk"
	sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		},
	}}
	l.policy(sts)
	l.sts = sts
}

// replaced keeps the range of a StatefulSet whose Pods the next one adopts, as
// who follows a recipe does. Who does not may make it smaller.
func (l *lifeOf) replaced(old *appsv1.StatefulSet) {
	l.sts.Spec.Replicas, l.sts.Spec.Ordinals = old.Spec.Replicas, old.Spec.Ordinals
}

func (l *lifeOf) create() {
	l.log = append(l.log, "create "+describeSet(l.sts))
	if err := l.client.Create(context.Background(), l.sts); err != nil {
		l.log = append(l.log, err.Error())
	}
}

func (l *lifeOf) policy(sts *appsv1.StatefulSet) {
	of := []appsv1.PersistentVolumeClaimRetentionPolicyType{"Retain", "Delete"}
	sts.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
		WhenDeleted: of[l.r.IntN(2)], WhenScaled: of[min(l.r.IntN(3), 1)^1],
	}
}

func describeSet(sts *appsv1.StatefulSet) string {
	start, replicas := cluster.Ordinals(sts)
	p := sts.Spec.PersistentVolumeClaimRetentionPolicy
	return fmt.Sprintf("%d from %d, whenDeleted %s, whenScaled %s", replicas, start, p.WhenDeleted, p.WhenScaled)
}

// claims returns the claims of the sequence that are not being deleted.
func (l *lifeOf) claims(ctx context.Context) (map[string]*corev1.PersistentVolumeClaim, error) {
	var list corev1.PersistentVolumeClaimList
	if err := l.client.List(ctx, &list, client.InNamespace(l.ns), client.MatchingLabels{"app": l.sts.Name}); err != nil {
		return nil, err
	}
	all := map[string]*corev1.PersistentVolumeClaim{}
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all, nil
}

// step does one thing, having asked what it will do, and compares.
func (l *lifeOf) step(t *testing.T) bool {
	ctx := t.Context()
	before, err := l.claims(ctx)
	if err != nil {
		return l.fail(t, "list claims: %v", err)
	}
	if err := l.client.Get(ctx, client.ObjectKeyFromObject(l.sts), l.sts); err != nil {
		return l.fail(t, "get: %v", err)
	}
	old, is := l.sts.DeepCopy(), l.sts.DeepCopy()
	deletion := metav1.DeletionPropagation("")
	switch n := l.r.IntN(13); {
	case n < 3:
		is.Spec.Replicas = new(int32(l.r.IntN(4)))
	case n < 6:
		l.policy(is)
	case n < 7:
		is.Spec.Replicas = new(int32(l.r.IntN(4)))
		l.policy(is)
	case n < 8:
		is.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: int32(l.r.IntN(3))}
	case n < 9:
		return l.free(t, before)
	case n < 11:
		deletion = metav1.DeletePropagationOrphan
	case n < 12:
		deletion = metav1.DeletePropagationForeground
	default:
		deletion = metav1.DeletePropagationBackground
	}
	if deletion != "" {
		is = nil
		l.log = append(l.log, "delete, "+string(deletion))
	} else {
		l.log = append(l.log, "update to "+describeSet(is))
	}
	foretold, ok := l.foretell(t, before, old, is, deletion)
	if !ok {
		return false
	}
	l.log = append(l.log, fmt.Sprintf("said %+v", foretold))
	if err := l.do(ctx, old, is, deletion, false); err != nil {
		return l.fail(t, "%v", err)
	}
	if is == nil {
		ok = l.eventually(t, "the StatefulSet is gone", func() error {
			err := l.client.Get(ctx, client.ObjectKeyFromObject(old), &appsv1.StatefulSet{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("it is there: %w", err)
		})
		if !ok {
			return false
		}
	}
	if !l.settled(t) {
		return false
	}
	after, err := l.claims(ctx)
	if err != nil {
		return l.fail(t, "list claims: %v", err)
	}
	if !l.compare(t, before, after, foretold, deletion) {
		return false
	}
	switch {
	case is == nil:
		l.doomed = nil
		l.fresh()
		if deletion == metav1.DeletePropagationOrphan {
			l.replaced(old)
			if n := int(*old.Spec.Replicas); n > 0 && l.r.IntN(3) > 0 {
				l.sts.Spec.Replicas = new(int32(l.r.IntN(n)))
				l.sts.Spec.PersistentVolumeClaimRetentionPolicy.WhenScaled = "Delete"
			}
		}
		foretold, ok := l.foretell(t, after, nil, l.sts.DeepCopy(), "")
		if !ok {
			return false
		}
		l.log = append(l.log, fmt.Sprintf("said %+v", foretold))
		l.create()
		l.anew.Add(int64(len(foretold.lost)))
		return l.settled(t) && l.kept(t, after, foretold)
	default:
		l.doomed = append(l.doomed, foretold.doomed...)
		inRange := l.names(is)
		l.doomed = slices.DeleteFunc(l.doomed, func(n string) bool { return slices.Contains(inRange, n) })
	}
	return true
}

// names are the claims that a StatefulSet has, or will.
func (l *lifeOf) names(sts *appsv1.StatefulSet) (all []string) {
	start, replicas := cluster.Ordinals(sts)
	for i := range replicas {
		all = append(all, cluster.ClaimName(sts, "data", start+i))
	}
	return all
}

// do updates or deletes.
func (l *lifeOf) do(ctx context.Context, old, is *appsv1.StatefulSet, deletion metav1.DeletionPropagation,
	dry bool) error {
	if old == nil {
		return l.client.Create(ctx, is.DeepCopy(), client.DryRunAll)
	}
	if is != nil {
		var opts []client.UpdateOption
		if dry {
			opts = append(opts, client.DryRunAll)
		}
		is = is.DeepCopy()
		var now appsv1.StatefulSet // the status moves on
		if err := l.client.Get(ctx, client.ObjectKeyFromObject(old), &now); err != nil {
			return err
		}
		is.ResourceVersion = now.ResourceVersion
		return l.client.Update(ctx, is, opts...)
	}
	opts := []client.DeleteOption{client.PropagationPolicy(deletion)}
	if dry {
		opts = append(opts, client.DryRunAll)
	}
	return l.client.Delete(ctx, old.DeepCopy(), opts...)
}

// foretell runs the rules against the API server, and then asks Stayput until it
// says the same, because its informers may be a moment behind.
func (l *lifeOf) foretell(t *testing.T, before map[string]*corev1.PersistentVolumeClaim, old, is *appsv1.StatefulSet,
	deletion metav1.DeletionPropagation) (said foretelling, ok bool) {
	ctx := t.Context()
	var names, leaving []string
	for n := range before {
		names = append(names, n)
	}
	var was, obj cluster.Object
	if old != nil {
		was = old
	}
	if is != nil {
		obj = is
	}
	if old != nil && is != nil {
		leaving = slices.DeleteFunc(l.names(old), func(n string) bool { return slices.Contains(l.names(is), n) })
	}
	req := cluster.Request{Orphan: deletion == metav1.DeletePropagationOrphan}
	req.User.Username = "jane"
	view := cluster.Environment{Source: cache.Reader(l.client)}.View(ctx, req)
	findings, undecided := validators.Review(view, validators.All, was, obj)
	for _, u := range undecided {
		return said, l.fail(t, "%v", u)
	}
	var warnings []string
	for _, f := range findings {
		warnings = append(warnings, f.String())
	}
	said = read(warnings, names, leaving)
	ok = l.eventually(t, "Stayput says as much", func() error {
		a := ask(ctx, func(ctx context.Context) error { return l.do(ctx, old, is, deletion, true) })
		if got := read(a.warnings, names, leaving); a.err != nil || fmt.Sprint(got) != fmt.Sprint(said) {
			return fmt.Errorf("Stayput says %+v, the rules over the API server %+v (%w)", got, said, a.err)
		}
		return nil
	})
	return said, ok
}

// compare compares the warnings with what happened to the claims. A claim that no
// warning named must still exist.
func (l *lifeOf) compare(t *testing.T, before, after map[string]*corev1.PersistentVolumeClaim, said foretelling,
	deletion metav1.DeletionPropagation) bool {
	if deletion != "" && deletion != metav1.DeletePropagationOrphan {
		for _, n := range l.doomed {
			if !slices.Contains(said.lost, n) {
				return l.fail(t, "%s was said to go with the StatefulSet, and is not now", n)
			}
		}
	}
	for n, was := range before {
		is := after[n]
		stayed := is != nil && is.UID == was.UID
		switch {
		case slices.Contains(said.lost, n) && stayed:
			return l.fail(t, "%s was said to be deleted, and stays", n)
		case slices.Contains(said.lost, n):
			l.gone.Add(1)
		case slices.Contains(said.may, n):
		case !stayed:
			return l.fail(t, "%s is deleted, which nobody said", n)
		case slices.Contains(said.stay, n) || slices.Contains(said.used, n):
			l.stayed.Add(1)
		}
	}
	return true
}

// kept says whether a StatefulSet that was created again found its claims, except
// for those that a warning named.
func (l *lifeOf) kept(t *testing.T, before map[string]*corev1.PersistentVolumeClaim, said foretelling) bool {
	after, err := l.claims(t.Context())
	if err != nil {
		return l.fail(t, "list claims: %v", err)
	}
	return l.compare(t, before, after, said, "")
}

// free removes the owners of claims out of range, as the remedy of
// statefulset-retention does.
func (l *lifeOf) free(t *testing.T, before map[string]*corev1.PersistentVolumeClaim) bool {
	inRange := l.names(l.sts)
	l.log = append(l.log, "free what is out of range")
	for n, pvc := range before {
		if len(pvc.OwnerReferences) == 0 || slices.Contains(inRange, n) {
			continue
		}
		patch := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/ownerReferences"}]`))
		if err := l.client.Patch(t.Context(), pvc, patch); err != nil {
			return l.fail(t, "free %s: %v", n, err)
		}
	}
	l.doomed = nil
	return l.settled(t)
}

// settled waits until the controllers have finished.
func (l *lifeOf) settled(t *testing.T) bool {
	ctx := t.Context()
	tries := 0
	return l.eventually(t, "controllers have settled", func() error {
		claims, err := l.claims(ctx)
		if err != nil {
			return err
		}
		var pods corev1.PodList
		if err := l.client.List(ctx, &pods, client.InNamespace(l.ns), client.MatchingLabels{"app": l.sts.Name}); err != nil {
			return err
		}
		var sts appsv1.StatefulSet
		err = l.client.Get(ctx, client.ObjectKeyFromObject(l.sts), &sts)
		exists := err == nil
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		owners := map[types.UID]bool{}
		if exists {
			owners[sts.UID] = true
		}
		for _, p := range pods.Items {
			owners[p.UID] = true
			owner := metav1.GetControllerOf(&p)
			if p.DeletionTimestamp != nil || owner != nil && !owners[owner.UID] || exists && owner == nil {
				return fmt.Errorf("Pod %s is not settled", p.Name)
			}
		}
		for n, pvc := range claims {
			for _, o := range pvc.OwnerReferences {
				if !owners[o.UID] {
					return fmt.Errorf("%s belongs to %s %s, which is gone", n, o.Kind, o.Name)
				}
			}
			if pvc.DeletionTimestamp != nil {
				return fmt.Errorf("%s is being deleted", n)
			}
		}
		if !exists {
			return nil
		}
		if tries++; tries%50 == 0 { // a controller that ended its round at a claim that was still there
			nudge := fmt.Sprintf(`{"metadata":{"annotations":{"example.com/nudge":"%d"}}}`, tries)
			if err := l.client.Patch(ctx, sts.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(nudge))); err != nil {
				return err
			}
		}
		replicas := *sts.Spec.Replicas
		if sts.Status.ObservedGeneration != sts.Generation || sts.Status.Replicas != replicas ||
			sts.Status.ReadyReplicas != replicas || len(pods.Items) != int(replicas) {
			return fmt.Errorf("%d Pods, status %+v, want %d", len(pods.Items), sts.Status, replicas)
		}
		for _, n := range l.names(&sts) {
			deletes := sts.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted == "Delete"
			if pvc := claims[n]; pvc == nil || pvc.Status.Phase != corev1.ClaimBound ||
				(len(pvc.OwnerReferences) > 0) != deletes {
				return fmt.Errorf("%s does not follow the policy yet", n)
			}
		}
		return nil
	})
}

// eventually can be called in goroutines, which cannot end the test.
func (l *lifeOf) eventually(t *testing.T, what string, f func() error) bool {
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = f(); err == nil {
			return true
		}
	}
	return l.fail(t, "%s: %v", what, err)
}

func (l *lifeOf) fail(t *testing.T, format string, args ...any) bool {
	t.Errorf("seed %d: %s\n\t%s", l.seed, fmt.Sprintf(format, args...), strings.Join(l.log, "\n\t"))
	return false
}
