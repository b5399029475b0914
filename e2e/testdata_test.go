package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/validators"
)

// rulesOnly has every rule on, and no mutator that would mend what the
// testdata shows, so that nothing is retained either.
const rulesOnly = `apiVersion: stayput.dev/v1alpha1
kind: Configuration
mutators: {pod-identity: off, volume-retain: off, storageclass-retain: off, statefulset-governing-service: off}
`

// TestTestdataOnARealAPIServer replays every rule's testdata with server-side
// dry runs: the objects are in the cluster, and no controller touches them.
func TestTestdataOnARealAPIServer(t *testing.T) {
	t.Parallel()
	r := newReplayer(t)
	for _, rule := range validators.All {
		t.Run(rule.Name, func(t *testing.T) { r.replay(t, rule) })
	}
}

type replayer struct {
	*bare
	setup client.Client           // is never denied anything
	uids  map[types.UID]types.UID // what the API server made of those that testdata names
}

func newReplayer(t *testing.T) *replayer {
	off := rulesOnly + "rules: {"
	for _, rule := range validators.All {
		if rule.Level == validators.Off {
			off += rule.Name + ": warn, "
		}
	}
	b := newBare(t, off+"}\n")
	return &replayer{b, newClient(t, b.Cluster.Config(), "system:kube-controller-manager"), map[types.UID]types.UID{}}
}

