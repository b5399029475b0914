package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
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
	end     func() // ends the operator
}

// A habit is one way in which operators work, and its expected result.
type habit struct {
	name   string
	spec   operator.Spec
	before func(operated) // what is done to an old Database before Stayput is there, if not nil
	comes  func(operated)
}

// fromBefore makes the Databases of habits before Stayput is there: it is taken
// away for so long, so nothing else may run. Outside, where it cannot be, they
// are made in namespaces of mode off.
func fromBefore(t *testing.T, habits ...habit) []operated {
	t.Helper()
	outsider := *outside.kubeconfig != ""
	if !outsider {
		if err := errors.Join(env.Uninstall(t.Context()), env.Stop()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { // or a test that fails here would fail all others
			if ctx := context.WithoutCancel(t.Context()); env.Ready(ctx) != nil {
				if err := errors.Join(env.Start(ctx), env.Install(ctx)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	old := make([]operated, len(habits))
	for i, h := range habits {
		old[i] = newOperated(t, h.spec, outsider)
	}
	for i, h := range habits {
		old[i].made()
		if h.before != nil {
			h.before(old[i])
		}
		if outsider {
			old[i].mode("enforce")
		}
	}
	if !outsider {
		if err := errors.Join(env.Start(t.Context()), env.Install(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	return old
}

// anew shows a habit with a Database that is made under Stayput's eyes.
func (h habit) anew(t *testing.T) {
	o := newOperated(t, h.spec, false)
	o.made()
	h.comes(o)
}

// of shows a habit with an old Database.
func (h habit) of(t *testing.T, old operated) {
	defer old.end()
	old.T = t
	h.comes(old)
}

// both shows a habit with a new Database and with an old one, at once.
func (h habit) both(t *testing.T, old operated) {
	t.Run("new", func(t *testing.T) {
		t.Parallel()
		h.anew(t)
	})
	t.Run("old", func(t *testing.T) {
		t.Parallel()
		h.of(t, old)
	})
}

// newOperated makes a Database and its operator, in a namespace of mode off if
// off is true.
func newOperated(t *testing.T, spec operator.Spec, off bool) operated {
	t.Helper()
	o := operated{T: t, ns: namespace(t), spec: spec}
	var err error
	if o.admin, err = client.New(env.Cluster.Config(), client.Options{}); err != nil {
		t.Fatal(err)
	}
	o.account = record(t, namespace(t), "operator", "clusterrolebinding --clusterrole=cluster-admin")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- operator.Run(ctx, o.account.config(t), o.ns) }()
	o.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(o.end)
	o.spec.Class, o.spec.Image, o.spec.Storage = "disk-growing", "database", "1Gi"
	if *outside.image != "" {
		o.spec.Image = *outside.image
	}
	if off {
		o.mode("off")
	}
	db, err := operator.New(o.ns, "db", o.spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.admin.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return o
}

// made waits until the Database is ready.
func (o operated) made() {
	o.Helper()
	o.ready()
	volumes := volumesOf(o.T, o.ns)
	letGo(o.T, volumes)
	if len(volumes) != int(o.spec.Replicas) {
		o.Fatalf("volumes %v", volumes)
	}
}

// mode changes the mode of the namespace.
func (o operated) mode(mode string) {
	o.Helper()
	kubectl(o.T, "label", "--overwrite", "namespace", o.ns, "stayput.dev/mode="+mode)
}

// has waits until the StatefulSet has a value. The StatefulSet may be missing for a
// while.
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

// weaken sets volumes to Delete as a person's own choice: the annotation says that
// Stayput has set them to Retain before, so repair does not do so again.
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

// TestAnOperatorThatTheConfigurationNames is refused what would destroy disks, and
// goes at once when a platform engineer adds the line that the refusal has. It
// changes the configuration, so it is not parallel; and it takes the kind of Databases
// away when it ends, so it comes before those of TestOperators are made.
func TestAnOperatorThatTheConfigurationNames(t *testing.T) {
	defineDatabases(t)
	h := habit{spec: operator.Spec{Replicas: 2, Service: operator.Headless, ClaimsFirst: true}, comes: func(o operated) {
		volumes, denials := o.refusedClaims()
		line := regexp.MustCompile(`deletions: \{callers: \[\{[^}]*\}\]\}`).FindString(denials)
		configure(o.T, env.Config+line+"\n")
		o.Cleanup(func() { configure(o.T, env.Config) })
		gone(o.T, "database,statefulset,pvc", "-n", o.ns)
		for _, pv := range volumes {
			gone(o.T, "pv", pv)
		}
	}}
	old := fromBefore(t, h)[0]
	t.Run("new", h.anew)
	t.Run("old", func(t *testing.T) { h.of(t, old) })
}

// TestOperators runs databases by an operator that has the habits of real ones. For
// an existing database nothing is refused. For a new one, a refusal names a fault
// that the author of the operator can correct.
func TestOperators(t *testing.T) {
	defineDatabases(t)
	claimsFirst := operator.Spec{Replicas: 2, Service: operator.Headless, ClaimsFirst: true}
	alone := []habit{
		{"updates what it does not change", operator.Spec{Replicas: 3, Service: operator.Headless, Restless: true}, nil,
			updates},
		{"deletes claims first", claimsFirst, operated.keep, goes},
		{"deletes claims first, and disks with them", claimsFirst, nil, goesWhenItMay},
	}
	together := []habit{
		{"grows", operator.Spec{Replicas: 3, Service: operator.Headless}, operated.keep, grows},
		{"grows, with an ordinary Service", operator.Spec{Replicas: 3, Service: operator.Ordinary}, operated.keep, grows},
		{"grows, with a Service for nobody", operator.Spec{Replicas: 3, Service: operator.Unselecting}, operated.keep,
			grows},
		{"grows, with a placeholder", operator.Spec{Replicas: 3, Service: operator.Headless, Placeholder: true},
			operated.keep, grows},
		{"grows, and takes its claims along", operator.Spec{Replicas: 3, Service: operator.Headless, WhenDeleted: "Delete"},
			operated.keep, grows},
		{"grows, with companions that come late", operator.Spec{Replicas: 3, Service: operator.Headless, Late: true},
			operated.keep, grows},
	}
	old := fromBefore(t, slices.Concat(alone, together)...)
	t.Parallel()
	for i, h := range alone {
		t.Run(h.name, func(t *testing.T) { h.both(t, old[i]) })
	}
	for i, h := range together {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			h.both(t, old[len(alone)+i])
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

// updates: writing the StatefulSet again without a change gives no warning. A
// change gets only its own warnings: growth gets none, because warnings about style
// came at creation, and a scale-down gets one warning, once.
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

// goes deletes a Database that can lose no data, so nothing is refused.
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

// goesWhenItMay deletes a Database whose disks would be destroyed, which is refused
// until somebody sets them to Retain.
func goesWhenItMay(o operated) {
	volumes, _ := o.refusedClaims()
	o.keep()
	gone(o.T, "database,statefulset,pvc", "-n", o.ns)
	for _, pv := range volumes {
		output(o.T, "Retain Released", "get", "pv", pv, "-o",
			"jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
	}
}

// refusedClaims deletes a Database whose disks would be destroyed. It returns these
// disks, which must still exist, and the answer to its operator.
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
