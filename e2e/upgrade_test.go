package e2e

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stayput.dev/e2e/localcluster"
)

var upgradeTo = flag.String("upgrade", "", "minors of Kubernetes to go through in TestUpgrade, such as 1.36,1.37; "+
	"by default all that are pinned after that of the suite")

// TestUpgrade upgrades the control plane minor by minor on one etcd, under Stayput
// that enforces: nothing restarts, no record on a volume is lost, the controllers go
// on with the claims that there are, and nothing is denied that was not before. It
// has something to do where $STAYPUT_KUBERNETES names an older minor.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	if *outside.kubeconfig != "" {
		t.Skip("a cluster that somebody else has made is not upgraded here")
	}
	first, minors := fmt.Sprintf("1.%d", env.minor), strings.Split(*upgradeTo, ",")
	if *upgradeTo == "" {
		all, err := localcluster.Minors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		minors = all[slices.Index(all, first)+1:]
	}
	if len(minors) == 0 {
		t.Skipf("Kubernetes %s is the newest", first)
	}
	s := ownCluster(t, config+"mode: enforce\n", localcluster.Options{Kubernetes: first})
	s.start()
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	const ns, sts = "shop", "statefulset/mysql"
	seen := runShop(s, ns)
	before := seen()
	contains(t, before, "stayput.dev/claim-of", "Released")
	cluster := s.Cluster.(*localcluster.Cluster)
	for _, minor := range minors {
		if err := cluster.Upgrade(t.Context(), minor); err != nil {
			t.Fatal(err)
		}
		contains(t, s.kubectl("", "get", "--raw", "/version"), `"gitVersion": "v`+minor+".")
		if after := seen(); after != before {
			t.Errorf("after the upgrade to %s:\n%s\nbefore:\n%s", minor, after, before)
		}
		// Replicas are as they were scaled, so that nothing of the set would change.
		applied := strings.Replace(headlessService+readFile(t, "testdata", "mysql.yaml"), "replicas: 3", "replicas: 2", 1)
		if out := s.kubectl(applied, "apply", "--dry-run=server", "-n", ns, "-f", "-"); strings.Contains(out, "Warning") {
			t.Errorf("on %s the same manifest is warned of:\n%s", minor, out)
		}
		// The claim that was left behind is found again, with its volume.
		s.kubectl("", "scale", sts, "-n", ns, "--replicas=3")
		s.output("3", "get", sts, "-n", ns, "-o", allReady)
		s.kubectl("", "scale", sts, "-n", ns, "--replicas=2")
		s.output("2", "get", sts, "-n", ns, "-o", "jsonpath={.status.replicas}")
		if after := seen(); after != before {
			t.Errorf("scaled on %s:\n%s\nbefore:\n%s", minor, after, before)
		}
	}
}

// runShop makes a namespace with a StatefulSet of two Pods and three claims, and a
// volume whose claim was deleted. What it returns says which of them there are.
func runShop(s side, ns string) (seen func() string) {
	s.t.Helper()
	const sts = "statefulset/mysql"
	s.kubectl(class, "create", "-f", "-")
	s.kubectl("", "create", "namespace", ns)
	manifest := headlessService + readFile(s.t, "testdata", "mysql.yaml")
	s.kubectl(manifest, "apply", "-n", ns, "-f", "-")
	s.output("3", "get", sts, "-n", ns, "-o", allReady)
	// The claim of ordinal 2 is kept, and a volume whose claim is deleted.
	claim := strings.Replace(pvcNamed("kept", "storageClassName: disk, "+once), "metadata: {",
		"metadata: {annotations: {stayput.dev/reclaim-policy: Retain}, ", 1)
	s.kubectl(claim, "apply", "-n", ns, "-f", "-")
	s.output("Bound", "get", "pvc", "kept", "-n", ns, "-o", "jsonpath={.status.phase}")
	s.kubectl("", "scale", sts, "-n", ns, "--replicas=2")
	s.output("2", "get", sts, "-n", ns, "-o", "jsonpath={.status.replicas}")
	s.kubectl("", "delete", "pvc", "kept", "-n", ns)
	s.output("Bound Bound Bound Released", "get", "pv", "--sort-by={.status.phase}", "-o",
		"jsonpath={.items[*].status.phase}")
	return func() string {
		return s.kubectl("", "get", "pod", "-n", ns, "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}"+
			" {.status.startTime}{'\\n'}{end}") + "\n" +
			s.kubectl("", "get", "pvc", "-n", ns, "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.spec}"+
				" {.metadata.annotations}{'\\n'}{end}") + "\n" +
			s.kubectl("", "get", "pv", "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.spec}"+
				" {.metadata.annotations} {.status.phase}{'\\n'}{end}") + "\n" +
			s.kubectl("", "get", sts, "-n", ns, "-o", "jsonpath={.status.currentRevision} {.status.updateRevision}")
	}
}
