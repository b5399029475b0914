package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// recovers runs stayput recover; it must succeed.
func recovers(t *testing.T, args ...string) string {
	t.Helper()
	out, err := env.Command(t.Context(), append([]string{"recover"}, args...)...)
	if err != nil {
		t.Fatalf("stayput recover %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refuses runs stayput recover, which must not.
func refuses(t *testing.T, want string, args ...string) {
	t.Helper()
	out, err := env.Command(t.Context(), append([]string{"recover"}, args...)...)
	if err == nil {
		t.Errorf("stayput recover %s: not refused:\n%s", strings.Join(args, " "), out)
	}
	contains(t, out, want)
}

// fill writes a file of random bytes into each volume, where the host-path
// provisioner has it, and returns what it wrote.
func fill(t *testing.T, volumes []string) (written [][]byte) {
	t.Helper()
	for _, pv := range volumes {
		data := make([]byte, 4096)
		_, _ = rand.Read(data)
		if err := os.WriteFile(fileOf(t, pv), data, 0o600); err != nil {
			t.Fatal(err)
		}
		written = append(written, data)
	}
	return written
}

func fileOf(t *testing.T, pv string) string {
	t.Helper()
	dir := kubectl(t, "get", "pv", pv, "-o", "jsonpath={.spec.hostPath.path}")
	if dir == "" {
		t.Fatalf("volume %s has no directory", pv)
	}
	return filepath.Join(dir, "data")
}

// TestDataComesBack writes to disks, deletes all that Kubernetes knows of them,
// and reads the same bytes from the StatefulSet's claims again.
func TestDataComesBack(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	volumes := database(t, ns, 3)
	letGo(t, volumes)
	written := fill(t, volumes)
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	kubectl(t, "delete", "pvc", "-n", ns, "--all")
	kubectl(t, "delete", "namespace", ns)
	for _, pv := range volumes {
		output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
	}
	list := recovers(t, "--list")
	contains(t, list, "STATEFULSET", "data-mysql-2", ns+": 3 volumes, 3Gi")
	refuses(t, "namespace "+ns+" does not exist", "--statefulset", ns+"/mysql", "--yes")
	kubectl(t, "create", "namespace", ns)

	// A dry run changes nothing; its commands do what --yes would.
	plan := recovers(t, ns+"/data-mysql-0")
	contains(t, plan, "kubectl patch pv "+volumes[0], "kubectl create -f -", "nothing was changed")
	output(t, "Released", "get", "pv", volumes[0], "-o", "jsonpath={.status.phase}")
	output(t, "", "get", "pvc", "-n", ns, "-o", "name")
	shell := exec.CommandContext(t.Context(), "sh", "-ec", plan)
	shell.Env = append(os.Environ(), "KUBECONFIG="+env.Cluster.Kubeconfig(),
		"PATH="+filepath.Dir(env.Cluster.Kubectl())+":"+os.Getenv("PATH"))
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("the commands of the plan: %v\n%s\n%s", err, out, plan)
	}
	output(t, volumes[0], "get", "pvc", "data-mysql-0", "-n", ns, "-o", "jsonpath={.spec.volumeName}")

	out := recovers(t, "--statefulset", ns+"/mysql", "--yes")
	contains(t, out, "data-mysql-0 has its volume", "data-mysql-1 is bound to volume "+volumes[1],
		"data-mysql-2 is bound to volume "+volumes[2], "next: apply StatefulSet")
	contains(t, recovers(t, "--statefulset", ns+"/mysql", "--yes"),
		"data-mysql-2 has its volume "+volumes[2]+": nothing to do")
	if again := database(t, ns, 3); strings.Join(again, " ") != strings.Join(volumes, " ") {
		t.Fatalf("the StatefulSet got %v, not %v", again, volumes)
	}
	for i, pv := range volumes {
		got, err := os.ReadFile(fileOf(t, pv))
		if err != nil || !bytes.Equal(got, written[i]) {
			t.Errorf("volume %d holds something else: %v", i, err)
		}
		output(t, "Retain", "get", "pv", pv, "-o", policyPath)
	}
	// What was recovered is guarded like what was not.
	denied, err := try(t, "", "delete", "pvc", "data-mysql-1", "-n", ns)
	if err == nil {
		t.Errorf("not denied:\n%s", denied)
	}
	contains(t, denied, "claim-in-use")
}

// TestRecoverRefuses tries calls of recover that could bind the wrong data.
func TestRecoverRefuses(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	first := database(t, ns, 1)
	letGo(t, first)
	claim, down := ns+"/data-mysql-0", func() {
		kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
		kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns)
	}
	contains(t, recovers(t, claim, "--yes"), "has its volume "+first[0]+": nothing to do")
	refuses(t, "no volume was claimed", ns+"/other", "--yes")
	refuses(t, "no volume was claimed for StatefulSet", "--statefulset", ns+"/other", "--yes")
	down()
	output(t, "Released", "get", "pv", first[0], "-o", "jsonpath={.status.phase}")

	// A claim of that name that waits for a volume.
	apply(t, ns, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-mysql-0}
spec: {accessModes: [ReadWriteOnce], storageClassName: nowhere-%s, resources: {requests: {storage: 1Gi}}}
`, ns))
	refuses(t, "may get another volume", claim, "--yes")
	kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns)

	// A StatefulSet that asks for more, or for another class.
	headless := headlessService + readFile(t, "testdata", "mysql.yaml")
	none := strings.Replace(headless, "replicas: 3", "replicas: 0", 1)
	apply(t, ns, strings.Replace(none, "storage: 1Gi", "storage: 2Gi", 1))
	refuses(t, "has 1Gi, and the template asks for 2Gi", claim, "--yes")
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	apply(t, ns, strings.Replace(none, "storageClassName: disk", "storageClassName: other", 1))
	refuses(t, `is of class "disk", and the template of "other"`, "--statefulset", ns+"/mysql", "--yes")
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	output(t, "Released", "get", "pv", first[0], "-o", "jsonpath={.status.phase}")

	// Another claim of that name, with data of its own.
	second := database(t, ns, 1)
	letGo(t, second)
	refuses(t, "it exists, and is bound to volume "+second[0], claim, "--yes")
	down()
	output(t, "Released", "get", "pv", second[0], "-o", "jsonpath={.status.phase}")
	refuses(t, "it had 2 volumes; choose one: --volume "+second[0], claim, "--yes")

	// What a quota forbids shows before anything is changed.
	kubectl(t, "create", "quota", "none", "-n", ns, "--hard=persistentvolumeclaims=0")
	output(t, "0", "get", "quota", "none", "-n", ns, "-o", "jsonpath={.status.hard.persistentvolumeclaims}")
	refuses(t, "nothing was changed", claim, "--volume", first[0], "--yes")
	output(t, "Released", "get", "pv", first[0], "-o", "jsonpath={.status.phase}")
	kubectl(t, "delete", "quota", "none", "-n", ns)
	contains(t, recovers(t, claim, "--volume", first[0], "--yes"), "is bound to volume "+first[0])
}

// manifestOfClass is a StorageClass whose author says nothing of reclaiming.
func manifestOfClass(name, more string) string {
	return fmt.Sprintf("apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: %s, labels: {app: "+
		"disks%s}}\nprovisioner: csi.example.com\n", name, more)
}

// TestStorageClassRetains applies a class in every way in which omission shows,
// and again, as every tool does that keeps a cluster in line with a repository.
func TestStorageClassRetains(t *testing.T) {
	server := func(manager string) []string {
		return []string{"--server-side", "--force-conflicts", "--field-manager", manager}
	}
	for name, flags := range map[string][]string{
		"client-side apply":                nil,
		"server-side apply":                server("kubectl"),
		"Helm 4":                           server("helm"),
		"Flux":                             server("kustomize-controller"),
		"Argo CD with server-side apply":   server("argocd-controller"),
		"client-side apply, not validated": {"--validate=false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			class := strings.ToLower(strings.NewReplacer(" ", "-", ",", "").Replace(name))
			t.Cleanup(func() { _, _ = env.Kubectl(t.Context(), "", "delete", "storageclass", class, "--ignore-not-found") })
			run := func(verb, manifest string) string {
				t.Helper()
				args := []string{verb}
				if verb == "apply" || verb == "diff" {
					for _, f := range flags {
						if verb == "apply" || !strings.HasPrefix(f, "--validate") {
							args = append(args, f)
						}
					}
				}
				out, err := try(t, manifest, append(args, "-f", "-")...)
				if err != nil {
					t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return out
			}
			retained := func() {
				t.Helper()
				output(t, "Retain true", "get", "storageclass", class, "-o",
					`jsonpath={.reclaimPolicy} {.metadata.annotations.stayput\.dev/reclaim-policy-defaulted}`)
			}
			manifest := manifestOfClass(class, "")
			contains(t, run("apply", manifest), "Warning: storageclass-retain: reclaimPolicy, which was left out, is now Retain")
			retained()
			for range 2 {
				before := kubectl(t, "get", "storageclass", class, "-o", "jsonpath={.metadata.resourceVersion}")
				run("diff", manifest) // exits 1 if there is any
				run("apply", manifest)
				if after := kubectl(t, "get", "storageclass", class, "-o",
					"jsonpath={.metadata.resourceVersion}"); after != before {
					t.Errorf("applied again, the class was written")
				}
			}
			changed := manifestOfClass(class, "-2")
			run("apply", changed)
			retained()
			run("diff", changed)
			run("replace", changed)
			retained()
			run("apply", changed)
			retained()
			run("diff", changed)
			// Its author may come to agree, and then to say nothing again.
			run("apply", changed+"reclaimPolicy: Retain\n")
			retained()
			run("apply", changed)
			retained()
			run("diff", changed)
			// The field cannot be changed, and who tries is told so.
			out, err := try(t, changed+"reclaimPolicy: Delete\n", append(append([]string{"apply"}, flags...), "-f", "-")...)
			if err == nil {
				t.Errorf("Delete was accepted:\n%s", out)
			}
		})
	}
}

// TestStorageClassIsLeft creates a class in a way in which omission does not
// show.
func TestStorageClassIsLeft(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() { _, _ = env.Kubectl(t.Context(), "", "delete", "storageclass", "left", "--ignore-not-found") })
	out, err := try(t, manifestOfClass("left", ""), "create", "-f", "-")
	if err != nil {
		t.Fatal(out)
	}
	contains(t, out, "Warning: storageclass-retain: reclaimPolicy is Delete, and nothing shows whether somebody chose it")
	output(t, "Delete", "get", "storageclass", "left", "-o", "jsonpath={.reclaimPolicy}")
	if out, err := try(t, manifestOfClass("left", "-2"), "replace", "-f", "-"); err != nil {
		t.Error(out)
	}
}
