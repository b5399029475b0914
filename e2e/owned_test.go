package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"stayput.dev/e2e/localcluster"
)

// TestOwned has claims that custom resources own: audit says what goes with each,
// and the garbage collector does it; with retain: owned the disk stays.
func TestOwned(t *testing.T) {
	t.Parallel()
	s := ownCluster(t, config+"retain: owned\n", localcluster.Options{})
	s.kubectl(class, "create", "-f", "-")
	s.kubectl(ledgers, "create", "-f", "-")
	s.established("crd/ledgers.owner.example.com")
	s.kubectl("", "create", "namespace", "shop")
	volumes := map[string]string{}
	make := func(name string) {
		s.kubectl("apiVersion: owner.example.com/v1\nkind: Ledger\nmetadata: {name: "+name+"}\n", "create", "-n", "shop",
			"-f", "-")
		uid := s.kubectl("", "get", "ledger", name, "-n", "shop", "-o", "jsonpath={.metadata.uid}")
		s.kubectl(fmt.Sprintf(`apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: %s
  ownerReferences: [{apiVersion: owner.example.com/v1, kind: Ledger, name: %[1]s, uid: %s, controller: true}]
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
`, name, uid), "create", "-n", "shop", "-f", "-")
		s.output("Bound", "get", "pvc", name, "-n", "shop", "-o", "jsonpath={.status.phase}")
		volumes[name] = s.kubectl("", "get", "pvc", name, "-n", "shop", "-o", "jsonpath={.spec.volumeName}")
	}
	make("lost")
	make("patched")
	time.Sleep(1100 * time.Millisecond) // the API server's clock counts seconds
	s.start()
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	make("kept")
	s.output("Retain", "get", "pv", volumes["kept"], "-o", policyPath)
	r, _ := audited(t, 0, "--kubeconfig", s.Cluster.Kubeconfig(), "-n", "shop")
	remedies, sentences := map[string]string{}, map[string]string{}
	for i := range r.Inventory.Owners {
		o := &r.Inventory.Owners[i]
		remedies[o.Name], sentences[o.String()] = o.Remedy, o.Sentence()
	}
	for owner, want := range map[string]string{
		"Ledger shop/lost":    "1 claim and 1 GiB on disk destroyed with it",
		"Ledger shop/patched": "1 claim and 1 GiB on disk destroyed with it",
		"Ledger shop/kept":    "1 claim deleted with it, the disks stay",
	} {
		if sentences[owner] != want {
			t.Errorf("%s: %q, want %q", owner, sentences[owner], want)
		}
	}
	shell := exec.CommandContext(t.Context(), "sh", "-ec", remedies["patched"])
	shell.Env = append(os.Environ(), "KUBECONFIG="+s.Cluster.Kubeconfig(),
		"PATH="+filepath.Dir(s.Cluster.Kubectl())+":"+os.Getenv("PATH"))
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", remedies["patched"], err, out)
	}
	s.kubectl("", "delete", "ledger", "--all", "-n", "shop")
	s.output("", "get", "pvc", "-n", "shop", "-o", "name")
	s.output("", "get", "pv", volumes["lost"], "--ignore-not-found", "-o", "name")
	for _, name := range []string{"patched", "kept"} {
		s.output("Released", "get", "pv", volumes[name], "-o", "jsonpath={.status.phase}")
	}
}
