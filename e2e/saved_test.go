package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSavedVolumesComeBack loses the objects of volumes and claims, as with a
// cluster, while the disks stay. What was saved of them, by a cluster without Stayput
// that retains nothing, comes back with its data: the claims of a StatefulSet,
// which owns one of them, and a volume without a claim.
func TestSavedVolumesComeBack(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	volumes := database(t, ns, 2)
	volumes = append(volumes, claimOfDisk(t, ns, "older"))
	letGo(t, volumes)
	written := fill(t, volumes)
	kubectl(t, "patch", "pv", volumes[2], "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	kubectl(t, "delete", "pvc", "older", "-n", ns)
	output(t, "Released", "get", "pv", volumes[2], "-o", "jsonpath={.status.phase}")
	uid := kubectl(t, "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	kubectl(t, "patch", "pvc", "data-mysql-1", "-n", ns, "-p", `{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1",`+
		`"kind":"StatefulSet","name":"mysql","uid":"`+uid+`"}]}}`)

	saved := kubectl(t, append([]string{"get", "pv", "-o", "yaml"}, volumes...)...) + "\n---\n" +
		kubectl(t, "get", "pvc", "-n", ns, "-o", "yaml") + "\n"
	saved = strings.ReplaceAll(saved, "persistentVolumeReclaimPolicy: Retain", "persistentVolumeReclaimPolicy: Delete")
	file := filepath.Join(t.TempDir(), "saved.yaml")
	if err := os.WriteFile(file, []byte(saved), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	kubectl(t, "delete", "pvc", "-n", ns, "--all")
	kubectl(t, "delete", "namespace", ns)
	for _, pv := range volumes {
		output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
		kubectl(t, "delete", "pv", pv)
	}

	restored := recovers(t, "--from", file)
	contains(t, restored, "are Retain now", "will be Released, with their data, and stayput recover gives them back: "+
		volumes[2])
	if out, err := try(t, restored, "create", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, restored)
	}
	for i, claim := range []string{"data-mysql-0", "data-mysql-1"} {
		output(t, "Bound "+volumes[i], "get", "pvc", claim, "-n", ns, "-o", "jsonpath={.status.phase} {.spec.volumeName}")
	}
	output(t, "Released", "get", "pv", volumes[2], "-o", "jsonpath={.status.phase}")
	if again := database(t, ns, 2); strings.Join(again, " ") != strings.Join(volumes[:2], " ") {
		t.Fatalf("the StatefulSet got %v, not %v", again, volumes[:2])
	}
	contains(t, recovers(t, ns+"/older", "--yes"), "is bound to volume "+volumes[2])
	for i, pv := range volumes {
		got, err := os.ReadFile(fileOf(t, pv))
		if err != nil || !bytes.Equal(got, written[i]) {
			t.Errorf("volume %d holds something else: %v", i, err)
		}
		output(t, "Retain", "get", "pv", pv, "-o", policyPath)
	}
}
