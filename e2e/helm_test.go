package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// chartOf writes a chart of some manifests, and returns its directory and a function
// that runs Helm in a namespace.
func chartOf(t *testing.T, ns, name string, manifests ...string) (chart string, helm func(args ...string)) {
	t.Helper()
	chart, home := t.TempDir(), t.TempDir()
	for file, text := range map[string]string{
		"Chart.yaml":         "apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n",
		"templates/all.yaml": strings.Join(manifests, "---\n"),
	} {
		file = filepath.Join(chart, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path, err := helmBinary()
	if err != nil {
		t.Fatalf("build helm: %v", err)
	}
	return chart, func(args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, append(args, "-n", ns)...)
		cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home,
			"KUBECONFIG="+env.Cluster.Kubeconfig())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// helmBinary builds Helm and returns its path.
var helmBinary = sync.OnceValues(func() (string, error) {
	tool := exec.Command("go", "tool", "-modfile=tools/helm/go.mod", "-n", "helm")
	tool.Dir = ".."
	path, err := tool.Output()
	return strings.TrimSpace(string(path)), err
})

// TestHelm installs a release as Helm 3 did, by client-side apply, has Helm 4 take
// it over by server-side apply, uninstalls it and installs it again, all under
// enforce: the claims of templates stay, and are found, as a claim does that is to be kept;
// the chart's other claim goes, and its disk with it.
func TestHelm(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/mode=enforce")
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: mysql-h}\nspec: {clusterIP: None, selector: {app: " +
		"mysql}}\n"
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files}\n" +
		"spec: {storageClassName: disk, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	kept := strings.Replace(claim, "{name: files}", "{name: kept, annotations: {helm.sh/resource-policy: keep}}", 1)
	set := strings.NewReplacer("replicas: 3", "replicas: 2", "{labels: {app: mysql}}",
		`{labels: {app: mysql}, annotations: {revision: {{ .Release.Revision | quote }}}}`).
		Replace(outside.runnable(readFile(t, "testdata", "mysql.yaml")))
	chart, helm := chartOf(t, ns, "mysql", service, claim, kept, set)
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

// TestHelmUninstalls uninstalls a release whose StatefulSet mounts a claim of the chart
// by its name, under enforce: it completes, whatever is waited for and whatever hooks
// the chart has, and leaves the disk that Stayput retained, and the claim that the
// chart keeps. A disk that was set to go goes.
func TestHelmUninstalls(t *testing.T) {
	t.Parallel()
	keep := strings.Replace(mountedClaim, "{name: search}",
		"{name: search, annotations: {helm.sh/resource-policy: keep}}", 1)
	hooks := ""
	for _, when := range []string{"pre-delete", "post-delete"} {
		hooks += "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + when + ", annotations: {helm.sh/hook: " + when +
			", helm.sh/hook-delete-policy: before-hook-creation}}\n"
	}
	for _, tc := range []struct {
		name, claim, hooks string
		flags              []string
		goes               bool // the disk, because somebody set its policy to Delete
	}{
		{name: "as it comes", claim: mountedClaim},
		{name: "waiting", claim: mountedClaim, flags: []string{"--wait"}},
		{name: "in the foreground", claim: mountedClaim, flags: []string{"--cascade=foreground", "--wait"}},
		{name: "with hooks", claim: mountedClaim, hooks: hooks, flags: []string{"--wait"}},
		{name: "hooks left out", claim: mountedClaim, hooks: hooks, flags: []string{"--no-hooks"}},
		{name: "claim kept", claim: keep, flags: []string{"--wait"}},
		{name: "disk goes", claim: mountedClaim, goes: true},
		{name: "disk goes, waiting", claim: mountedClaim, hooks: hooks, flags: []string{"--wait"}, goes: true},
		{name: "disk would go, claim kept", claim: keep, goes: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, "stayput.dev/mode=enforce")
			chart, helm := chartOf(t, ns, "search", tc.claim, mounter+tc.hooks)
			helm("install", "search", chart)
			output(t, "1", "get", "statefulset", "search", "-n", ns, "-o", "jsonpath={.status.readyReplicas}")
			pv := volumeOfSearch(t, ns)
			letGo(t, []string{pv})
			output(t, "Retain", "get", "pv", pv, "-o", policyPath)
			if tc.goes {
				setToDelete(t, pv)
			}
			fill(t, []string{pv})
			file := fileOf(t, pv)

			helm(append([]string{"uninstall", "search", "--timeout=1m"}, tc.flags...)...)
			gone(t, "statefulset,pod", "-n", ns)
			gone(t, "secret", "-n", ns, "-l", "owner=helm") // what Helm knows of the release
			ran := strings.Fields(kubectl(t, "get", "configmap", "-n", ns, "-o", "jsonpath={.items[*].metadata.name}"))
			hooked := tc.hooks != "" && !slices.Contains(tc.flags, "--no-hooks")
			if got := slices.Contains(ran, "pre-delete") && slices.Contains(ran, "post-delete"); got != hooked {
				t.Errorf("hooks have run: %v, want %v", got, hooked)
			}
			switch {
			case tc.claim == keep:
				output(t, "Bound", "get", "pvc", "search", "-n", ns, "-o", "jsonpath={.status.phase}")
			case tc.goes:
				gone(t, "pvc", "-n", ns)
				gone(t, "pv", pv)
			default:
				gone(t, "pvc", "-n", ns)
				output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
			}
			if _, err := os.Stat(file); (err == nil) != (tc.claim == keep || !tc.goes) {
				t.Errorf("the disk: %v", err)
			}
		})
	}
}
