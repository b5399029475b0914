package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/report"
)

// setOf is a StatefulSet with claims of a size.
func setOf(name, size string) string {
	return `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ` + name + `, namespace: shop}
spec:
  serviceName: ` + name + `
  selector: {matchLabels: {app: ` + name + `}}
  template:
    metadata: {labels: {app: ` + name + `}}
    spec: {containers: [{name: a, image: b, volumeMounts: [{name: data, mountPath: /d}]}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: ` + size + `}}}
`
}

// defaultsWritten writes into a setOf what the API server fills in.
var defaultsWritten = strings.NewReplacer("spec: {acc", "spec: {volumeMode: Filesystem, acc", "  serviceName:",
	"  podManagementPolicy: OrderedReady\n  updateStrategy: {type: RollingUpdate}\n"+
		"  persistentVolumeClaimRetentionPolicy: {whenScaled: Retain}\n  serviceName:",
	"spec: {containers: [{", "spec: {dnsPolicy: ClusterFirst, terminationGracePeriodSeconds: 30, "+
		"containers: [{imagePullPolicy: Always, ")

// TestLintOld reviews what a change makes of an earlier state: a directory, a file
// and a revision say the same, and what an apply fills in is no change.
func TestLintOld(t *testing.T) {
	was, is := t.TempDir(), t.TempDir()
	for dir, files := range map[string]map[string]string{
		was: {"a.yaml": setOf("grown", "8Gi"), "b.yaml": setOf("same", "8Gi"), "gone.yaml": setOf("moved", "8Gi"),
			"c.yaml": setOf("kept", "8Gi") + "---\n" + setOf("dropped", "8Gi")},
		is: {"a.yaml": setOf("grown", "20Gi"),
			"b.yaml": defaultsWritten.Replace(setOf("same", "8Gi")),
			"c.yaml": setOf("kept", "8Gi") + "---\n" + setOf("new", "8Gi")},
	} {
		for name, text := range files {
			write(t, dir, name, text)
		}
	}
	repository := t.TempDir()
	if err := os.CopyFS(filepath.Join(repository, "deploy"), os.DirFS(was)); err != nil {
		t.Fatal(err)
	}
	committed(t, repository)
	deploy := filepath.Join(repository, "deploy")
	if err := os.RemoveAll(deploy); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(deploy, os.DirFS(is)); err != nil {
		t.Fatal(err)
	}
	want := []string{"created StatefulSet shop/new", "removed StatefulSet shop/dropped", "unchanged StatefulSet shop/kept",
		"unchanged StatefulSet shop/same", "updated StatefulSet shop/grown"}
	for name, args := range map[string][]string{
		"a directory": {is, "--old", was},
		"a revision":  {deploy, "--old", "git:HEAD"},
	} {
		t.Run(name, func(t *testing.T) {
			ended := stayput(t, "", append([]string{"lint", "-f", "json", "--complete"}, args...)...)
			var r report.Report
			if err := json.Unmarshal([]byte(ended.stdout), &r); err != nil || ended.code != 1 {
				t.Fatalf("%v, exit code %d: %s", err, ended.code, ended.stderr)
			}
			if changes := changesOf(&r); !slices.Equal(changes, want) {
				t.Errorf("reviewed: %q, want %q", changes, want)
			}
			said := map[string]string{}
			for _, f := range r.Findings {
				said[f.Rule+" "+f.Object.Name] = f.Level + " " + f.Review
			}
			for about, how := range map[string]string{"field-fixed grown": "hint updated", "field-fixed same": "",
				"statefulset-service-missing kept": "warn standing", "statefulset-service-missing new": "warn created"} {
				if said[about] != how {
					t.Errorf("%s: %q, want %q", about, said[about], how)
				}
			}
		})
	}
	for name, tt := range map[string]invocation{
		"a stream": {args: []string{filepath.Join(is, "a.yaml"), "--old", "-"}, stdin: setOf("grown", "8Gi"), code: 1,
			stdout: "cannot be changed; each claim must grow by itself"},
		"a file": {args: []string{"-", "--old", filepath.Join(was, "a.yaml")}, stdin: setOf("grown", "20Gi"), code: 1,
			stdout: "cannot be changed; each claim must grow by itself"},
		"what is as it was": {args: []string{"-", "--old", filepath.Join(was, "b.yaml")}, stdin: setOf("same", "8Gi"),
			stdout: "1 object: 0 denials, 0 warnings; 1 unchanged"},
		"which each is": {args: []string{"-", "-v", "--old", filepath.Join(was, "b.yaml")}, stdin: setOf("same", "8Gi"),
			stdout: "unchanged: StatefulSet shop/same\n"},
		"what is gone, if nobody prunes": {args: []string{is, "--old", was}, code: 1,
			stdout: "; 1 created, 1 updated, 2 unchanged, 1 removed"},
		"no such revision": {args: []string{deploy, "--old", "git:absent"}, code: 2, stderr: "has no such revision"},
		"no repository":    {args: []string{is, "--old", "git:HEAD"}, code: 2, stderr: "not a git repository"},
		"a revision of a stream": {args: []string{"-", "--old", "git:HEAD"}, code: 2,
			stderr: "has no standard input; give a file"},
		"one input for both": {args: []string{"-", "--old", "-"}, code: 2, stderr: "is read for the manifests already"},
		"two earlier states": {args: []string{is, "--old", was, "--against-cluster"}, code: 2,
			stderr: "only one of them"},
		"pruned of nothing":  {args: []string{is, "--pruned"}, code: 2, stderr: "needs --old"},
		"a file that is not": {args: []string{is, "--old", "absent"}, code: 2, stderr: "--old: stat absent"},
		"a file that is no YAML": {args: []string{is, "--old", "-"}, stdin: "a: b: c\n", code: 2,
			stderr: "--old: standard input:1"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.of(t, "lint")
		})
	}
}