// replay compares what the API server says about each step with what the rule
// says about it in memory, which its unit test holds to the # want comments.
func (r *replayer) replay(t *testing.T, rule *validators.Rule) {
	data, err := clustertest.Load(filepath.Join("..", "validators", "testdata", rule.Name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	data.On(env.kubernetes.Newest)
	if len(data.Steps) == 0 {
		t.Skipf("Kubernetes 1.%d knows nothing of what the rule is about", env.minor)
	}
	snapshot, err := data.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	stored := map[cluster.Object]bool{}
	for _, obj := range data.Objects {
		stored[obj] = true
		r.put(t, obj.DeepCopyObject().(cluster.Object), rule.Level == validators.Hint)
	}
	r.own(t, data.Objects)
	if rule.Level == validators.Off {
		rule.Level = validators.Warn // as the configuration has it
	}
	// A hint is a denial where the API server does not refuse.
	one := []*validators.Rule{rule}
	policy := &validators.Policy{Rules: slices.Concat(validators.Hints(one), validators.WithoutHints(one))}
	for _, s := range data.Steps {
		at := fmt.Sprintf("%s:%d", s.File, s.Line(""))
		if s.Old == nil && s.Obj != nil && s.Obj.GetResourceVersion() != "" {
			continue // what is there already is audited, and asks for nothing
		}
		if !cluster.Watched(cluster.KnownObject(s.Object).GVK()) {
			continue // this is for lint: nobody asks about it
		}
		if s.Old != nil && !stored[s.Old] { // an update of what an earlier step left
			r.remove(t, s.Old.DeepCopyObject().(cluster.Object))
			old := s.Old.DeepCopyObject().(cluster.Object)
			r.put(t, old, rule.Level == validators.Hint)
			r.own(t, data.Objects)
			if s.Stated && !equality.Semantic.DeepDerivative(specOf(s.Old), specOf(old)) {
				t.Logf("%s: this API server drops what was there before", at)
				continue
			}
		}
		a := r.step(t, s)
		if unserved(s.Object, a.err) {
			continue
		}
		var got, want []string
		for _, w := range a.warnings {
			got = append(got, "warn: "+date.ReplaceAllString(w, "DATE"))
		}
		for _, c := range a.causes() {
			got = append(got, "deny: "+c.Message)
		}
		got = slices.DeleteFunc(got, func(s string) bool { return !strings.HasPrefix(s[len("warn: "):], rule.Name+": ") })
		req := s.Request
		req.UID = "replay" // at admission, some kinds are not known
		if req.User.Username == "" {
			req.User.Username = "admin" // the API server always knows who asks
		}
		environment := cluster.Environment{Source: snapshot, Retain: cluster.RetainOff, Kubernetes: env.kubernetes}
		review := func() []validators.Finding {
			verdict, err := policy.Review(environment.View(t.Context(), req), s.Old, s.Obj)
			if err != nil || len(verdict.Undecided) > 0 {
				t.Fatal(at, err, verdict.Undecided)
			}
			return verdict.Findings
		}
		findings := review()
		if s.Manifests && s.Stated {
			// Lint for this very version knows what the API server drops before the rule sees it.
			if environment.Manifests = true; len(review()) == 0 {
				findings = nil
			}
		}
		for _, f := range findings {
			if f.Level == validators.Deny {
				want = append(want, "deny: "+f.Short(500))
			} else {
				want = append(want, "warn: "+date.ReplaceAllString(f.Short(250), "DATE"))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-in memory +from the API server):\n%s", at, diff)
		}
		if a.err != nil && len(a.causes()) == 0 && rule.Level != validators.Hint && !apierrors.IsAlreadyExists(a.err) {
			t.Errorf("%s: the API server takes exception: %v", at, a.err)
		}
	}
}

// unserved says whether the API server refused an object because it is older than the
// kind.
func unserved(obj cluster.Object, err error) bool {
	return meta.IsNoMatchError(err) && cluster.KnownObject(obj).Optional
}

// specOf returns the spec of an object, or nil.
func specOf(obj cluster.Object) any {
	if spec := reflect.ValueOf(obj).Elem().FieldByName("Spec"); spec.IsValid() {
		return spec.Interface()
	}
	return nil
}

// date is what the API server alone writes: when an object was created.
var date = regexp.MustCompile(`\b20\d\d-\d\d-\d\d\b`)

// put makes an object and its status part of the cluster until the test ends.
// What the API server refuses may be missing where a rule is about just that.
func (r *replayer) put(t *testing.T, obj cluster.Object, mayBeRefused bool) {
	t.Helper()
	ctx := t.Context()
	if obj.GetNamespace() != "" {
		r.ensureNamespace(t, obj.GetNamespace())
	}
	if ns, ok := obj.(*corev1.Namespace); ok {
		r.putNamespace(t, ns)
		return
	}
	terminating := obj.GetDeletionTimestamp() != nil
	if terminating { // which it only becomes once it is there
		obj.SetDeletionTimestamp(nil)
		obj.SetDeletionGracePeriodSeconds(nil)
		obj.SetFinalizers(append(obj.GetFinalizers(), "stayput.dev/test"))
	}
	status := obj.DeepCopyObject().(cluster.Object)
	obj.SetCreationTimestamp(metav1.Time{})
	obj.SetResourceVersion("")
	if err := r.setup.Create(ctx, obj); apierrors.IsInvalid(err) && mayBeRefused || unserved(obj, err) {
		return
	} else if err != nil {
		t.Fatalf("set up %T %s: %v", obj, obj.GetName(), err)
	}
	r.uids[status.GetUID()] = obj.GetUID()
	t.Cleanup(func() { r.remove(t, obj) })
	if _, ok := obj.(*cluster.CustomResourceDefinition); ok {
		return // the API server itself writes its status
	}
	status.SetResourceVersion(obj.GetResourceVersion())
	status.SetUID(obj.GetUID())
	if err := r.setup.Status().Update(ctx, status); err != nil && !apierrors.IsNotFound(err) &&
		!apierrors.IsMethodNotSupported(err) {
		t.Fatalf("set up the status of %T %s: %v", obj, obj.GetName(), err)
	}
	if terminating {
		if err := r.setup.Delete(ctx, obj); err != nil {
			t.Fatalf("set up the deletion of %T %s: %v", obj, obj.GetName(), err)
		}
	}
}

// own makes objects name the UIDs of their owners that the API server chose.
func (r *replayer) own(t *testing.T, objs []cluster.Object) {
	t.Helper()
	for _, obj := range objs {
		refs := slices.Clone(obj.GetOwnerReferences())
		known := false
		for i, o := range refs {
			if uid, ok := r.uids[o.UID]; ok {
				refs[i].UID, known = uid, true
			}
		}
		if !known {
			continue
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": refs}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.setup.Patch(t.Context(), obj.DeepCopyObject().(cluster.Object),
			client.RawPatch(types.MergePatchType, patch)); err != nil {
			t.Fatalf("set up the owners of %T %s: %v", obj, obj.GetName(), err)
		}
	}
}

func (r *replayer) remove(t *testing.T, obj cluster.Object) {
	ctx := context.Background()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	if err := r.setup.Patch(ctx, obj, patch); err != nil && !apierrors.IsNotFound(err) {
		t.Errorf("clean up %T %s: %v", obj, obj.GetName(), err)
	}
	if err := r.setup.Delete(ctx, obj, client.GracePeriodSeconds(0)); err != nil && !apierrors.IsNotFound(err) {
		t.Errorf("clean up %T %s: %v", obj, obj.GetName(), err)
	}
}

func (r *replayer) ensureNamespace(t *testing.T, name string) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := r.setup.Create(t.Context(), ns); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("set up namespace %s: %v", name, err)
	}
}

