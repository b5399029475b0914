package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const ledgers = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ledgers.owner.example.com}
spec:
  group: owner.example.com
  names: {kind: Ledger, plural: ledgers, singular: ledger}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true,
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

const ledger = `apiVersion: owner.example.com/v1
kind: Ledger
metadata: {name: mysql, finalizers: [owner.example.com/claims-first]}
`

// A claimsFirst is an operator that, when its custom resource is deleted, deletes
// the claims of the StatefulSet before that. It tries what is refused again.
type claimsFirst struct {
	ns, user string
	claims   []string
	client   client.Client
	stopped  chan struct{}

	mu       sync.Mutex
	refusals []string
	warnings []string
}

// newClaimsFirst makes a Ledger that controls a StatefulSet, and its operator.
func newClaimsFirst(t *testing.T) (o *claimsFirst, volumes []string) {
	t.Helper()
	ns := namespace(t)
	newAccount(t, ns, "operator")
	apply(t, ns, ledger)
	uid := kubectl(t, "get", "ledger", "mysql", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	volumes = database(t, ns, 2, "metadata: {name: mysql}\n", fmt.Sprintf(
		"metadata: {name: mysql, ownerReferences: [{apiVersion: owner.example.com/v1, kind: Ledger, name: mysql, uid: %s, "+
			"controller: true}]}\n", uid))
	letGo(t, volumes)
	o = &claimsFirst{ns: ns, user: "system:serviceaccount:" + ns + ":operator",
		claims: []string{"data-mysql-0", "data-mysql-1"}, stopped: make(chan struct{})}
	o.client = newClient(t, env.Cluster.Config(), o.user)
	ctx, cancel := context.WithCancel(t.Context())
	go o.run(ctx)
	t.Cleanup(func() {
		cancel()
		<-o.stopped
		finish(ns)
	})
	return o, volumes
}

// finish does what the operator has left.
func finish(ns string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, _ = env.Kubectl(ctx, "", "patch", "ledger", "mysql", "-n", ns, "--type=merge", "-p",
		`{"metadata":{"finalizers":null}}`)
}

// run does the operator's work until the custom resource is gone.
func (o *claimsFirst) run(ctx context.Context) {
	defer close(o.stopped)
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		cr := &unstructured.Unstructured{}
		cr.SetAPIVersion("owner.example.com/v1")
		cr.SetKind("Ledger")
		switch err := o.client.Get(ctx, client.ObjectKey{Namespace: o.ns, Name: "mysql"}, cr); {
		case apierrors.IsNotFound(err):
			return
		case err != nil || cr.GetDeletionTimestamp() == nil:
			continue
		}
		// Every claim is asked for, whatever becomes of the one before.
		if slices.Contains(each(o.claims, func(name string) bool { return o.deletes(ctx, name) }), false) {
			continue
		}
		set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: o.ns, Name: "mysql"}}
		if client.IgnoreNotFound(o.client.Delete(ctx, set)) == nil {
			cr.SetFinalizers(nil)
			_ = o.client.Update(ctx, cr) // or the next time
		}
	}
}

func each[T, R any](all []T, f func(T) R) (results []R) {
	for _, one := range all {
		results = append(results, f(one))
	}
	return results
}

// deletes deletes a claim, and says whether it is gone or going.
func (o *claimsFirst) deletes(ctx context.Context, name string) bool {
	claim := &corev1.PersistentVolumeClaim{}
	err := o.client.Get(ctx, client.ObjectKey{Namespace: o.ns, Name: name}, claim)
	if apierrors.IsNotFound(err) || err == nil && claim.DeletionTimestamp != nil {
		return true
	}
	a := ask(ctx, func(ctx context.Context) error { return o.client.Delete(ctx, claim) })
	o.mu.Lock()
	defer o.mu.Unlock()
	o.warnings = append(o.warnings, a.warnings...)
	if apierrors.IsForbidden(a.err) {
		o.refusals = append(o.refusals, a.err.Error())
	}
	return client.IgnoreNotFound(a.err) == nil
}

func (o *claimsFirst) said() (refusals, warnings []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.refusals), slices.Clone(o.warnings)
}

// refused waits until each deletion of a claim by the operator has been refused,
// and returns the answers.
func (o *claimsFirst) refused(t *testing.T, volumes []string) string {
	t.Helper()
	all := ""
	eventually(t, "refused both", func() error {
		refusals, _ := o.said()
		all = strings.Join(refusals, "\n")
		for _, pv := range volumes {
			if !strings.Contains(all, pv) {
				return fmt.Errorf("nothing is said of %s in %d refusals", pv, len(refusals))
			}
		}
		return nil
	})
	entry := fmt.Sprintf(`deletions: {callers: [{user: "%s", namespace: %s, kind: PersistentVolumeClaim}]}`, o.user, o.ns)
	contains(t, all, "must stay: it holds the data of Pod mysql-0 of StatefulSet mysql",
		"a platform engineer must add "+entry, "which lets go the disk of "+volumes[0])
	output(t, "ledger.owner.example.com/mysql", "get", "ledger", "mysql", "-n", o.ns, "-o", "name")
	return all
}