// TestLintOldOfAKustomization reviews what a kustomization builds as a change of what
// another builds, or of what it built itself at a revision, its bases included.
func TestLintOldOfAKustomization(t *testing.T) {
	repository := t.TempDir()
	for name, text := range map[string]string{
		"base/kustomization.yaml": "resources: [a.yaml, b.yaml, gone.yaml]\n", "base/a.yaml": setOf("grown", "8Gi"),
		"base/b.yaml": setOf("same", "8Gi"), "base/gone.yaml": setOf("dropped", "8Gi"),
		"prod/kustomization.yaml": "namePrefix: prod-\nresources: [../base]\n",
	} {
		write(t, repository, name, text)
	}
	committed(t, repository)
	was := t.TempDir()
	if err := os.CopyFS(was, os.DirFS(repository)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(was, ".git")); err != nil {
		t.Fatal(err)
	}
	write(t, repository, "base/a.yaml", setOf("grown", "20Gi"))
	write(t, repository, "base/gone.yaml", setOf("new", "8Gi"))
	prod := filepath.Join(repository, "prod")
	want := []string{"created StatefulSet shop/prod-new", "removed StatefulSet shop/prod-dropped",
		"unchanged StatefulSet shop/prod-same", "updated StatefulSet shop/prod-grown"}
	for name, old := range map[string]string{"a directory": filepath.Join(was, "prod"), "a revision": "git:HEAD"} {
		ended := stayput(t, "", "lint", "-f", "json", "--complete", "-k", prod, "--old", old)
		var r report.Report
		if err := json.Unmarshal([]byte(ended.stdout), &r); err != nil || ended.code != 1 {
			t.Fatalf("%s: %v, exit code %d: %s", name, err, ended.code, ended.stderr)
		}
		if changes := changesOf(&r); !slices.Equal(changes, want) {
			t.Errorf("%s: reviewed %q, want %q", name, changes, want)
		}
		if !strings.Contains(ended.stdout, "cannot be changed; each claim must grow by itself") {
			t.Errorf("%s: no recipe: %s", name, ended.stdout)
		}
	}
	broken := written(t, map[string]string{"kustomization.yaml": "resources: [absent.yaml]\n"})
	write(t, repository, "later/kustomization.yaml", "resources: [../base]\n")
	for name, tt := range map[string]struct {
		args   []string
		code   int
		output string
	}{
		"not there yet":  {[]string{"-k", filepath.Join(repository, "later"), "--old", "git:HEAD"}, 0, "3 created"},
		"no revision":    {[]string{"-k", prod, "--old", "git:absent"}, 2, "has no such revision"},
		"no repository":  {[]string{"-k", filepath.Join(was, "prod"), "--old", "git:HEAD"}, 2, "not a git repository"},
		"two of one":     {[]string{"-k", prod, "-k", prod, "--old", filepath.Join(was, "prod")}, 2, "state of one -k"},
		"cannot be made": {[]string{"-k", prod, "--old", broken}, 2, "--old: "},
	} {
		r := stayput(t, "", append([]string{"lint"}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.stdout+r.stderr, tt.output) {
			t.Errorf("%s: exit code %d, want %d, and %q in:\n%s%s", name, r.code, tt.code, tt.output, r.stdout, r.stderr)
		}
	}
	status := exec.CommandContext(t.Context(), "git", "-C", repository, "status", "--porcelain")
	if out, err := status.Output(); err != nil || string(out) != " M base/a.yaml\n M base/gone.yaml\n?? later/\n" {
		t.Errorf("the repository was changed: %v\n%s", err, out)
	}
}

// committed makes a repository of a directory.
func committed(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{{"init", "-q"}, {"add", "."},
		{"-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"}} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).
			CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
}

