package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	allReady = "jsonpath={.status.readyReplicas}"
	uids     = "jsonpath={.items[*].metadata.uid}"
)

// deleted returns claims that are being deleted.
const deleted = `jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.metadata.name}{" "}{end}`

// denied runs kubectl, which must be denied, and returns what it prints.
func denied(t *testing.T, rule string, args ...string) string {
	t.Helper()
	out, err := try(t, "", args...)
	if err == nil {
		t.Fatalf("kubectl %s: not denied:\n%s", strings.Join(args, " "), out)
	}
	contains(t, out, "Error from server (Forbidden)", rule+": ", "fix: ")
	return out
}

// TestEveryClaimOfACollectionIsGuarded deletes collections, for which the API
// server sends requests without a name.
func TestEveryClaimOfACollectionIsGuarded(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	letGo(t, database(t, ns, 2))
	apply(t, ns, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: a-free-one}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
`)
	err := env.client.CoreV1().PersistentVolumeClaims(ns).DeleteCollection(t.Context(), metav1.DeleteOptions{},
		metav1.ListOptions{})
	if err == nil {
		t.Fatal("not denied")
	}
	contains(t, err.Error(), "claim-in-use: ", "mysql-", "kubectl annotate pvc data-mysql-")
	output(t, "", "get", "pvc", "-n", ns, "-o", deleted)
	gone(t, "pvc", "a-free-one", "-n", ns)
	out := denied(t, "claim-in-use", "delete", "pvc", "-n", ns, "--all")
	contains(t, out, "annotate pvc data-mysql-0", "annotate pvc data-mysql-1")
	output(t, "", "get", "pvc", "-n", ns, "-o", deleted)
	// Without those who need them all may go, by the same two ways.
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	if err := env.client.CoreV1().PersistentVolumeClaims(ns).DeleteCollection(t.Context(), metav1.DeleteOptions{},
		metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	gone(t, "pvc", "-n", ns)
}

// TestWhatIsBeingDeletedIsNotHeldBack repeats deletions of a claim that waits
// for its Pod, and takes its finalizer away.
func TestWhatIsBeingDeletedIsNotHeldBack(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	letGo(t, database(t, ns, 2))
	for _, claim := range []string{"data-mysql-0", "data-mysql-1"} {
		denied(t, "claim-in-use", "delete", "pvc", claim, "-n", ns)
		kubectl(t, "annotate", "pvc", claim, "-n", ns, "exempt.stayput.dev/claim-in-use=a drill")
		kubectl(t, "delete", "pvc", claim, "-n", ns, "--wait=false")
		// Without the reason it would be denied, were it not under way.
		kubectl(t, "annotate", "pvc", claim, "-n", ns, "exempt.stayput.dev/claim-in-use-")
	}
	output(t, "data-mysql-0 data-mysql-1", "get", "pvc", "-n", ns, "-o", deleted)
	for range 3 {
		kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns, "--wait=false")
	}
	if err := env.client.CoreV1().PersistentVolumeClaims(ns).DeleteCollection(t.Context(), metav1.DeleteOptions{},
		metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	output(t, "data-mysql-0 data-mysql-1", "get", "pvc", "-n", ns, "-o", deleted)
	// pvc-protection lets one go when its Pod is gone, and the Pod finds a new
	// claim; a person lets the other go by force.
	out := kubectl(t, "patch", "pvc", "data-mysql-0", "-n", ns, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	contains(t, out, "Warning: finalizer-removed: ", "the claim goes at once, though used by Pod mysql-0")
	gone(t, "pvc", "data-mysql-0", "-n", ns)
	uid := kubectl(t, "get", "pvc", "data-mysql-1", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	replacePods(t, ns, "mysql-1", "mysql-0")
	output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
	output(t, "Bound Bound", "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].status.phase}")
	if now := kubectl(t, "get", "pvc", "data-mysql-1", "-n", ns, "-o", "jsonpath={.metadata.uid}"); now == uid {
		t.Error("the claim was not deleted")
	}
}

// TestOrphansAreNotHeldBack leaves Pods and claims without their StatefulSet,
// as its replacement does.
func TestOrphansAreNotHeldBack(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	volumes := database(t, ns, 2)
	letGo(t, volumes)
	out := kubectl(t, "delete", "statefulset", "mysql", "-n", ns, "--cascade=orphan")
	if strings.Contains(out, "Warning") {
		t.Errorf("warned of what stays:\n%s", out)
	}
	output(t, "Running Running", "get", "pod", "-n", ns, "-o", "jsonpath={.items[*].status.phase}")
	// Its Pod runs, and a warning says so.
	out = kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns, "--wait=false")
	contains(t, out, "Warning: claim-in-use: ", "mysql-0")
	kubectl(t, "delete", "pod", "mysql-0", "-n", ns)
	gone(t, "pvc", "data-mysql-0", "-n", ns)
	// With the policy Delete the disk would go too, and only a person who says that
	// it may lets it.
	kubectl(t, "delete", "pod", "mysql-1", "-n", ns)
	kubectl(t, "annotate", "pv", volumes[1], "stayput.dev/reclaim-policy-")
	kubectl(t, "patch", "pv", volumes[1], "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	denied(t, "claim-in-use", "delete", "pvc", "data-mysql-1", "-n", ns)
	kubectl(t, "annotate", "pvc", "data-mysql-1", "-n", ns, "stayput.dev/reclaim-policy=Delete")
	kubectl(t, "delete", "pvc", "data-mysql-1", "-n", ns)
	gone(t, "pv", volumes[1])
}

// TestANamespaceWithDataGoesWhenItMay deletes a namespace with disks that go
// with it: denied, then allowed, and then it must be gone with all it holds.
func TestANamespaceWithDataGoesWhenItMay(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	volumes := database(t, ns, 2)
	letGo(t, volumes)
	for _, pv := range volumes {
		kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	}
	out := denied(t, "namespace-data", "delete", "namespace", ns)
	contains(t, out, "2Gi", "2 claims")
	output(t, "Active", "get", "namespace", ns, "-o", "jsonpath={.status.phase}")
	kubectl(t, "annotate", "namespace", ns, "stayput.dev/reclaim-policy=Delete")
	kubectl(t, "delete", "namespace", ns, "--wait=false")
	kubectl(t, "delete", "namespace", ns) // again, and it must not hang
	for _, pv := range volumes {
		gone(t, "pv", pv)
	}
}

// TestScaleUpRightAfterScaleDown is when a claim still belongs to the Pod that
// was condemned: the controller makes no Pod until the garbage collector has
// deleted it.
func TestScaleUpRightAfterScaleDown(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	letGo(t, database(t, ns, 3, "  replicas: 3",
		"  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Delete}\n  replicas: 3"))
	claims := func() string { return kubectl(t, "get", "pvc", "-n", ns, "-o", uids) }
	before := strings.Fields(claims())
	for range 2 {
		kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=1")
		output(t, "1", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.status.replicas}")
		kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=3")
		// The controller ends its round at such a claim, and nothing but a change
		// of the StatefulSet or its Pods begins another: with or without Stayput.
		// Source: k8s.io/kubernetes@v1.37.1 pkg/controller/statefulset/stateful_set_control.go.
		eventually(t, "three Pods", func() error {
			kubectl(t, "annotate", "--overwrite", "statefulset", "mysql", "-n", ns,
				fmt.Sprintf("example.com/nudge=%d", time.Now().UnixNano()))
			if ready := kubectl(t, "get", "statefulset", "mysql", "-n", ns, "-o", allReady); ready != "3" {
				return fmt.Errorf("%s are ready", ready)
			}
			return nil
		})
	}
	after := strings.Fields(claims())
	if len(after) != 3 || after[0] != before[0] || after[1] == before[1] || after[2] == before[2] {
		t.Errorf("claims %s before and %s after: want the first to stay, the others to be new", before, after)
	}
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns, "--cascade=foreground")
	gone(t, "pvc", "-n", ns)
}

// TestDrainedNode evicts the Pods of a StatefulSet from one of two nodes of
// its own.
func TestDrainedNode(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	for i := range 2 {
		node := fmt.Sprintf("%s-%d", ns, i)
		if out, err := try(t, fmt.Sprintf(`apiVersion: v1
kind: Node
metadata: {name: %s, labels: {kubernetes.io/hostname: %[1]s, pool: %s}}
spec: {taints: [{key: pool, value: %[2]s, effect: NoSchedule}]}
status: {capacity: {cpu: 1k, memory: 1Ti, pods: 1k}, allocatable: {cpu: 1k, memory: 1Ti, pods: 1k}}
`, node, ns), "create", "-f", "-"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Cleanup(func() { _, _ = env.Kubectl(t.Context(), "", "delete", "node", node) })
	}
	volumes := database(t, ns, 2, "    spec:\n      containers:", fmt.Sprintf(`    spec:
      nodeSelector: {pool: %s}
      tolerations: [{key: pool, operator: Exists}]
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway,
        labelSelector: {matchLabels: {app: mysql}}}]
      containers:`, ns))
	letGo(t, volumes)
	apply(t, ns, `apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: mysql}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: mysql}}}