// putNamespace gives a namespace the labels and annotations of the testdata,
// and takes them away when the test ends.
func (r *replayer) putNamespace(t *testing.T, want *corev1.Namespace) {
	t.Helper()
	r.ensureNamespace(t, want.Name)
	edit := func(ctx context.Context, apply func(ns *corev1.Namespace)) {
		var ns corev1.Namespace
		if err := r.setup.Get(ctx, client.ObjectKey{Name: want.Name}, &ns); err != nil {
			t.Errorf("set up namespace %s: %v", want.Name, err)
			return
		}
		apply(&ns)
		if err := r.setup.Update(ctx, &ns); err != nil {
			t.Errorf("set up namespace %s: %v", want.Name, err)
		}
	}
	edit(t.Context(), func(ns *corev1.Namespace) {
		ns.Annotations = want.Annotations
		for k, v := range want.Labels {
			ns.Labels[k] = v
		}
	})
	t.Cleanup(func() {
		edit(context.Background(), func(ns *corev1.Namespace) {
			ns.Annotations = nil
			for k := range want.Labels {
				if k != corev1.LabelMetadataName {
					delete(ns.Labels, k)
				}
			}
		})
	})
}

// step asks the API server to do what a step says, without doing it.
func (r *replayer) step(t *testing.T, s clustertest.Step) answer {
	t.Helper()
	c := newClient(t, r.Cluster.Config(), s.Request.User.Username)
	switch {
	case s.Obj == nil:
		var opts []client.DeleteOption
		if s.Request.Orphan {
			opts = append(opts, client.PropagationPolicy(metav1.DeletePropagationOrphan))
		}
		return ask(t.Context(), func(ctx context.Context) error {
			return c.Delete(ctx, s.Old.DeepCopyObject().(cluster.Object), append(opts, client.DryRunAll)...)
		})
	case s.Old == nil:
		obj := s.Obj.DeepCopyObject().(cluster.Object)
		if pv, ok := obj.(*corev1.PersistentVolume); ok && pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.UID != "" {
			if uid, ok := r.uids[pv.Spec.ClaimRef.UID]; ok {
				pv.Spec.ClaimRef.UID = uid
			}
		}
		obj.SetDeletionTimestamp(nil)
		obj.SetCreationTimestamp(metav1.Time{})
		return ask(t.Context(), func(ctx context.Context) error { return c.Create(ctx, obj, client.DryRunAll) })
	}
	live := s.Old.DeepCopyObject().(cluster.Object)
	key := client.ObjectKeyFromObject(live)
	if err := c.Get(t.Context(), key, live); err != nil {
		t.Fatal(err)
	}
	obj := s.Obj.DeepCopyObject().(cluster.Object)
	obj.SetResourceVersion(live.GetResourceVersion())
	obj.SetUID(live.GetUID())
	return ask(t.Context(), func(ctx context.Context) error { return c.Update(ctx, obj, client.DryRunAll) })
}
