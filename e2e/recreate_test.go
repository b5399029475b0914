package e2e

import (
	"fmt"
	"strings"
	"testing"

	"stayput.dev/e2e/localcluster"
)

// TestRecreateStopsAllPods uses the strategy Recreate, which is enabled by default
// from Kubernetes 1.38 on: an update stops all Pods at once, and Stayput has warned
// of it.
func TestRecreateStopsAllPods(t *testing.T) {
	t.Parallel()
	onlySince(t, 37, "the strategy Recreate")
	gate := recreateGate()
	s := ownCluster(t, config, localcluster.Options{APIServerArgs: gate, ControllerManagerArgs: gate})
	s.start()
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	const ns = "shop"
	s.kubectl("", "create", "namespace", ns)
	set := memberSet("db", 3, "  serviceName: db\n  updateStrategy: {type: Recreate}", "", "")
	contains(t, s.kubectl(set, "apply", "-n", ns, "-f", "-"), "or each change of the template stops all Pods at once")
	s.output("3", "get", "statefulset", "db", "-n", ns, "-o", allReady)
	hold := func(finalizers string) {
		s.kubectl("", "patch", "pod", "db-0", "db-1", "db-2", "-n", ns, "--type=merge", "-p",
			`{"metadata":{"finalizers":`+finalizers+`}}`)
	}
	hold(`["example.com/held"]`)
	contains(t, s.kubectl(strings.Replace(set, "image: db", "image: db:2", 1), "apply", "-n", ns, "-f", "-"),
		"with this template db-0 to db-2 stop at once")
	eventually(t, "all three are on their way out", func() error {
		if n := len(strings.Fields(s.kubectl("", "get", "pod", "-n", ns, "-o",
			"jsonpath={.items[*].metadata.deletionTimestamp}"))); n != 3 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	hold("null")
	s.output("db:2 db:2 db:2", "get", "pod", "-n", ns, "-o", "jsonpath={.items[*].spec.containers[0].image}")
}