`)
	output(t, "1", "get", "pdb", "mysql", "-n", ns, "-o", "jsonpath={.status.disruptionsAllowed}")
	drained := strings.TrimSpace(kubectl(t, "get", "pod", "mysql-0", "-n", ns, "-o", "jsonpath={.spec.nodeName}"))
	kubectl(t, "drain", drained, "--ignore-daemonsets", "--timeout=50s")
	output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
	for _, node := range strings.Fields(kubectl(t, "get", "pod", "-n", ns, "-o", "jsonpath={.items[*].spec.nodeName}")) {
		if node == drained {
			t.Error("a Pod is on the node that was drained")
		}
	}
	output(t, strings.Join(volumes, " "), "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeName}")
}

// TestModeWarnOnlyWarns does in a namespace of mode warn what is denied in
// others.
func TestModeWarnOnlyWarns(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/mode=warn")
	volumes := database(t, ns, 1)
	letGo(t, volumes)
	out := apply(t, ns, strings.Replace(fixedHostname, "replicas: 1", "replicas: 2", 1))
	contains(t, out, "Warning: deployment-hostname: ", "deployment.apps/web created")
	out = kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns, "--wait=false")
	contains(t, out, "Warning: claim-in-use: ")
	output(t, "data-mysql-0", "get", "pvc", "-n", ns, "-o", deleted)
	// Mutators go on: a volume is retained whatever the mode.
	output(t, "Retain", "get", "pv", volumes[0], "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy}")
}
