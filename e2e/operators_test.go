package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/e2e/operator"
)

// An operated Database is run by an operator of the suite's own, under an
// account of its own, in a namespace of its own.
type operated struct {
	*testing.T
	ns      string
	account *tap
	spec    operator.Spec
	admin   client.Client
}

// operators are the cases of a habit: a Database that is made under Stayput's
// eyes, and one that was there before Stayput was. An old one is made in a
// namespace of mode off; before, if not nil, may do things to it there.
func operators(t *testing.T, spec operator.Spec, before, f func(operated)) {
	for _, age := range []string{"new", "old"} {
		t.Run(age, func(t *testing.T) {
			t.Parallel()
			f(newOperated(t, spec, age == "old", before))
		})
	}
}

// newOperated makes a Database and its operator.
func newOperated(t *testing.T, spec operator.Spec, old bool, before func(operated)) operated {
	t.Helper()
	o := operated{T: t, ns: namespace(t), spec: spec}
	var err error
	if o.admin, err = client.New(env.Cluster.Config(), client.Options{}); err != nil {
		t.Fatal(err)
	}
	o.account = record(t, namespace(t), "operator", "clusterrolebinding --clusterrole=cluster-admin")
	ended, ctx := make(chan error, 1), t.Context()
	go func() { ended <- operator.Run(ctx, o.account.config(t), o.ns) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	o.spec.Class, o.spec.Image, o.spec.Storage = "disk-growing", "database", "1Gi"
	if *outside.image != "" {
		o.spec.Image = *outside.image
	}
	if old {
		o.mode("off")
	}
	db, err := operator.New(o.ns, "db", o.spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.admin.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	o.ready()
	volumes := volumesOf(t, o.ns)
	letGo(t, volumes)
	if len(volumes) != int(spec.Replicas) {
		t.Fatalf("volumes %v", volumes)
	}
	if old {
		if before != nil {
			before(o)
		}
		o.mode("enforce")
	}
	return o
}

// mode changes that of the namespace.
func (o operated) mode(mode string) {
	o.Helper()
	kubectl(o.T, "label", "--overwrite", "namespace", o.ns, "stayput.dev/mode="+mode)
}

// has waits until the StatefulSet, which may be missing for a while, has it.
func (o operated) has(want, path string) {
	o.Helper()
	output(o.T, want, "get", "statefulset", "db", "-n", o.ns, "--ignore-not-found", "-o", "jsonpath={"+path+"}")
}

func (o operated) ready() {
	o.Helper()
	n := fmt.Sprint(o.spec.Replicas)
	o.has(n+" "+n, ".status.readyReplicas} {.status.updatedReplicas")
}

// grow asks for larger disks, waits until the StatefulSet was made anew and has
// its Pods again, and returns how long the longest of them had no controller.
func (o operated) grow(storage string) time.Duration {
	o.Helper()
	before := o.pods()
	old := o.uid()
	w := o.watchPods()
	kubectl(o.T, "patch", "database", "db", "-n", o.ns, "--type=merge", "-p", `{"spec":{"storage":"`+storage+`"}}`)
	o.has(storage, ".spec.volumeClaimTemplates[0].spec.resources.requests.storage")
	now := o.uid()
	if now == old {
		o.Fatal("the StatefulSet was not made anew; so this tests nothing")
	}
	eventually(o.T, "all Pods adopted", func() error {
		for name, pod := range o.pods() {
			if c := metav1.GetControllerOf(&pod); c == nil || c.UID != now {
				return fmt.Errorf("%s has the controller %v", name, c)
			}
		}
		return nil
	})
	after := o.pods()
	for name, pod := range before {
		if after[name].UID != pod.UID {
			o.Errorf("Pod %s was made anew", name)
		}
	}
	if !maps.EqualFunc(before, after, func(a, b corev1.Pod) bool { return a.UID == b.UID }) {
		o.Errorf("%d Pods, then %d", len(before), len(after))
	}
	return w()
}

func (o operated) uid() types.UID {
	o.Helper()
	return types.UID(kubectl(o.T, "get", "statefulset", "db", "-n", o.ns, "-o", "jsonpath={.metadata.uid}"))
}

func (o operated) pods() map[string]corev1.Pod {
	o.Helper()
	var list corev1.PodList
	if err := o.admin.List(o.Context(), &list, client.InNamespace(o.ns)); err != nil {
		o.Fatal(err)
	}
	pods := map[string]corev1.Pod{}
	for _, pod := range list.Items {
		pods[pod.Name] = pod
	}
	return pods
}

// watchPods watches for Pods without a controller; the function that it returns
// ends that, and says how long the longest was without.
func (o operated) watchPods() (end func() time.Duration) {
	o.Helper()
	ctx, cancel := context.WithCancel(o.Context())
	w, err := env.client.CoreV1().Pods(o.ns).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		o.Fatal(err)
	}
	longest := make(chan time.Duration)
	go func() {
		var most time.Duration
		alone := map[types.UID]time.Time{}
		for e := range w.ResultChan() {
			pod, ok := e.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			since, was := alone[pod.UID]
			switch controlled := metav1.GetControllerOf(pod) != nil; {
			case !controlled && !was:
				alone[pod.UID] = time.Now()
			case controlled && was:
				most = max(most, time.Since(since))
				delete(alone, pod.UID)
			}
		}
		for _, since := range alone {
			most = max(most, time.Since(since))
		}
		longest <- most
	}()
	return func() time.Duration {
		time.Sleep(200 * time.Millisecond) // the last event may be under way
		cancel()
		w.Stop()
		return <-longest
	}
}

// keep sets volumes to Retain, by hand.
func (o operated) keep() { o.policy("Retain") }

// weaken leaves volumes on Delete, as a person's own choice: Stayput has set
// them to Retain before, says the mark, and does not do so again.
func (o operated) weaken() {
	for _, pv := range volumesOf(o.T, o.ns) {
		kubectl(o.T, "annotate", "--overwrite", "pv", pv, "stayput.dev/reclaim-policy-set=Retain/configuration")
	}
	o.policy("Delete")
}

func (o operated) policy(policy string) {
	o.Helper()
	for _, pv := range volumesOf(o.T, o.ns) {
		kubectl(o.T, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"`+policy+`"}}`)
	}
}

// TestOperators runs databases by an operator that has the habits of real ones.
// What is there already is refused nothing; what is new, nothing that cannot be
// mended by whoever made the operator.
func TestOperators(t *testing.T) {
	t.Parallel()
	defineDatabases(t)
	for name, spec := range map[string]operator.Spec{
		"grows":                             {Replicas: 3, Service: operator.Headless},
		"grows, with an ordinary Service":   {Replicas: 3, Service: operator.Ordinary},
		"grows, with a Service for nobody":  {Replicas: 3, Service: operator.Unselecting},
		"grows, with a placeholder":         {Replicas: 3, Service: operator.Headless, Placeholder: true},
		"grows, and takes its claims along": {Replicas: 3, Service: operator.Headless, WhenDeleted: "Delete"},
		"grows, with companions that come late": {
			Replicas: 3, Service: operator.Headless, Late: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			operators(t, spec, operated.keep, grows)
		})
	}
	t.Run("updates what it does not change", func(t *testing.T) {
		operators(t, operator.Spec{Replicas: 3, Service: operator.Headless, Restless: true}, nil, updates)
	})
	t.Run("deletes claims first", func(t *testing.T) {
		operators(t, operator.Spec{Replicas: 2, Service: operator.Headless, ClaimsFirst: true}, operated.keep, goes)
	})
	t.Run("deletes claims first, and disks with them", func(t *testing.T) {
		operators(t, operator.Spec{Replicas: 2, Service: operator.Headless, ClaimsFirst: true}, nil, goesWhenItMay)
	})
}

// TestAnOperatorThatTheConfigurationNames is refused what would destroy disks, and
// goes at once when a platform engineer adds the line that the refusal has. It
// changes the configuration, so it is not parallel.
func TestAnOperatorThatTheConfigurationNames(t *testing.T) {
	defineDatabases(t)
	for _, age := range []string{"new", "old"} {
		t.Run(age, func(t *testing.T) {
			o := newOperated(t, operator.Spec{Replicas: 2, Service: operator.Headless, ClaimsFirst: true}, age == "old", nil)
			volumes, denials := o.refusedClaims()
			line := regexp.MustCompile(`deletions: \{callers: \[\{[^}]*\}\]\}`).FindString(denials)
			configure(t, env.Config+line+"\n")
			t.Cleanup(func() { configure(t, env.Config) })
			gone(t, "database,statefulset,pvc", "-n", o.ns)
			for _, pv := range volumes {
				gone(t, "pv", pv)
			}
		})
	}
}

// defineDatabases makes the kind Database, and a class of disks that grow.
func defineDatabases(t *testing.T) {
	t.Helper()
	provisioned := class
	if *outside.provisioner != "" {
		provisioned = strings.Replace(class, "kubernetes.io/host-path", *outside.provisioner, 1)
	}
	growing := strings.Replace(provisioned, "name: disk", "name: disk-growing", 1) +
		"allowVolumeExpansion: true\nvolumeBindingMode: WaitForFirstConsumer\n"
	apply(t, "default", growing)
	apply(t, "default", operator.Definition)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel() // another test may make them again at once
		_, _ = env.Kubectl(ctx, "", "delete", "crd/databases.e2e.stayput.dev", "storageclass/disk-growing")
	})
	established(t, "crd/databases.e2e.stayput.dev")
}

// updates: that the StatefulSet is written again and again, as it is, draws no
// word. Each change does, of itself: growth none, for conventions of style were
// told at creation, and what shrinks a warning, once.
func updates(o operated) {
	quiet := func() (writes int) {
		o.account.said()
		for writes < 20 {
			time.Sleep(200 * time.Millisecond)
			denials, warnings, n := o.account.said()
			if said := slices.Concat(denials, warnings); len(said) > 0 {
				o.Errorf("of %d writes that change nothing: %q", n, said)
				return writes
			}
			writes += n
		}
		return writes
	}
	o.Logf("nothing was said of %d writes", quiet())
	for _, replicas := range []int32{5, 2} {
		o.account.said()
		kubectl(o.T, "patch", "database", "db", "-n", o.ns, "--type=merge", "-p",
			fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
		o.spec.Replicas = replicas
		o.ready()
		_, warnings, _ := o.account.said()
		down := slices.DeleteFunc(slices.Clone(warnings),
			func(w string) bool { return !strings.Contains(w, "statefulset-scale-down: ") })
		if want := map[int32]int{5: 0, 2: 1}[replicas]; len(down) != want || len(warnings) != want {
			o.Errorf("to %d replicas: %q", replicas, warnings)
		}
		letGo(o.T, volumesOf(o.T, o.ns))
	}
	quiet()
	o.account.unhindered(o.T)
}

// grows: the StatefulSet is deleted with orphans and made anew. How fast is told
// by the same without Stayput. A busy machine may be slow once, and then again
// it is not; who is refused tries again after a pause each time.
func grows(o operated) {
	gaps := []time.Duration{o.grow("2Gi")}
	o.account.unhindered(o.T)
	o.mode("off")
	control := o.grow("3Gi")
	o.mode("enforce")
	limit := max(time.Second, 2*control)
	for i := 4; slices.Min(gaps) > limit && i < 7; i++ {
		gaps = append(gaps, o.grow(fmt.Sprintf("%dGi", i)))
	}
	o.Logf("without a controller for %v, and for %v without Stayput", gaps, control)
	if slices.Min(gaps) > limit {
		o.Errorf("a Pod had no controller for %v", gaps)
	}
	o.account.unhindered(o.T)
	for _, pv := range volumesOf(o.T, o.ns) {
		output(o.T, "Retain", "get", "pv", pv, "-o", policyPath)
	}
}

// goes: nothing can be lost, so nothing is refused.
func goes(o operated) {
	volumes := volumesOf(o.T, o.ns)
	kubectl(o.T, "delete", "database", "db", "-n", o.ns)
	gone(o.T, "statefulset,pvc", "-n", o.ns)
	for _, pv := range volumes {
		output(o.T, "Retain Released", "get", "pv", pv, "-o",
			"jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
	}
	o.account.unhindered(o.T)
}

// goesWhenItMay: the disks would be destroyed, so they are kept, until somebody
// sets them to Retain.
func goesWhenItMay(o operated) {
	volumes, _ := o.refusedClaims()
	o.keep()
	gone(o.T, "database,statefulset,pvc", "-n", o.ns)
	for _, pv := range volumes {
		output(o.T, "Retain Released", "get", "pv", pv, "-o",
			"jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
	}
}

// refusedClaims deletes a Database whose disks would be destroyed, and returns
// these, which are there, and what its operator is told.
func (o operated) refusedClaims() (volumes []string, denials string) {
	o.Helper()
	o.mode("off")
	o.weaken()
	o.mode("enforce")
	volumes = volumesOf(o.T, o.ns)
	kubectl(o.T, "delete", "database", "db", "-n", o.ns, "--wait=false")
	eventually(o.T, "the operator is refused", func() error {
		all, _, _ := o.account.said()
		if denials = strings.Join(all, "\n"); strings.Contains(denials, "claim-in-use") {
			return nil
		}
		return errors.New("it is not")
	})
	for _, pv := range volumes {
		output(o.T, "Delete Bound", "get", "pv", pv, "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
	}
	return volumes, denials
}
