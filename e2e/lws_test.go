//go:build operators && linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// leaders is a set of groups of two Pods, each with a disk: LeaderWorkerSet makes
// a StatefulSet of the leaders, and each leader controls one of its workers.
const leaders = `apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: db}
spec:
  replicas: 3
  leaderWorkerTemplate:
    size: 2
    workerTemplate:
      spec: {containers: [{name: db, image: database, volumeMounts: [{name: data, mountPath: /data}]}]}
    volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
`

// TestLeaderWorkerSet has the real LeaderWorkerSet do all that it does with
// StatefulSets. It is refused nothing by Stayput, and no disk is lost.
func TestLeaderWorkerSet(t *testing.T) {
	t.Parallel()
	binary, module := foreign(t, localcluster.LeaderWorkerSet)
	installCRDs(t, filepath.Join(module, "config", "crd", "bases"))
	home, ns := namespace(t), namespace(t)
	account := record(t, home, "lws-controller-manager", "clusterrolebinding --clusterrole=cluster-admin")
	dir := t.TempDir()
	ca := certificate(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	var hook string
	if err := harness.FreeAddresses(&hook); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(hook)
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `apiVersion: config.lws.x-k8s.io/v1alpha1
kind: Configuration
webhook: {host: 127.0.0.1, port: %s, certDir: %s}
leaderElection: {leaderElect: false}
internalCertManagement: {enable: false}
`, port, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	runOperator(t, account, binary, "--config="+config, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	configurations(t, filepath.Join(module, "config", "webhook", "manifests.yaml"), "lws-", ns, "https://"+hook, ca,
		"/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset", "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset",
		"/mutate--v1-pod", "/validate--v1-pod")

	patch := func(patch string) {
		t.Helper()
		kubectl(t, "patch", "leaderworkerset", "db", "-n", ns, "--type=merge", "-p", patch)
	}
	ready := func(groups int) {
		t.Helper()
		output(t, fmt.Sprintf("%[1]d %[1]d %[1]d", groups), "get", "leaderworkerset", "db", "-n", ns,
			"-o", "jsonpath={.status.replicas} {.status.readyReplicas} {.status.updatedReplicas}")
	}
	eventually(t, "it is there", func() error {
		out, err := try(t, leaders, "apply", "-n", ns, "-f", "-")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	ready(3)
	account.verdict(t, "created").worked(t)
	for _, groups := range []int{5, 2} {
		patch(fmt.Sprintf(`{"spec":{"replicas":%d}}`, groups))
		ready(groups)
	}
	account.verdict(t, "scaled").worked(t)
	patch(`{"spec":{"leaderWorkerTemplate":{"workerTemplate":{"spec":{"containers":[{"name":"db","image":"next",` +
		`"volumeMounts":[{"name":"data","mountPath":"/data"}]}]}}}}}`)
	output(t, "next next next next", "get", "pods", "-n", ns, "-o", "jsonpath={.items[*].spec.containers[0].image}")
	ready(2)
	account.verdict(t, "another image").worked(t)

	// A group whose Pod goes is made anew, with the worker's StatefulSet.
	before := kubectl(t, "get", "statefulset", "db-0", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	replacePods(t, ns, "db-0-1")
	eventually(t, "another StatefulSet of the worker", func() error {
		out, err := try(t, "", "get", "statefulset", "db-0", "-n", ns, "-o", "jsonpath={.metadata.uid}")
		if err != nil || out == before {
			return fmt.Errorf("%s: %w", out, err)
		}
		return nil
	})
	ready(2)
	account.verdict(t, "a group made anew").worked(t)

	volumes := volumesOf(t, ns)
	letGo(t, volumes)
	if len(volumes) != 5*2 {
		t.Errorf("%d volumes: %v", len(volumes), volumes)
	}
	become(t, "Retain Bound", volumes...)
	output(t, "db-0/data/1", "get", "pv", "-o",
		`jsonpath={.items[?(@.spec.claimRef.name=="data-db-0-1")].metadata.annotations.stayput\.dev/claim-of}`)

	// Growth: the API server refuses what the operator applies, which from then on
	// does nothing for this one.
	grow := `[{"op":"replace",` +
		`"path":"/spec/leaderWorkerTemplate/volumeClaimTemplates/0/spec/resources/requests/storage","value":"%s"}]`
	kubectl(t, "patch", "leaderworkerset", "db", "-n", ns, "--type=json", "-p", fmt.Sprintf(grow, "2Gi"))
	patch(`{"spec":{"replicas":3}}`)
	time.Sleep(3 * time.Second)
	grown := account.verdict(t, "more storage")
	grown.unrefused(t)
	if grown.warnings["field-fixed"] == 0 {
		t.Error("no hint of field-fixed: does the API server accept it?")
	}
	kubectl(t, "patch", "leaderworkerset", "db", "-n", ns, "--type=json", "-p", fmt.Sprintf(grow, "1Gi"))
	ready(3)
	account.verdict(t, "less again").worked(t)

	kubectl(t, "delete", "leaderworkerset", "db", "-n", ns)
	gone(t, "statefulset,pod", "-n", ns)
	become(t, "Retain Bound", volumes...)

	// Where claims go with the StatefulSet, a worker loses its disk whenever a Pod of
	// its group goes.
	apply(t, ns, strings.NewReplacer("name: db}", "name: brief}", "replicas: 3", "replicas: 1",
		"    volumeClaimTemplates:", "    persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}\n    "+
			"volumeClaimTemplates:").Replace(leaders))
	kubectl(t, "wait", "--for=create", "pod/brief-0-1", "-n", ns, "--timeout=60s")
	kubectl(t, "wait", "--for=condition=Ready", "pod/brief-0-1", "-n", ns, "--timeout=60s")
	lost := kubectl(t, "get", "pvc", "data-brief-0-1", "-n", ns, "-o", "jsonpath={.spec.volumeName}")
	letGo(t, []string{lost})
	kubectl(t, "delete", "pod", "brief-0-1", "-n", ns)
	become(t, "Retain Released", lost)
	kubectl(t, "wait", "--for=create", "pod/brief-0-1", "-n", ns, "--timeout=60s")
	account.verdict(t, "claims that go with the StatefulSet").worked(t)

	kubectl(t, "delete", "namespace", ns)
	become(t, "Retain Released", volumes...)
	account.verdict(t, "deleted").unrefused(t)
}
