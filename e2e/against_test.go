package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// TestLintAgainstTheCluster lints a StatefulSet alone, whose Service only the
// cluster has.
func TestLintAgainstTheCluster(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, strings.Replace(headlessService, "clusterIP: None, ", "", 1))
	file := filepath.Join(t.TempDir(), "mysql.yaml")
	manifest := strings.Replace(readFile(t, "testdata", "mysql.yaml"), "{name: mysql}", "{name: mysql, namespace: "+ns+"}",
		1)
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	lint := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), env.Binary, append([]string{"lint", file}, args...)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+env.Cluster.Kubeconfig())
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := lint(); err != nil || strings.Contains(out, "deny: ") {
		t.Errorf("alone: %v\n%s", err, out)
	}
	out, err := lint("--against-cluster")
	if err == nil {
		t.Errorf("not denied for the Service of the cluster:\n%s", out)
	}
	contains(t, out, "deny: statefulset-service-headless", `Invalid value: "mysql-h"`)
}

// TestLintOfAChange applies manifests to live objects, and compares the result with
// a dry run at the API server. It also lints a claim template that grew.
func TestLintOfAChange(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	template := "template: {metadata: {labels: {app: db}}, spec: {terminationGracePeriodSeconds: 30, containers: " +
		"[{name: db, image: db:1, args: [a, b], env: [{name: A, value: a}, {name: B, value: b}], " +
		"ports: [{containerPort: 1}], volumeMounts: [{name: data, mountPath: /data}]}]}}"
	set := "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, labels: {app: db}}, spec: {" +
		"serviceName: db, selector: {matchLabels: {app: db}}, " + template + ", volumeClaimTemplates: [{metadata: " +
		"{name: data}, spec: {storageClassName: none, accessModes: [ReadWriteOnce], " +
		"resources: {requests: {storage: 1Gi}}}}]}}"
	service := "{apiVersion: v1, kind: Service, metadata: {name: db, annotations: {a: b}}, spec: {clusterIP: None, " +
		"selector: {app: db}, ports: [{port: 1, name: a}, {port: 2, name: b}]}}"
	deployment := "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, " +
		"spec: {replicas: 2, selector: {matchLabels: {app: db}}, " +
		strings.Replace(template, "volumeMounts: [{name: data, mountPath: /data}]", "", 1) + "}}"
	claim := "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: files}, spec: {storageClassName: none, " +
		"accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}"
	apply(t, ns, strings.Join([]string{set, service, deployment, claim}, "\n---\n"))
	kubectl(t, "scale", "-n", ns, "statefulset/db", "--replicas=3")
	kubectl(t, "set", "env", "-n", ns, "deployment/web", "C=c") // by somebody else
	edited := strings.NewReplacer("db:1", "db:2", "replicas: 2, ", "", "{name: A, value: a}, ", "", "[a, b]", "[c]",
		", {port: 2, name: b}", ", {port: 3, name: c}", "annotations: {a: b}", "labels: {c: d}",
		"terminationGracePeriodSeconds: 30, ", "")
	for name, text := range map[string]string{"statefulset/db": set, "service/db": service, "deployment/web": deployment,
		"pvc/files": claim} {
		for _, after := range []string{text, edited.Replace(text)} {
			live := manifestOf(t, kubectl(t, "get", "-n", ns, name, "-o", "json")).Object
			out, err := try(t, after, "apply", "-n", ns, "--dry-run=server", "-o", "json", "-f", "-")
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			_, out, _ = strings.Cut(out, "{") // warnings come first
			want := manifestOf(t, "{"+out).Object
			got, err := manifestOf(t, after).Over(live)
			if err != nil {
				t.Fatal(err)
			}
			g, w := authored(t, manifest.Defaulted(got)), authored(t, want)
			prune(g)
			prune(w)
			if !reflect.DeepEqual(g, w) {
				t.Errorf("%s: laid over what is there:\n%v\nthe API server:\n%v", name, g, w)
			}
		}
	}

	lint := func(text string) string {
		cmd := exec.CommandContext(t.Context(), env.Binary, "lint", "--against-cluster", "-v", "-")
		cmd.Stdin = strings.NewReader(strings.Replace(text, "{name: db,", "{name: db, namespace: "+ns+",", 1))
		cmd.Env = append(os.Environ(), "KUBECONFIG="+env.Cluster.Kubeconfig())
		out, _ := cmd.CombinedOutput() // what it finds decides the exit code
		return string(out)
	}
	out := lint(strings.Replace(set, "storage: 1Gi", "storage: 20Gi", 1))
	contains(t, out, "hint: field-fixed: ", "each claim must grow by itself", "updated: StatefulSet "+ns+"/db")
	out = lint(set)
	contains(t, out, "; already deployed", "unchanged: StatefulSet "+ns+"/db", "0 denials")
	if strings.Contains(out, "field-fixed") || strings.Contains(out, "statefulset-scale-down") {
		t.Errorf("a change is found where there is none:\n%s", out)
	}
}

// manifestOf returns the one object of a text.
func manifestOf(t *testing.T, text string) *manifest.Manifest {
	t.Helper()
	all, _, err := manifest.ParseManifests("text", []byte(text))
	if err != nil || len(all) != 1 {
		t.Fatalf("%d objects, %v: %s", len(all), err, text)
	}
	return &all[0]
}

// authored returns the parts of an object that its author writes: labels, the number of
// annotations, and all outside of the metadata but the status.
func authored(t *testing.T, obj cluster.Object) map[string]any {
	t.Helper()
	text, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	annotations := obj.GetAnnotations()
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	delete(annotations, "deployment.kubernetes.io/revision") // the controller writes it meanwhile
	meta, _ := all["metadata"].(map[string]any)
	all["labels"], all["annotations"] = meta["labels"], len(annotations)
	delete(all, "metadata")
	delete(all, "status")
	return all
}
