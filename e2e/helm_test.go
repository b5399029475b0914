package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHelm installs a release as Helm 3 did, by client-side apply, has Helm 4 take
// it over by server-side apply, uninstalls it and installs it again, all under
// enforce: the claims of templates stay, and are found, as a claim does that is to be kept;
// the chart's other claim goes, and its disk with it.
func TestHelm(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/mode=enforce")
	chart, home := t.TempDir(), t.TempDir()
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: mysql-h}\nspec: {clusterIP: None, selector: {app: " +
		"mysql}}\n"
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files}\n" +
		"spec: {storageClassName: disk, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	kept := strings.Replace(claim, "{name: files}", "{name: kept, annotations: {helm.sh/resource-policy: keep}}", 1)
	set := strings.NewReplacer("replicas: 3", "replicas: 2", "{labels: {app: mysql}}",
		`{labels: {app: mysql}, annotations: {revision: {{ .Release.Revision | quote }}}}`).
		Replace(outside.runnable(readFile(t, "testdata", "mysql.yaml")))
	for name, text := range map[string]string{
		"Chart.yaml":         "apiVersion: v2\nname: mysql\nversion: 1.0.0\n",
		"templates/all.yaml": strings.Join([]string{service, claim, kept, set}, "---\n"),
	} {
		file := filepath.Join(chart, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool := exec.Command("go", "tool", "-modfile=tools/helm/go.mod", "-n", "helm")
	tool.Dir = ".."
	path, err := tool.Output()
	if err != nil {
		t.Fatalf("build helm: %v", err)
	}
	helm := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), append(args, "-n", ns)...)
		cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home,
			"KUBECONFIG="+env.Cluster.Kubeconfig())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	owner := func(want string) {
		t.Helper()
		managers := kubectl(t, "get", "statefulset", "mysql", "-n", ns, "--show-managed-fields",
			"-o", "jsonpath={range .metadata.managedFields[*]}{.manager}/{.operation} {end}")
		contains(t, managers, want)
	}
	ready := func() { t.Helper(); output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", allReady) }
	const volume = "jsonpath={.metadata.uid} {.spec.volumeName}"
	claims := func() (found []string) {
		for i := range 2 {
			found = append(found, kubectl(t, "get", "pvc", fmt.Sprint("data-mysql-", i), "-n", ns, "-o", volume))
		}
		return found
	}

	helm("install", "db", chart, "--server-side=false")
	ready()
	owner("helm/Update")
	helm("upgrade", "db", chart, "--server-side=true")
	owner("helm/Apply")
	output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.status.updatedReplicas}")
	ready()
	output(t, "Bound", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.status.phase}")
	before := claims()
	_, files, _ := strings.Cut(kubectl(t, "get", "pvc", "files", "-n", ns, "-o", volume), " ")
	for _, c := range before {
		_, pv, _ := strings.Cut(c, " ")
		output(t, "Retain", "get", "pv", pv, "-o", policyPath)
	}

	helm("uninstall", "db")
	gone(t, "statefulset", "-n", ns)
	gone(t, "pod", "-n", ns)
	output(t, "data-mysql-0 data-mysql-1 kept", "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].metadata.name}")
	output(t, "", "get", "pv", files, "--ignore-not-found", "-o", "name")

	helm("install", "db", chart)
	owner("helm/Apply")
	ready()
	if after := claims(); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("the release has the claims %v, and had %v", after, before)
	}
}
