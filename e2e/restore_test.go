package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVolumesAreRestoredWithTheirData applies volumes that name the uid of a claim
// that is gone, as a backup of a cluster's objects has them. The API server is asked
// what becomes of one where Stayput is off: it is destroyed.
func TestVolumesAreRestoredWithTheirData(t *testing.T) {
	t.Parallel()
	off, ns := namespace(t, "stayput.dev/mode=off"), namespace(t)
	var files []string
	var written [][]byte
	for i, in := range []string{off, ns, ns, ns} { // a directory of the provisioner's each
		name := fmt.Sprintf("made-%d", i)
		pv := claimOfDisk(t, in, name)
		files, written = append(files, fileOf(t, pv)), append(written, fill(t, []string{pv})...)
		kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
		kubectl(t, "delete", "pvc", name, "-n", in)
		output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
		kubectl(t, "delete", "pv", pv)
	}
	restored := func(i int, in, annotations, uid string) (name, manifest string) {
		name = fmt.Sprintf("%s-%d", ns, i)
		letGo(t, []string{name})
		return name, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %s, annotations: {pv.kubernetes.io/provisioned-by: kubernetes.io/host-path%s}}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: disk
  persistentVolumeReclaimPolicy: Delete
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: %s, name: data-db-%d%s}
  hostPath: {path: %s}
`, name, annotations, in, i, uid, filepath.Dir(files[i]))
	}
	const stale = ", uid: 11111111-2222-3333-4444-555555555555"

	// What Kubernetes does with it by itself.
	pv, manifest := restored(0, off, "", stale)
	apply(t, off, manifest)
	gone(t, "pv", pv)
	eventually(t, "the disk to be destroyed", func() error {
		if _, err := os.Stat(files[0]); !os.IsNotExist(err) {
			return fmt.Errorf("it is there: %v", err)
		}
		return nil
	})

	// A person is told, and the disk stays.
	pv, manifest = restored(1, ns, "", stale)
	contains(t, apply(t, ns, manifest), "volume-retain: persistentVolumeReclaimPolicy is now Retain",
		"volume-stale-claim: spec.claimRef.uid", "never bound", "remove uid and resourceVersion")
	output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")

	// A service account's is saved without a word that it could not read.
	pv, manifest = restored(2, ns, "", stale)
	if out, err := try(t, manifest, "apply", "-f", "-", "--as=system:serviceaccount:"+ns+":restorer",
		"--as-group=system:masters"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
	output(t, "Retain", "get", "pv", pv, "-o", policyPath)

	// What the annotation of its earlier life would destroy is denied to a person.
	_, manifest = restored(3, ns, ", stayput.dev/reclaim-policy: Delete", stale)
	if out, err := try(t, manifest, "apply", "-f", "-"); err == nil {
		t.Errorf("not denied:\n%s", out)
	} else {
		contains(t, out, "volume-stale-claim", "and its disk destroyed")
	}
	// The remedy.
	pv, manifest = restored(3, ns, ", stayput.dev/reclaim-policy: Delete", "")
	apply(t, ns, manifest)
	output(t, "Available", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
	claim := `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-db-3%s}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, volumeName: %s, resources: {requests: {storage: 1Gi}}}
`
	// Saved when it was bound, it is Lost, for its volume does not have its uid.
	out := apply(t, ns, fmt.Sprintf(claim, `, annotations: {pv.kubernetes.io/bind-completed: "yes"}`, pv))
	contains(t, out, "volume-stale-claim", "the claim is Lost at once", "remove it")
	output(t, "Lost", "get", "pvc", "data-db-3", "-n", ns, "-o", "jsonpath={.status.phase}")
	kubectl(t, "delete", "pvc", "data-db-3", "-n", ns)
	output(t, "Available", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
	apply(t, ns, fmt.Sprintf(claim, "", pv))
	output(t, "Bound", "get", "pvc", "data-db-3", "-n", ns, "-o", "jsonpath={.status.phase}")

	for i := 1; i < len(files); i++ {
		if got, err := os.ReadFile(files[i]); err != nil || !bytes.Equal(got, written[i]) {
			t.Errorf("the data of volume %d is gone: %v", i, err)
		}
	}
	if strings.Contains(kubectl(t, "get", "pv", pv, "-o", "json"), "555555555555") {
		t.Error("the volume is another claim's")
	}
}