// reclaim sets the reclaim policy of volumes, as an administrator.
func reclaim(t *testing.T, policy string, volumes []string) {
	t.Helper()
	kubectl(t, append([]string{"patch", "pv", "-p", `{"spec":{"persistentVolumeReclaimPolicy":"` + policy + `"}}`},
		volumes...)...)
}

// TestOperatorsThatDeleteClaimsFirst has custom resources deleted whose finalizer
// deletes the claims of a StatefulSet while that runs. It changes the
// configuration, so it is not parallel.
func TestOperatorsThatDeleteClaimsFirst(t *testing.T) {
	if out, err := try(t, ledgers, "apply", "-f", "-"); err != nil {
		t.Fatal(out)
	}
	t.Cleanup(func() {
		_, _ = env.Kubectl(context.Background(), "", "delete", "crd", "ledgers.owner.example.com", "--wait=false")
	})
	established(t, "crd/ledgers.owner.example.com")

	t.Run("at once where volumes are retained", func(t *testing.T) {
		o, volumes := newClaimsFirst(t)
		// Not so for people.
		out, err := try(t, "", "delete", "pvc", "data-mysql-0", "-n", o.ns, "--dry-run=server")
		if err == nil {
			t.Error("the owner lets a person through")
		}
		contains(t, out, "claim-in-use: ", "to remove the Pod, scale through Ledger mysql")
		kubectl(t, "delete", "ledger", "mysql", "-n", o.ns, "--timeout=20s")
		for i, pv := range volumes {
			gone(t, "pvc", o.claims[i], "-n", o.ns)
			output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
		}
		gone(t, "statefulset", "mysql", "-n", o.ns)
		refusals, warnings := o.said()
		if len(refusals) > 0 {
			t.Errorf("refused: %q", refusals)
		}
		contains(t, strings.Join(warnings, "\n"), "volume "+volumes[0]+" keeps the data", "through Ledger mysql")
	})

	t.Run("as soon as volumes are set to Retain", func(t *testing.T) {
		o, volumes := newClaimsFirst(t)
		reclaim(t, "Delete", volumes)
		kubectl(t, "delete", "ledger", "mysql", "-n", o.ns, "--wait=false")
		o.refused(t, volumes)
		reclaim(t, "Retain", volumes)
		gone(t, "ledger", "mysql", "-n", o.ns)
		for i, pv := range volumes {
			gone(t, "pvc", o.claims[i], "-n", o.ns)
			output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
		}
	})

	t.Run("as soon as the configuration has the line", func(t *testing.T) {
		o, volumes := newClaimsFirst(t)
		reclaim(t, "Delete", volumes)
		kubectl(t, "delete", "ledger", "mysql", "-n", o.ns, "--wait=false")
		line := regexp.MustCompile(`deletions: \{callers: \[\{[^}]*\}\]\}`).FindString(o.refused(t, volumes))
		other := namespace(t)
		database(t, other, 1)
		configure(t, env.Config+line+"\n")
		t.Cleanup(func() { configure(t, env.Config) })
		gone(t, "ledger", "mysql", "-n", o.ns)
		for i, pv := range volumes {
			gone(t, "pvc", o.claims[i], "-n", o.ns)
			gone(t, "pv", pv)
		}
		// It lets nothing else go.
		elsewhere := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "data-mysql-0"}}
		if err := o.client.Delete(t.Context(), elsewhere, client.DryRunAll); !apierrors.IsForbidden(err) {
			t.Errorf("in another namespace: %v", err)
		}
	})

	t.Run("what saves no data only warns an operator", func(t *testing.T) {
		ns := namespace(t)
		newAccount(t, ns, "operator")
		apply(t, ns, ledger)
		t.Cleanup(func() { finish(ns) })
		owner := metav1.OwnerReference{APIVersion: "owner.example.com/v1", Kind: "Ledger", Name: "mysql",
			Controller: new(true),
			UID:        types.UID(kubectl(t, "get", "ledger", "mysql", "-n", ns, "-o", "jsonpath={.metadata.uid}"))}
		made := func(name string, owners ...metav1.OwnerReference) *appsv1.StatefulSet {
			sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, OwnerReferences: owners}}
			sts.Spec.Replicas, sts.Spec.ServiceName = new(int32(2)), name
			sts.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
			sts.Spec.Template.Labels = sts.Spec.Selector.MatchLabels
			sts.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(0))
			sts.Spec.Template.Spec.Containers = []corev1.Container{{Name: "db", Image: "db"}}
			return sts
		}
		user := "system:serviceaccount:" + ns + ":operator"
		operator, person := newClient(t, env.Cluster.Config(), user), newClient(t, env.Cluster.Config(), "jane")
		create := func(c client.Client, sts *appsv1.StatefulSet) (answer, string) {
			a := ask(t.Context(), func(ctx context.Context) error { return c.Create(ctx, sts) })
			return a, strings.Join(a.warnings, "\n") + fmt.Sprint(a.err)
		}
		silent := func(text string, rules ...string) {
			t.Helper()
			for _, rule := range rules {
				if strings.Contains(text, rule) {
					t.Errorf("%s speaks:\n%s", rule, text)
				}
			}
		}
		sts := made("owned", owner)
		a, text := create(operator, sts)
		if a.err != nil {
			t.Fatal(a.err)
		}
		contains(t, text, "statefulset-grace-period: ", "statefulset-spread: ", "through Ledger mysql")
		silent(text, "statefulset-service-missing", "statefulset-disruption-budget")
		for _, replicas := range []string{"1", "3"} { // a second Pod is what makes a budget of use
			a = ask(t.Context(), func(ctx context.Context) error {
				return operator.Patch(ctx, sts, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":`+replicas+`}}`)))
			})
			if a.err != nil {
				t.Fatal(a.err)
			}
		}
		text = strings.Join(a.warnings, "\n")
		contains(t, text, "statefulset-disruption-budget: ", "through Ledger mysql")
		silent(text, "statefulset-spread", "statefulset-readiness")

		if a, text = create(person, made("by-person", owner)); !apierrors.IsForbidden(a.err) {
			t.Errorf("a person is not denied: %s", text)
		}
		contains(t, text, "statefulset-grace-period: ", "through Ledger mysql")
		if a, text = create(operator, made("of-nobody")); !apierrors.IsForbidden(a.err) {
			t.Errorf("of nobody, not denied: %s", text)
		}
		contains(t, text, fmt.Sprintf(`exemptions: [{rule: statefulset-grace-period, kind: StatefulSet, namespace: %s, `+
			`user: "%s", reason: why}]`, ns, user))
	})

	t.Run("an owner that a tenant has written buys no disk", func(t *testing.T) {
		ns := namespace(t)
		volumes := database(t, ns, 1)
		letGo(t, volumes)
		newAccount(t, ns, "tenant", "rolebinding --clusterrole=admin")
		apply(t, ns, ledger)
		t.Cleanup(func() { finish(ns) })
		forged := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"owner.example.com/v1","kind":"Ledger",`+
			`"name":"mysql","uid":"%s","controller":true}]}}`,
			kubectl(t, "get", "ledger", "mysql", "-n", ns, "-o", "jsonpath={.metadata.uid}"))
		reclaim(t, "Delete", volumes)
		denied := func(what, as string) {
			t.Helper()
			out, err := try(t, "", "delete", "pvc", "data-mysql-0", "-n", ns, "--dry-run=server", "--as="+as,
				"--as-group=system:masters")
			if err == nil {
				t.Errorf("%s: %s is not denied", what, as)
			}
			contains(t, out, "claim-in-use: ")
		}
		account := "system:serviceaccount:" + ns + ":tenant"
		for _, what := range []string{"statefulset/mysql", "pvc/data-mysql-0"} {
			kubectl(t, "patch", what, "-n", ns, "-p", forged)
			denied("an owner on "+what, account)
			denied("an owner on "+what, "jane")
		}
		// Retained, it is denied to people alone.
		reclaim(t, "Retain", volumes)
		denied("retained", "jane")

		// The StatefulSet is gone and nothing remembers it: no Pod, called as the
		// claim's or as if the claim were of its ephemeral volume, lets the disk go.
		reclaim(t, "Delete", volumes)
		kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
		gone(t, "pod", "-n", ns)
		kubectl(t, "annotate", "pv", volumes[0], "stayput.dev/claim-of-")
		for _, name := range []string{"mysql-0", "data"} {
			apply(t, ns, "apiVersion: v1\nkind: Pod\nmetadata: {name: "+name+"}\nspec: {containers: [{name: a, image: a}]}\n")
			owner := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","name":"%s","uid":"%s","controller":true}`, name,
				kubectl(t, "get", "pod", name, "-n", ns, "-o", "jsonpath={.metadata.uid}"))
			kubectl(t, "patch", "pvc", "data-mysql-0", "-n", ns, "--type=json", "-p",
				`[{"op":"replace","path":"/metadata/ownerReferences","value":[`+owner+`]}]`)
			denied("Pod "+name, account)
			denied("Pod "+name, "jane")
		}
		output(t, "Delete Bound", "get", "pv", volumes[0], "-o",
			"jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
	})
}

// configure starts Stayput again with another configuration.
func configure(t *testing.T, config string) {
	t.Helper()
	if err := env.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(env.Dir, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := env.Start(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}
