package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stuckPod mounts a claim and is gone only once its finalizer is.
const stuckPod = `apiVersion: v1
kind: Pod
metadata: {name: user, finalizers: [example.com/slow]}
spec:
  containers: [{name: app, image: app, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
`

// claimOfDisk makes a claim whose disk would be destroyed with it, and returns the
// volume.
func claimOfDisk(t *testing.T, ns, name string) string {
	t.Helper()
	apply(t, ns, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
`, name))
	output(t, "Bound", "get", "pvc", name, "-n", ns, "-o", "jsonpath={.status.phase}")
	pv := strings.TrimSpace(kubectl(t, "get", "pvc", name, "-n", ns, "-o", "jsonpath={.spec.volumeName}"))
	letGo(t, []string{pv})
	output(t, "Delete", "get", "pv", pv, "-o", policyPath)
	return pv
}

// TestANamespaceDeletedByMistake does what docs/retain.md says: claims wait for the
// last Pod, and until then the volumes can be retained.
func TestANamespaceDeletedByMistake(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pv := claimOfDisk(t, ns, "files")
	written := fill(t, []string{pv})
	file := fileOf(t, pv)
	apply(t, ns, stuckPod)
	output(t, "Running", "get", "pod", "user", "-n", ns, "-o", "jsonpath={.status.phase}")
	contains(t, kubectl(t, "delete", "namespace", ns, "--wait=false"), "namespace-data")
	output(t, "Terminating", "get", "namespace", ns, "-o", "jsonpath={.status.phase}")
	output(t, "Bound", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.status.phase}")
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	kubectl(t, "patch", "pod", "user", "-n", ns, "-p", `{"metadata":{"finalizers":null}}`)
	gone(t, "namespace", ns)
	output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, written[0]) {
		t.Errorf("the data is gone: %v", err)
	}
}

// TestAVolumeThatIsBeingDeletedGoesWithItsClaim shows what a policy of Retain does
// not keep: the volume, and all that is known of its disk.
func TestAVolumeThatIsBeingDeletedGoesWithItsClaim(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pv := claimOfDisk(t, ns, "files")
	file := fileOf(t, pv)
	fill(t, []string{pv})
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	kubectl(t, "annotate", "pv", pv, "exempt.stayput.dev/volume-in-use=a test", "stayput.dev/reclaim-policy-")
	kubectl(t, "delete", "pv", pv, "--wait=false")
	out, err := env.Command(t.Context(), "audit", "--format", "json", "-n", ns)
	if err != nil && !strings.Contains(out, "forgotten") {
		t.Errorf("stayput audit: %v\n%s", err, out)
	}
	contains(t, out, `"forgotten"`, "volume-reclaim", "the volume goes with it, and nothing refers to the disk")
	saved := filepath.Join(t.TempDir(), "volumes.yaml")
	if err := os.WriteFile(saved, []byte(kubectl(t, "get", "pv", pv, "-o", "yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, kubectl(t, "delete", "pvc", "files", "-n", ns), "claim-in-use", "the volume is being deleted",
		"kubectl get pv "+pv+" -o yaml > volumes.yaml")
	gone(t, "pv", pv)
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the disk is gone, too: %v", err)
	}
	// What the finding says makes it anew, and it is given back.
	if out, err := try(t, recovers(t, "--from", saved), "create", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, recovers(t, ns+"/files", "--yes"), "is bound to volume "+pv)
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the disk did not outlive its volume: %v", err)
	}
}

// TestThePolicyOfAVolumeThatIsBeingDeletedCounts changes it to Retain while the volume
// waits for its claim: the disk stays.
func TestThePolicyOfAVolumeThatIsBeingDeletedCounts(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pv := claimOfDisk(t, ns, "files")
	file := fileOf(t, pv)
	fill(t, []string{pv})
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	kubectl(t, "annotate", "pv", pv, "exempt.stayput.dev/volume-in-use=a test", "stayput.dev/reclaim-policy-")
	kubectl(t, "delete", "pv", pv, "--wait=false")
	out, _ := env.Command(t.Context(), "audit", "--format", "json", "-n", ns) // it finds something
	contains(t, out, "volume-reclaim", "volume and disk go with it", "kubectl patch pv "+pv)
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	kubectl(t, "delete", "pvc", "files", "-n", ns)
	gone(t, "pv", pv)
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the disk is gone, though its policy was changed: %v", err)
	}
}

// idle is a workload of a kind that mounts claim files by name, and has no Pod.
const idle = `apiVersion: apps/v1
kind: %s
metadata: {name: idle}
spec:
  replicas: 0
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec:
      containers: [{name: app, image: app, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
`

// between is a CronJob between two runs and a Job that waits, both of which mount claim
// files by name.
const between = `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 0 29 2 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: app, image: app, volumeMounts: [{name: data, mountPath: /data}]}]
          volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: restore}
spec:
  suspend: true
  template:
    spec:
      restartPolicy: Never
      containers: [{name: app, image: app, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
`

// TestAClaimOfAnIdleWorkloadIsWarnedOf deletes a claim that a Deployment at zero, a
// CronJob and a Job mount by name; the first command of the warning keeps the disk.
func TestAClaimOfAnIdleWorkloadIsWarnedOf(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pv := claimOfDisk(t, ns, "files")
	apply(t, ns, fmt.Sprintf(idle, "Deployment")+"---\n"+between)
	eventually(t, "a warning", func() error { // once the watches have told of them
		out := kubectl(t, "delete", "pvc", "files", "-n", ns, "--dry-run=server")
		for _, want := range []string{"claim-in-use", "is mounted by CronJob nightly and 2 more",
			"first kubectl patch pv " + pv} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("%q is missing in %s", want, out)
			}
		}
		return nil
	})
}

// TestAFailedVolumeIsRecovered gives back a volume whose provisioner could not
// destroy the disk, and that was retained then.
func TestAFailedVolumeIsRecovered(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/mode=off")
	pv := ns
	letGo(t, []string{pv})
	apply(t, ns, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: disk
  persistentVolumeReclaimPolicy: Delete
  claimRef:
    {apiVersion: v1, kind: PersistentVolumeClaim, namespace: %s, name: files, uid: 11111111-2222-3333-4444-555555555555}
  hostPath: {path: /elsewhere/than/the/provisioner/may/delete}
`, pv, ns))
	output(t, "Failed", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
	refuses(t, "has the reclaim policy Delete", ns+"/files")
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	contains(t, recovers(t), pv)
	recovers(t, ns+"/files", "--yes")
	output(t, "Bound", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
}
