package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stayput.dev/e2e/localcluster"
	"stayput.dev/rehearsal"
)

// auditPolicy is that of docs/adoption.md.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: RequestResponse
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - {group: "", resources: [namespaces, persistentvolumeclaims, persistentvolumes, pods, services]}
  - {group: apps, resources: [statefulsets, statefulsets/scale, deployments, deployments/scale]}
  - {group: policy, resources: [poddisruptionbudgets]}
  - {group: storage.k8s.io, resources: [storageclasses]}
- level: None
`

const (
	asGitOps   = "system:serviceaccount:ops:gitops"
	asOperator = "system:serviceaccount:ops:operator"
)

// rehearsed runs rehearse and returns what it says.
func rehearsed(t *testing.T, code int, args ...string) (r rehearsal.Rehearsal) {
	t.Helper()
	end := stayput(t, append([]string{"rehearse", "--format", "json"}, args...)...)
	if err := json.Unmarshal([]byte(end.stdout), &r); err != nil || end.code != code {
		t.Fatalf("exit code %d, want %d: %v\n%s\n%s", end.code, code, err, end.stdout, end.stderr)
	}
	return r
}

// TestRehearse lets two service accounts and a person do in a cluster without
// Stayput what it would refuse, and replays the API server's own audit log when
// all of it is gone.
func TestRehearse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	policy, log := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "audit.log")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	s := ownCluster(t, config, localcluster.Options{APIServerArgs: []string{
		"--audit-policy-file=" + policy, "--audit-log-path=" + log, "--audit-log-maxsize=100"}})
	kubeconfig := []string{"--kubeconfig", s.Cluster.Kubeconfig()}
	s.kubectl(class, "create", "-f", "-")
	s.kubectl("", "create", "namespace", "ops")
	s.kubectl("", "create", "namespace", "shop")
	for _, name := range []string{"gitops", "operator"} {
		s.kubectl("", "create", "serviceaccount", name, "-n", "ops")
		s.kubectl("", "create", "clusterrolebinding", name, "--clusterrole=cluster-admin", "--serviceaccount=ops:"+name)
	}
	db := strings.Replace(strings.Replace(waiting, "storageClassName: late", "storageClassName: disk", 1),
		`nodeSelector: {fast: "yes"}`, "terminationGracePeriodSeconds: 0", 1)
	db = strings.Replace(db, "replicas: 1", "replicas: 2", 1)
	s.kubectl(db, "create", "-n", "shop", "-f", "-", "--as="+asGitOps)
	// A claim that no Pod on a node uses yet goes at once, and is made again.
	s.output("2", "get", "statefulset", "db", "-n", "shop", "-o", allReady)
	s.kubectl("", "delete", "pvc", "data-db-0", "-n", "shop", "--wait=false", "--as="+asOperator)
	s.kubectl("", "delete", "pvc", "data-db-1", "-n", "shop", "--wait=false")
	s.kubectl("", "delete", "statefulset", "db", "-n", "shop", "--as="+asOperator)
	s.output("", "get", "pvc,pv,pod", "-A", "--field-selector", "metadata.namespace!=kube-system", "-o", "name")

	r := rehearsed(t, 1, append(kubeconfig, log)...)
	var got []string
	for _, f := range r.Denied {
		got = append(got, fmt.Sprintf("%s: %s: %d x %s %s in %s", f.User, f.Rule, f.Times, f.Verb, f.Kind, f.Namespace))
	}
	want := []string{
		"kubernetes-admin: claim-in-use: 1 x delete PersistentVolumeClaim in shop",
		asGitOps + ": statefulset-grace-period: 1 x create StatefulSet in shop",
		asOperator + ": claim-in-use: 1 x delete PersistentVolumeClaim in shop",
	}
	if len(got) > 0 && !strings.HasPrefix(got[0], "kubernetes-admin") { // whatever the administrator is called
		user, _, _ := strings.Cut(got[0], ": ")
		want[0] = user + strings.TrimPrefix(want[0], "kubernetes-admin")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("denied, -want +got:\n%s\n%+v", diff, r.Left)
	}
	contains(t, r.Configuration,
		"exemptions:\n- {rule: statefulset-grace-period, kind: StatefulSet, namespace: shop, user: \""+
			asGitOps+"\", reason: ",
		"  # lets disks be destroyed:\n  # - {user: \""+asOperator+"\", namespace: shop, kind: PersistentVolumeClaim}\n")

	// What it printed is a configuration, and lets through what it says.
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config+r.Configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range rehearsed(t, 1, append(kubeconfig, log, "--config", file)...).Denied {
		if f.Rule != "claim-in-use" {
			t.Errorf("denied still: %+v", f)
		}
	}
	tryDeletions(t, s, kubeconfig, log)
}

// tryDeletions has an operator's database tried, and nothing happens to it: without
// Stayput and beside it, which then refuses the dry run too.
func tryDeletions(t *testing.T, s side, kubeconfig []string, log string) {
	t.Helper()
	s.kubectl(ledgers, "create", "-f", "-")
	s.established("crd/ledgers.owner.example.com")
	s.kubectl(strings.Replace(ledger, ", finalizers: [owner.example.com/claims-first]", "", 1), "create", "-n", "shop",
		"-f", "-")
	uid := s.kubectl("", "get", "ledger", "mysql", "-n", "shop", "-o", "jsonpath={.metadata.uid}")
	owned := strings.Replace(waiting, "storageClassName: late", "storageClassName: disk", 1)
	owned = strings.Replace(owned, `nodeSelector: {fast: "yes"}`, "terminationGracePeriodSeconds: 30", 1)
	owned = strings.Replace(owned, "kind: StatefulSet\nmetadata: {name: db}",
		"kind: StatefulSet\nmetadata: {name: db, ownerReferences: [{apiVersion: owner.example.com/v1, kind: Ledger, name: "+
			"mysql, uid: "+uid+", controller: true}]}", 1)
	s.kubectl(owned, "apply", "-n", "shop", "-f", "-", "--as="+asOperator, "--field-manager=operator")
	s.output("Bound", "get", "pvc", "data-db-0", "-n", "shop", "--ignore-not-found", "-o", "jsonpath={.status.phase}")
	tried := func(by string, installed bool, args ...string) {
		t.Helper()
		r := rehearsed(t, 1, append(append(kubeconfig, "--try-deletions"), args...)...)
		if len(r.Trials) != 1 || len(r.Trials[0].Steps) != 4 {
			t.Fatalf("trials: %+v", r.Trials)
		}
		if trial := r.Trials[0]; trial.As != asOperator || trial.By != by {
			t.Errorf("as %s by %s, want %s by %s", trial.As, trial.By, asOperator, by)
		}
		for _, step := range r.Trials[0].Steps {
			isClaim := strings.HasPrefix(step.Object, "PersistentVolumeClaim")
			if isClaim {
				contains(t, strings.Join(step.Denied, "\n"), "claim-in-use")
			}
			switch denied := strings.Contains(step.Server, "denied the request: claim-in-use"); {
			case installed && isClaim && !denied, !isClaim && !strings.HasPrefix(step.Object, "PersistentVolume") &&
				step.Server != "", !installed && step.Server != "":
				t.Errorf("installed: %t: %s %s: the API server says %q", installed, step.Verb, step.Object, step.Server)
			}
		}
	}
	tried("--as", false, "--as", asOperator)
	tried("the log", false, log)
	tried("the field manager", false)
	s.start()
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	tried("the log", true, log)
	s.stays("Bound", "get", "pvc", "data-db-0", "-n", "shop", "-o", "jsonpath={.status.phase}")

	// The audit knows what goes with the custom resource, and so it does.
	end := stayput(t, append([]string{"audit", "-n", "shop"}, kubeconfig...)...)
	contains(t, end.stdout, "Ledger shop/mysql: 1 claim not deleted with it")
}
