package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// monitoring is one of each kind of prometheus-operator that has volumes.
const monitoring = `apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: main}
spec: {replicas: 3, image: prometheus, storage: {volumeClaimTemplate: {
	spec: {storageClassName: disk, resources: {requests: {storage: 1Gi}}}}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: other}
spec: {replicas: 2, image: prometheus, storage: {volumeClaimTemplate: {
	spec: {storageClassName: disk, resources: {requests: {storage: 1Gi}}}}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Alertmanager
metadata: {name: main}
spec: {replicas: 2, image: alertmanager, storage: {volumeClaimTemplate: {
	spec: {storageClassName: disk, resources: {requests: {storage: 1Gi}}}}}}
---
apiVersion: monitoring.coreos.com/v1
kind: ThanosRuler
metadata: {name: main}
spec:
  replicas: 2
  image: thanos
  queryEndpoints: [query]
  ruleSelector: {}
  storage: {volumeClaimTemplate: {spec: {storageClassName: disk, resources: {requests: {storage: 1Gi}}}}}
`

// TestPrometheusOperator has the real prometheus-operator, under an account of
// its own, do all that it does with StatefulSets. It is refused nothing, and no
// disk is lost.
func TestPrometheusOperator(t *testing.T) {
	t.Parallel()
	binary, module := foreign(t, localcluster.PrometheusOperator)
	installCRDs(t, filepath.Join(module, "example", "prometheus-operator-crd"))
	home, ns := namespace(t), namespace(t)
	operator := record(t, home, "prometheus-operator", "clusterrolebinding --clusterrole=cluster-admin")
	var address string
	if err := harness.FreeAddresses(&address); err != nil {
		t.Fatal(err)
	}
	runOperator(t, operator, binary, "--web.listen-address="+address, "--namespaces="+ns)

	apply(t, ns, monitoring)
	sets := []string{"prometheus-main", "prometheus-other", "alertmanager-main", "thanos-ruler-main"}
	for _, set := range sets {
		kubectl(t, "wait", "--for=create", "statefulset/"+set, "-n", ns, "--timeout=60s")
		kubectl(t, "rollout", "status", "statefulset/"+set, "-n", ns)
	}
	patch := func(patch string) {
		t.Helper()
		kubectl(t, "patch", "prometheus", "main", "-n", ns, "--type=merge", "-p", patch)
	}
	has := func(want, path string) {
		t.Helper()
		output(t, want, "get", "statefulset", "prometheus-main", "-n", ns, "--ignore-not-found", "-o", "jsonpath={"+path+"}")
	}
	for _, replicas := range []string{"5", "2"} {
		patch(`{"spec":{"replicas":` + replicas + `}}`)
		has(replicas+" "+replicas, ".status.replicas} {.status.readyReplicas")
	}
	patch(`{"spec":{"image":"prometheus-next"}}`)
	has("prometheus-next", `.spec.template.spec.containers[?(@.name=="prometheus")].image`)
	kubectl(t, "rollout", "status", "statefulset/prometheus-main", "-n", ns)
	before := kubectl(t, "get", "statefulset", "prometheus-main", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	patch(`{"spec":{"storage":{"volumeClaimTemplate":{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}}}}`)
	has("2Gi 2", ".spec.volumeClaimTemplates[0].spec.resources.requests.storage} {.status.readyReplicas")
	if after := kubectl(t, "get", "statefulset", "prometheus-main", "-n", ns, "-o",
		"jsonpath={.metadata.uid}"); after == before {
		t.Error("the operator did not make the StatefulSet anew; so this tests nothing of growth")
	}

	volumes := volumesOf(t, ns)
	letGo(t, volumes)
	if len(volumes) != 5+2+2+2 {
		t.Errorf("%d volumes: %v", len(volumes), volumes)
	}
	kubectl(t, "delete", "prometheus", "main", "-n", ns)
	gone(t, "statefulset", "prometheus-main", "-n", ns)
	kubectl(t, "delete", "namespace", ns)
	for _, pv := range volumes {
		output(t, "Retain Released", "get", "pv", pv, "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
	}
	denials, warnings, writes := operator.said()
	for _, d := range denials {
		t.Errorf("refused: %s", d)
	}
	if writes < 10 {
		t.Errorf("%d writes: does the tap listen?", writes)
	}
	t.Logf("%d writes, %d warnings", writes, len(warnings))
}

// foreign builds an operator, and returns where it and its module are.
func foreign(t *testing.T, o localcluster.Operator) (binary, module string) {
	t.Helper()
	binary, err := o.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return binary, moduleDir(t, filepath.Join("localcluster", "modules", o.Nested), o.Module)
}

// installCRDs creates the definitions in a directory, for this test.
func installCRDs(t *testing.T, files string) {
	t.Helper()
	kubectl(t, "create", "-f", files) // an annotation could not hold all of it
	t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "delete", "--wait=false", "-f", files) })
	established(t, "-f", files)
}

// volumesOf returns the names of the volumes of a namespace's claims.
func volumesOf(t *testing.T, ns string) []string {
	t.Helper()
	return slices.Sorted(slices.Values(strings.Fields(kubectl(t, "get", "pvc", "-n", ns, "-o",
		"jsonpath={.items[*].spec.volumeName}"))))
}

// runOperator runs a program that finds its cluster by $KUBECONFIG, until the
// test ends or is killed.
func runOperator(t *testing.T, r *tap, program string, args ...string) {
	t.Helper()
	// The shell's input ends with this process, however that comes about.
	const untilInputEnds = `"$@" & program=$!; cat >/dev/null; kill $program; wait $program`
	cmd := exec.Command("sh", append([]string{"-c", untilInputEnds, "sh", program}, args...)...)
	log, end := startBeside(t, r.kubeconfig, cmd)
	t.Cleanup(func() {
		_ = end() // a signal ended it
		if t.Failed() {
			text := log.String()
			t.Logf("%s:\n%s", filepath.Base(program), text[max(0, len(text)-8000):])
		}
	})
}