// changesOf returns how each object was reviewed, sorted.
func changesOf(r *report.Report) (changes []string) {
	for _, c := range r.Changes {
		changes = append(changes, c.Review+" "+c.Object.String())
	}
	slices.Sort(changes)
	return changes
}

// TestWhatMayNotBeListedIsNotCalledNew compares with a cluster in which an account may
// list StatefulSets and nothing else.
func TestWhatMayNotBeListedIsNotCalledNew(t *testing.T) {
	snapshot := &cluster.Snapshot{}
	snapshot.Know(appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	manifests := manifest.ReadStream("a.yaml", []byte(setOf("db", "8Gi")+"---\n"+
		"apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n")).Manifests
	before, err := deployed(t.Context(), snapshot, manifests)
	if err != nil {
		t.Fatal(err)
	}
	for i, compared := range []bool{true, false} {
		s := &subject{Object: manifests[i].Object, manifest: &manifests[i]}
		if err := before(t.Context(), cluster.Environment{}, s); err != nil || s.compare != compared {
			t.Errorf("%s is compared: %t, %v", manifests[i].GetName(), s.compare, err)
		}
	}
}

// TestLintPruned counts what is found about objects that are gone only where they are
// deleted.
func TestLintPruned(t *testing.T) {
	dir := t.TempDir()
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: grown, namespace: shop}\n" +
		"spec: {clusterIP: None, selector: {app: grown}}\n---\n" +
		"apiVersion: v1\nkind: PersistentVolumeClaim\n" +
		"metadata: {name: data-grown-0, namespace: shop, labels: {app: grown}}\n" +
		"spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Gi}}}\n"
	old := write(t, dir, "old.yaml", setOf("grown", "8Gi")+"---\n"+service)
	args := []string{"lint", "-", "--old", old, "--complete=namespaced,PersistentVolume,Namespace", "--fail-on", "warn"}
	r := stayput(t, service, args...)
	if r.code != 0 || !strings.Contains(r.stdout, "; if your tool prunes\n") ||
		!strings.Contains(r.stdout, "0 warnings, 1 if your tool prunes; 2 unchanged, 1 removed") {
		t.Errorf("exit code %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := stayput(t, service, append(args, "--pruned")...); r.code != 1 || !strings.Contains(r.stdout, "1 warning;") {
		t.Errorf("pruned: exit code %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
}
