package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stayput.dev/report"
)

// TestSinceWhenAClaimIsUnused mounts a claim and takes the Pod away again: Kubernetes
// sets the condition, by which audit sorts, and which recover and claim-in-use tell.
func TestSinceWhenAClaimIsUnused(t *testing.T) {
	t.Parallel()
	onlySince(t, 37, "the condition Unused")
	ns := namespace(t)
	const unused = `jsonpath={.status.conditions[?(@.type=="Unused")].`
	condition := func(want, claim string) {
		t.Helper()
		output(t, want, "get", "pvc", claim, "-n", ns, "-o", unused+"status}")
	}
	transition := func(claim string) string {
		return strings.TrimSpace(kubectl(t, "get", "pvc", claim, "-n", ns, "-o", unused+"lastTransitionTime}"))
	}
	inventory := func() *report.Inventory {
		r, _ := audited(t, 0, "--kubeconfig", env.Cluster.Kubeconfig(), "-n", ns)
		return r.Inventory
	}
	pv := claimOfDisk(t, ns, "files")
	apply(t, ns, `apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: app, image: app, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
`)
	condition("False", "files")
	claimOfDisk(t, ns, "long")
	apply(t, ns, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: pending}
spec: {accessModes: [ReadWriteOnce], storageClassName: nowhere, resources: {requests: {storage: 1Gi}}}
`)
	condition("True", "long")
	inv := inventory()
	if got := fmt.Sprint(inv.Unneeded); got != fmt.Sprintf("[%s/long %s/pending]", ns, ns) {
		t.Errorf("while a Pod mounts one, those that are not needed: %s", got)
	}
	for _, c := range inv.Claims {
		if want := map[string]string{"long": transition("long")}[c.Name]; c.UnusedSince != want {
			t.Errorf("%s: unused since %q, want %q", c.Name, c.UnusedSince, want)
		}
	}
	first, err := time.Parse(time.RFC3339, transition("long"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(first.Add(2 * time.Second))) // the condition has whole seconds
	kubectl(t, "delete", "pod", "user", "-n", ns)
	condition("True", "files")
	inv = inventory()
	if got := fmt.Sprint(inv.Unneeded); got != fmt.Sprintf("[%[1]s/long %[1]s/files %[1]s/pending]", ns) ||
		inv.UnneededBytes != 3<<30 {
		t.Errorf("%d bytes that are not needed: %s", inv.UnneededBytes, got)
	}
	since := "no Pod has used it since at least " + strings.Split(transition("files"), "T")[0]
	contains(t, stayput(t, "audit", "--kubeconfig", env.Cluster.Kubeconfig(), "-n", ns).stdout,
		"known to need, 3 GiB in all, unused for longest first:\n  "+ns+"/long 1Gi, no Pod has used it since at least ",
		"  "+ns+"/files 1Gi, "+since+"\n  "+ns+"/pending 1Gi\n")
	contains(t, recovers(t, ns+"/files"), "has its volume", "nothing to do; "+since)

	// A Deployment at zero that mounts it by name; a StatefulSet, for which repair
	// retains the volume; and as before, with the policy that a person has set back.
	says := func(parts ...string) {
		t.Helper()
		eventually(t, "an answer that says since when", func() error { // once a watch has told of the workload
			out, _ := try(t, "", "delete", "pvc", "files", "-n", ns, "--dry-run=server")
			for _, want := range parts {
				if !strings.Contains(out, want) {
					return fmt.Errorf("%q is missing in %s", want, out)
				}
			}
			return nil
		})
	}
	apply(t, ns, fmt.Sprintf(idle, "Deployment"))
	says("Warning: claim-in-use", "is mounted by Deployment idle; its disk is destroyed with it; fix: "+
		"first kubectl patch pv "+pv)
	if got := fmt.Sprint(inventory().Unneeded); strings.Contains(got, "files") {
		t.Errorf("a Deployment at zero mounts it: %s", got)
	}
	kubectl(t, "delete", "deployment", "idle", "-n", ns)
	apply(t, ns, fmt.Sprintf(idle, "StatefulSet"))
	says("Warning: claim-in-use", "is mounted by StatefulSet idle; volume "+pv+" keeps the data; "+since)
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	says("(Forbidden)", "claim-in-use", "to let it go ("+since+"): kubectl annotate")
}
