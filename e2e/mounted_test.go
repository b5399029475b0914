package e2e

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// mountedClaim and mounter are what small charts make: one claim, and a
// StatefulSet that mounts it by its name.
const (
	mountedClaim = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: search}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
`
	mounter = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: search}
spec:
  replicas: 1
  serviceName: search
  selector: {matchLabels: {app: search}}
  template:
    metadata: {labels: {app: search}}
    spec:
      containers: [{name: search, image: search, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: search}}]
`
)

// volumeOfSearch waits until the claim is bound, and returns its volume.
func volumeOfSearch(t *testing.T, ns string) string {
	t.Helper()
	output(t, "Bound", "get", "pvc", "search", "-n", ns, "-o", "jsonpath={.status.phase}")
	return strings.TrimSpace(kubectl(t, "get", "pvc", "search", "-n", ns, "-o", "jsonpath={.spec.volumeName}"))
}

// setToDelete sets a volume to Delete, like one from before Stayput. Repair's
// annotation stays, so that repair accepts the change.
func setToDelete(t *testing.T, pv string) {
	t.Helper()
	output(t, "Retain", "get", "pv", pv, "-o", policyPath)
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
}

// TestAClaimByNameIsAClaimOfItsStatefulSet makes the claim first, so that its
// volume is there before the StatefulSet is, and then the other way round: the
// volume is retained, the disk outlives the whole application, deleted in either
// order, and comes back with its data.
func TestAClaimByNameIsAClaimOfItsStatefulSet(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		first  string
		second string
	}{{"claim first", mountedClaim, mounter}, {"StatefulSet first", mounter, mountedClaim}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, "stayput.dev/mode=enforce")
			apply(t, ns, tc.first)
			if tc.first == mountedClaim {
				output(t, "Delete", "get", "pv", volumeOfSearch(t, ns), "-o", policyPath)
			}
			apply(t, ns, tc.second)
			pv := volumeOfSearch(t, ns)
			letGo(t, []string{pv})
			output(t, "Retain", "get", "pv", pv, "-o", policyPath)
			output(t, "search/search", "get", "pv", pv, "-o", ofPath)
			written := fill(t, []string{pv})

			// A person who deletes the claim alone is told, and nothing is held back.
			out := kubectl(t, "delete", "pvc", "search", "-n", ns, "--dry-run=server")
			contains(t, out, "claim-in-use", "volume "+pv)
			out, err := try(t, tc.first+"---\n"+tc.second, "delete", "-n", ns, "-f", "-")
			if err != nil {
				t.Fatalf("kubectl delete -f: %v\n%s", err, out)
			}
			gone(t, "statefulset,pvc,pod", "-n", ns)
			output(t, "Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")

			recovers(t, "--statefulset", ns+"/search", "--yes")
			apply(t, ns, mounter)
			output(t, "1", "get", "statefulset", "search", "-n", ns, "-o", "jsonpath={.status.readyReplicas}")
			if got, err := os.ReadFile(fileOf(t, pv)); err != nil || !bytes.Equal(got, written[0]) {
				t.Errorf("volume %s holds something else: %v", pv, err)
			}
		})
	}
}

// doomedSearch makes the application in a namespace of its own, with a volume that
// is destroyed with its claim.
func doomedSearch(t *testing.T) (ns, pv string) {
	t.Helper()
	ns = namespace(t, "stayput.dev/mode=enforce")
	apply(t, ns, mountedClaim+"---\n"+mounter)
	pv = volumeOfSearch(t, ns)
	letGo(t, []string{pv})
	setToDelete(t, pv)
	return ns, pv
}

// TestTheDiskOfAClaimByNameIsNotDestroyed tries to delete the claim alone while
// its volume goes with it: denied at any number of replicas, until somebody says
// that it may.
func TestTheDiskOfAClaimByNameIsNotDestroyed(t *testing.T) {
	t.Parallel()
	ns, pv := doomedSearch(t)
	contains(t, denied(t, "claim-in-use", "delete", "pvc", "search", "-n", ns), "StatefulSet search",
		"the disk would be destroyed with it", "kubectl patch pv "+pv)
	contains(t, denied(t, "namespace-data", "delete", "namespace", ns), "the volume of search (1Gi) is destroyed with it")
	kubectl(t, "scale", "statefulset", "search", "-n", ns, "--replicas=0")
	gone(t, "pod", "-n", ns)
	denied(t, "claim-in-use", "delete", "pvc", "search", "-n", ns)
	kubectl(t, "annotate", "pvc", "search", "-n", ns, "stayput.dev/reclaim-policy=Delete")
	kubectl(t, "delete", "pvc", "search", "-n", ns)
	gone(t, "pv", pv)
}

// TestTeardownOfAClaimByNameCompletes deletes the whole application, whose disk
// goes with it, as kubectl and as a GitOps tool would: what deletes the
// StatefulSet first is done at once, what deletes the claim first when it tries
// again.
func TestTeardownOfAClaimByNameCompletes(t *testing.T) {
	t.Parallel()
	gitops := []string{"--as=system:serviceaccount:argocd:argocd-application-controller", "--as-group=system:masters"}
	for _, tc := range []struct {
		name  string
		order string
		flags []string
		once  bool
	}{
		{"kubectl, StatefulSet first", mounter + "---\n" + mountedClaim, nil, true},
		{"kubectl, claim first", mountedClaim + "---\n" + mounter, nil, false},
		{"pruned, StatefulSet first", mounter + "---\n" + mountedClaim, gitops, true},
		{"pruned, claim first", mountedClaim + "---\n" + mounter, gitops, false},
		{"pruned in the foreground, StatefulSet first", mounter + "---\n" + mountedClaim,
			append([]string{"--cascade=foreground", "--wait=false"}, gitops...), true},
		{"pruned in the foreground, claim first", mountedClaim + "---\n" + mounter,
			append([]string{"--cascade=foreground", "--wait=false"}, gitops...), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ns, pv := doomedSearch(t)
			remove := append([]string{"delete", "-n", ns, "--ignore-not-found", "-f", "-"}, tc.flags...)
			out, err := try(t, tc.order, remove...)
			if (err == nil) != tc.once {
				t.Errorf("the first time: %v\n%s", err, out)
			}
			if !tc.once {
				contains(t, out, "claim-in-use", "the disk would be destroyed with it")
				if out, err := try(t, tc.order, remove...); err != nil {
					t.Errorf("the second time: %v\n%s", err, out)
				}
			}
			gone(t, "statefulset,pvc,pod", "-n", ns)
			gone(t, "pv", pv)
		})
	}
}
