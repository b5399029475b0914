package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stayput.dev/manifest"
)

// TestFixedIsAccepted applies what lint --fix makes of each broken example, and of keys that it moves, over what was
// there, both ways that kubectl has: the API server takes it, everything is what it was before, and every Pod keeps its
// volumes.
func TestFixedIsAccepted(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../examples/broken/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatal(len(files), err)
	}
	fixed := 0
	for _, file := range append(files, "testdata/moved.yaml") {
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), filepath.Base(file))
		if err := os.WriteFile(dir, before, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), env.Binary, "lint", "--fix", dir).CombinedOutput(); err != nil &&
			!strings.Contains(err.Error(), "exit status 1") { // what is not fixed decides the exit code
			t.Fatalf("%s: %v\n%s", file, err, out)
		}
		after, err := os.ReadFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		if string(after) == string(before) || inNamespace(t, before, "any") == "" {
			continue
		}
		fixed++
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		for _, way := range [][]string{{"apply"}, {"apply", "--server-side"}} {
			t.Run(name+strings.Join(way[1:], ""), func(t *testing.T) {
				ns := namespace(t, "stayput.dev/mode=off") // the API server's answer is asked for
				put := func(text []byte) (string, error) {
					return try(t, inNamespace(t, text, ns), append(way, "-n", ns, "-f", "-")...)
				}
				if out, err := put(before); err != nil {
					if name != "statefulset-recreate" { // the API server refuses it without its gate
						t.Fatalf("before: %v\n%s", err, out)
					}
					return
				}
				was := mountsIn(t, ns)
				out, err := put(after)
				if err != nil {
					t.Fatalf("after: %v\n%s\n%s", err, out, after)
				}
				if diff := cmp.Diff(was, mountsIn(t, ns)); diff != "" {
					t.Errorf("the fix changes what the Pods have (-before +after):\n%s", diff)
				}
			})
		}
	}
	if fixed < 5 {
		t.Errorf("%d of the broken examples are fixed", fixed)
	}
}

// TestFixListsOnce fixes a manifest beside the cluster, and reviews again what it made of it: each kind is listed
// once, and the manifest is fixed as one of a Deployment that exists.
func TestFixListsOnce(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/mode=off")
	before := strings.NewReplacer("metadata: {name: ", "metadata: {namespace: "+ns+", name: ").Replace(
		readFile(t, "..", "examples", "broken", "deployment-grace-period.yaml"))
	apply(t, ns, before)
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	reader := record(t, ns, "reader", "clusterrolebinding --clusterrole=cluster-admin")
	cmd := exec.CommandContext(t.Context(), env.Binary, "lint", "--fix", "--against-cluster", "-v", file)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+reader.kubeconfig)
	out, _ := cmd.CombinedOutput() // what is left decides the exit code
	contains(t, string(out), "1 fixed", "updated: Deployment "+ns+"/")
	reader.mu.Lock()
	defer reader.mu.Unlock()
	lists := 0
	for path, n := range reader.reads {
		if n > 1 && path != "/version" { // which API servers of several releases answer is asked several times
			t.Errorf("%s is read %d times", path, n)
		}
		if strings.HasSuffix(path, "/deployments") || strings.HasSuffix(path, "/services") {
			lists++
		}
	}
	if lists != 2 {
		t.Errorf("%d of two kinds are listed: %v", lists, reader.reads)
	}
}

