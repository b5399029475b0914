package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// barePodsAreAdopted creates Pods by hand that controllers adopt: before and after
// their StatefulSet, and as a copy of a Deployment's Pod.
func barePodsAreAdopted(t *testing.T, ns string) {
	pod := func(name, labels string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {%s}}\nspec: {containers: [{name: db, "+
			"image: db}]}\n---\n", name, labels)
	}
	set := memberSet("db", 2, "  serviceName: db", "", "")
	apply(t, ns, pod("db-01", "app: db"))
	eventually(t, "the StatefulSet is warned of the Pod", func() error {
		out, err := try(t, set, "apply", "-n", ns, "--dry-run=server", "-f", "-")
		if err == nil && !strings.Contains(out, "must not match Pods that no controller made: db-01; it adopts them") {
			err = fmt.Errorf("it says: %s", out)
		}
		return err
	})
	apply(t, ns, set)
	if env.minor >= 34 {
		staysAdopted(t, ns)
		kubectl(t, "delete", "pod", "db-01", "-n", ns) // what is said to mend it
	} else { // it is replaced, as one of no revision
		gone(t, "pod/db-01", "-n", ns)
	}
	output(t, "Running", "get", "pod", "db-1", "-n", ns, "-o", "jsonpath={.status.phase}")

	contains(t, apply(t, ns, pod("db-7", "app: db")), "it adopts it, and deletes it at once")
	contains(t, apply(t, ns, pod("db-00", "app: db")), "keeps it in place of db-0, or deletes it")
	output(t, "db-0 db-1", "get", "pod", "-n", ns, "-l", "app=db", "-o", "jsonpath={.items[*].metadata.name}")

	apply(t, ns, `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
`)
	output(t, "1", "get", "deployment", "web", "-n", ns, "-o", "jsonpath={.status.replicas}")
	hash := strings.TrimSpace(kubectl(t, "get", "rs", "-n", ns, "-l", "app=web", "-o",
		"jsonpath={.items[0].metadata.labels.pod-template-hash}"))
	contains(t, apply(t, ns, pod("web-copy", "app: web, pod-template-hash: "+hash)),
		"the ReplicaSet of Deployment web that has it adopts the Pod, and deletes it or another")
	eventually(t, "one Pod is left", func() error {
		if names := strings.Fields(kubectl(t, "get", "pod", "-n", ns, "-l", "app=web", "-o",
			"jsonpath={.items[*].metadata.name}")); len(names) != 1 {
			return fmt.Errorf("there are %q", names)
		}
		return nil
	})
}

// staysAdopted shows that Pod db-01 is in the place of db-1.
func staysAdopted(t *testing.T, ns string) {
	t.Helper()
	output(t, "StatefulSet/db", "get", "pod", "db-01", "-n", ns, "-o",
		"jsonpath={.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}")
	output(t, "Running", "get", "pod", "db-0", "-n", ns, "-o", "jsonpath={.status.phase}")
	output(t, "2", "get", "statefulset", "db", "-n", ns, "-o", "jsonpath={.status.replicas}")
	if out, err := try(t, "", "get", "pod", "db-1", "-n", ns); err == nil {
		t.Errorf("db-1 was made all the same:\n%s", out)
	}
	audit := stayput(t, "audit", "--kubeconfig", env.Cluster.Kubeconfig(), "-n", ns).stdout
	contains(t, audit, "must not be a Pod of StatefulSet db, which adopted it as ordinal 1; db-1 is never made")
}

// TestABareReplicaSetAdoptsBarePods shows what lint says of a ReplicaSet and a Pod
// that somebody wrote by hand, from either side.
func TestABareReplicaSetAdoptsBarePods(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pod := func(name string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: %s, labels: {app: web}}\n"+
			"spec: {containers: [{name: web, image: web}]}\n---\n", name, ns)
	}
	set := fmt.Sprintf(`apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, namespace: %s}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
`, ns)
	lint := func(manifests string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), env.Binary, append([]string{"lint", "-"}, args...)...)
		cmd.Stdin, cmd.Env = strings.NewReader(manifests), append(os.Environ(), "KUBECONFIG="+env.Cluster.Kubeconfig())
		out, _ := cmd.Output() // the exit code says that there is something
		return string(out)
	}
	const keeps = "must not match ReplicaSet web, which no Deployment made; it adopts the Pod, and keeps it in place"
	contains(t, lint(pod("first")+set), keeps)

	apply(t, ns, pod("first"))
	contains(t, lint(set, "--against-cluster"), "must not match Pods that no controller made: first; it adopts them")
	apply(t, ns, set)
	output(t, "ReplicaSet/web", "get", "pod", "first", "-n", ns, "-o",
		"jsonpath={.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}")
	output(t, "1", "get", "replicaset", "web", "-n", ns, "-o", "jsonpath={.status.replicas}")
	output(t, "first", "get", "pod", "-n", ns, "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}")

	contains(t, lint(pod("second"), "--against-cluster"), keeps)
	apply(t, ns, pod("second"))
	eventually(t, "one of the two is deleted", func() error {
		if names := strings.Fields(kubectl(t, "get", "pod", "-n", ns, "-l", "app=web", "-o",
			"jsonpath={.items[*].metadata.name}")); len(names) != 1 {
			return fmt.Errorf("there are %q", names)
		}
		return nil
	})
	// With other labels, as lint says, a Pod is left alone.
	apply(t, ns, strings.ReplaceAll(pod("third"), "app: web", "app: web-pod"))
	kubectl(t, "scale", "replicaset", "web", "-n", ns, "--replicas=0")
	output(t, "third", "get", "pod", "-n", ns, "-o", "jsonpath={.items[*].metadata.name}")
	contains(t, lint(pod("fourth"), "--against-cluster"), "it adopts the Pod, and deletes it at once")
}
