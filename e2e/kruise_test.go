//go:build operators && linux

package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// advanced is a database on OpenKruise's own StatefulSet, which Kubernetes'
// controllers ignore.
const advanced = `apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 3306}]}
---
apiVersion: apps.kruise.io/v1beta1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: database, volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimUpdateStrategy: {type: OnPodRollingUpdate}
  volumeClaimTemplates:
  - metadata: {name: data, annotations: {}}
    spec: {accessModes: [ReadWriteOnce], storageClassName: CLASS, resources: {requests: {storage: 1Gi}}}
`

// TestOpenKruise runs the real OpenKruise with its own StatefulSet. Stayput does
// not know that kind, and its claims have no owner, so only volumes whose template
// has an annotation are retained. Expansion waits for a driver, whose part the test
// takes.
func TestOpenKruise(t *testing.T) {
	t.Parallel()
	binary, module := foreign(t, localcluster.OpenKruise)
	installCRDs(t, filepath.Join(module, "config", "crd", "bases"))
	class := growingClass(t)
	home, ns := namespace(t), namespace(t)
	account := record(t, home, "kruise-manager", "clusterrolebinding --clusterrole=cluster-admin")
	runKruise(t, account, module, binary, home, ns)
	manifest := strings.Replace(advanced, "CLASS", class, 1)
	names := map[string]string{"left": "{}", "kept": "{stayput.dev/reclaim-policy: Retain}"}
	for name, annotations := range names {
		manifest := strings.NewReplacer("name: db}", "name: "+name+"}", "app: db", "app: "+name, "serviceName: db",
			"serviceName: "+name,
			"annotations: {}", "annotations: "+annotations).Replace(manifest)
		eventually(t, "it is there", func() error {
			if out, err := try(t, manifest, "apply", "-n", ns, "-f", "-"); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	for name := range names {
		kruiseReady(t, ns, name, 3)
	}
	account.verdict(t, "created").worked(t)
	for _, replicas := range []int{5, 2} {
		for name := range names {
			kubectl(t, "patch", kruiseSet, name, "-n", ns, "--type=merge", "-p",
				fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
		}
		for name := range names {
			kruiseReady(t, ns, name, replicas)
		}
	}
	account.verdict(t, "scaled").worked(t)
	volumes := map[string][]string{}
	for name := range names {
		kubectl(t, "patch", kruiseSet, name, "-n", ns, "--type=json", "-p",
			`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"next"}]`)
		output(t, "next next", "get", "pods", "-n", ns, "-l", "app="+name, "-o",
			"jsonpath={.items[*].spec.containers[0].image}")
		kruiseReady(t, ns, name, 2)
		volumes[name] = strings.Fields(kubectl(t, "get", "pvc", "-n", ns, "-l", "app="+name, "-o",
			"jsonpath={.items[*].spec.volumeName}"))
		letGo(t, volumes[name])
		if len(volumes[name]) != 5 {
			t.Errorf("%d volumes: %v", len(volumes[name]), volumes[name])
		}
	}
	account.verdict(t, "another image").worked(t)
	become(t, "Delete Bound", volumes["left"]...)
	become(t, "Retain Bound", volumes["kept"]...)

	kubectl(t, "patch", kruiseSet, "kept", "-n", ns, "--type=json", "-p",
		`[{"op":"replace","path":"/spec/volumeClaimTemplates/0/spec/resources/requests/storage","value":"2Gi"}]`)
	for _, claim := range []string{"data-kept-1", "data-kept-0"} {
		output(t, "2Gi", "get", "pvc", claim, "-n", ns, "-o", "jsonpath={.spec.resources.requests.storage}")
		kubectl(t, "patch", "pvc", claim, "-n", ns, "--subresource=status", "--type=merge", "-p",
			`{"status":{"capacity":{"storage":"2Gi"}}}`)
	}
	kruiseReady(t, ns, "kept", 2)
	account.verdict(t, "more storage").unrefused(t)

	// A person who deletes a claim is warned: which set it is of, nobody knows.
	out, err := try(t, "", "delete", "pvc", "data-left-0", "-n", ns, "--dry-run=server")
	if err != nil {
		t.Error(err)
	}
	contains(t, out, "claim-in-use", "the disk is destroyed with it")
	for name := range names {
		kubectl(t, "delete", kruiseSet, name, "-n", ns)
	}
	gone(t, "pod", "-n", ns)
	if out, err = try(t, "", "delete", "namespace", ns); err != nil {
		t.Error(err)
	}
	contains(t, out, "namespace-data", "the volumes (5Gi) of 5 claims are destroyed")
	become(t, "destroyed", volumes["left"]...)
	become(t, "Retain Released", volumes["kept"]...)
	account.verdict(t, "deleted").unrefused(t)
}

const kruiseSet = "statefulsets.apps.kruise.io"

// runKruise runs OpenKruise as its manifests do, but for what needs its daemon,
// and with the growth of claims, which is off by default. Its webhooks see one
// namespace.
func runKruise(t *testing.T, account *tap, module, binary, home, ns string) {
	t.Helper()
	var hook string
	if err := harness.FreeAddresses(&hook); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(hook)
	// The operator writes its certificate into these.
	kubectl(t, "patch", "crd", kruiseSet, "--type=merge", "-p", fmt.Sprintf(
		`{"spec":{"conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"url":"https://%s/convert"},`+
			`"conversionReviewVersions":["v1"]}}}}`, hook))
	configurations(t, filepath.Join(module, "config", "webhook", "manifests.yaml"), "kruise-", ns, "https://"+hook, nil,
		"/mutate-pod", "/validate-pod", "/mutate-apps-kruise-io-statefulset", "/validate-apps-kruise-io-statefulset")
	runOperator(t, account, "env", "WEBHOOK_HOST=127.0.0.1", "WEBHOOK_PORT="+port, "WEBHOOK_CERT_DIR="+t.TempDir(),
		"POD_NAMESPACE="+home,
		binary, "--enable-leader-election=false", "--enable-pprof=false", "--metrics-addr=0", "--health-probe-addr=0",
		"--feature-gates=KruiseDaemon=false,StatefulSetAutoResizePVCGate=true")
}

// kruiseReady waits until a set of OpenKruise has its Pods, all new.
func kruiseReady(t *testing.T, ns, name string, replicas int) {
	t.Helper()
	output(t, fmt.Sprintf("%[1]d %[1]d %[1]d", replicas), "get", kruiseSet, name, "-n", ns,
		"-o", "jsonpath={.status.replicas} {.status.readyReplicas} {.status.updatedReplicas}")
}