// TestFixOfRollingIsAccepted fixes the strategy of a Deployment that exists, written in each way, and applies it each
// way: the API server takes it, and then takes Recreate, which it does not where nothing of rollingUpdate was written.
func TestFixOfRollingIsAccepted(t *testing.T) {
	t.Parallel()
	path, err := helmBinary()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	ways := map[string]func(t *testing.T, ns, text string, first bool) (string, error){
		"apply": func(t *testing.T, ns, text string, _ bool) (string, error) {
			return try(t, text, "apply", "-n", ns, "-f", "-")
		},
		"server-side": func(t *testing.T, ns, text string, _ bool) (string, error) {
			return try(t, text, "apply", "--server-side", "-n", ns, "-f", "-")
		},
		"kustomize": func(t *testing.T, ns, text string, _ bool) (string, error) {
			dir := t.TempDir()
			for name, text := range map[string]string{"a.yaml": text, "kustomization.yaml": "resources: [a.yaml]\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			return try(t, "", "apply", "--server-side", "-n", ns, "-k", dir)
		},
	}
	for name, side := range map[string]string{"helm": "--server-side=true", "helm as 3": "--server-side=false"} {
		ways[name] = func(t *testing.T, ns, text string, first bool) (string, error) {
			chart, _ := chartOf(t, ns, "web", text)
			verb := "upgrade"
			if first {
				verb = "install"
			}
			cmd := exec.CommandContext(t.Context(), path, verb, "web", chart, "-n", ns, side)
			cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home,
				"KUBECONFIG="+env.Cluster.Kubeconfig())
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
	}
	_, example, _ := strings.Cut(readFile(t, "..", "examples", "broken", "deployment-rolling-claim.yaml"), "---\n")
	claim, _, _ := strings.Cut(readFile(t, "..", "examples", "broken", "deployment-rolling-claim.yaml"), "---\n")
	with := func(strategy string) string {
		return strings.Replace(example, "  replicas: 1\n", "  replicas: 1\n"+strategy, 1)
	}
	recreate := with("  strategy: {type: Recreate}\n")
	for name, strategy := range map[string]string{"none": "", "type": "  strategy: {type: RollingUpdate}\n",
		"one": "  strategy: {rollingUpdate: {maxSurge: 50%}} # half\n", "all": "  strategy:\n    type: RollingUpdate\n" +
			"    rollingUpdate:\n      maxSurge: 1\n      maxUnavailable: 0\n"} {
		file := filepath.Join(t.TempDir(), "a.yaml")
		if err := os.WriteFile(file, []byte(claim+"---\n"+with(strategy)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), env.Binary, "lint", "--fix", file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, fixed, _ := strings.Cut(readFile(t, file), "---\n")
		contains(t, fixed, "maxSurge: 0", "maxUnavailable: 1")
		for way, put := range ways {
			t.Run(name+" "+way, func(t *testing.T) {
				ns := namespace(t, "stayput.dev/mode=off")
				if out, err := put(t, ns, with(strategy), true); err != nil {
					t.Fatalf("before: %v\n%s", err, out)
				}
				refused := strategy == "" && (way == "server-side" || way == "kustomize" || way == "helm")
				if refused {
					for _, text := range []string{recreate, with("  strategy: {type: Recreate, rollingUpdate: null}\n")} {
						out, err := put(t, ns, text, false)
						if err == nil {
							t.Errorf("Recreate is taken where nothing was written: %s", out)
						}
						contains(t, out, "spec.strategy.rollingUpdate: Forbidden")
					}
				}
				for _, text := range []string{fixed, recreate} {
					if out, err := put(t, ns, text, false); err != nil {
						t.Fatalf("after: %v\n%s\n%s", err, out, text)
					}
				}
				output(t, "Recreate", "get", "deploy", "grafana", "-n", ns, "-o", "jsonpath={.spec.strategy.type}")
			})
		}
	}
}

// inNamespace returns the objects of a text that have a namespace, in this one, or "" if there are none.
func inNamespace(t *testing.T, text []byte, ns string) string {
	t.Helper()
	all, _, err := manifest.ParseManifests("text", text)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]any{"apiVersion": "v1", "kind": "List"}
	items := []any{}
	for i := range all {
		data, err := all[i].JSON()
		if err != nil {
			t.Fatal(err)
		}
		var obj map[string]any
		if err := json.Unmarshal(data, &obj); err != nil {
			t.Fatal(err)
		}
		all[i].Place(ns)
		if all[i].GetNamespace() == "" {
			continue
		}
		obj["metadata"].(map[string]any)["namespace"] = ns
		items = append(items, obj)
	}
	if len(items) == 0 {
		return ""
	}
	list["items"] = items
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// mountsIn returns, of each workload and claim of a namespace, who it is and what its Pods mount.
func mountsIn(t *testing.T, ns string) map[string]any {
	t.Helper()
	var list struct{ Items []map[string]any }
	out := kubectl(t, "get", "statefulsets,deployments,pvc", "-n", ns, "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	at := func(from any, path ...string) any {
		for _, name := range path {
			m, _ := from.(map[string]any)
			from = m[name]
		}
		return from
	}
	all := map[string]any{}
	for _, obj := range list.Items {
		var mounts []any
		containers, _ := at(obj, "spec", "template", "spec", "containers").([]any)
		for _, c := range containers {
			mounts = append(mounts, at(c, "volumeMounts"))
		}
		name := at(obj, "kind").(string) + " " + at(obj, "metadata", "name").(string)
		all[name] = []any{at(obj, "metadata", "uid"), at(obj, "spec", "template", "spec", "volumes"), mounts,
			at(obj, "spec", "volumeClaimTemplates"), at(obj, "spec", "replicas"), at(obj, "spec", "volumeName")}
	}
	return all
}
