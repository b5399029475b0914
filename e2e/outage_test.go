package e2e

import (
	"strings"
	"testing"
)

// TestTheClusterGoesOnWithoutStayput stops Stayput. Other tests of the package must
// not run meanwhile, so it is not parallel, and runs before those that are.
func TestTheClusterGoesOnWithoutStayput(t *testing.T) {
	ns := namespace(t)
	volumes := database(t, ns, 2, "  replicas: 2",
		"  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}\n  replicas: 2")
	letGo(t, volumes)
	for _, name := range []string{"kept", "idle"} {
		apply(t, ns, strings.ReplaceAll(newStatefulSet, "new", name))
	}
	kubectl(t, "label", "statefulset", "kept", "-n", ns, protect+"=true")
	// One that terminates already when Stayput goes away.
	other := namespace(t)
	database(t, other, 1, "{name: data}\n", "{name: data, annotations: {stayput.dev/reclaim-policy: Delete}}\n")
	kubectl(t, "delete", "namespace", other, "--wait=false")
	if err := env.Stop(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := env.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Right again: the guard stands.
		out, err := try(t, "", "delete", "pvc", "data-mysql-0", "-n", ns)
		if err == nil || !strings.Contains(out, "claim-in-use") {
			t.Errorf("not denied after the restart: %v\n%s", err, out)
		}
	}()
	// What only advises lets pass.
	out := apply(t, ns, `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {hostname: same, containers: [{name: web, image: web}]}
`)
	contains(t, out, "deployment.apps/web created")
	output(t, "2", "get", "deployment", "web", "-n", ns, "-o", "jsonpath={.status.readyReplicas}")
	// The StatefulSet controller makes Pods again, and the garbage collector
	// deletes the claim of one that is scaled away.
	replacePods(t, ns, "mysql-0")
	output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.status.readyReplicas}")
	kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas", "1")
	gone(t, "pvc", "data-mysql-1", "-n", ns)
	// What would lose data or a name for good waits.
	out, err := try(t, "", "delete", "pvc", "data-mysql-0", "-n", ns)
	if err == nil || !strings.Contains(out, "deletion.stayput.dev") {
		t.Errorf("a claim could be deleted: %v\n%s", err, out)
	}
	out, err = try(t, `apiVersion: v1
kind: Pod
metadata: {name: named, labels: {stayput.dev/subdomain: mysql-h}}
spec: {containers: [{name: web, image: web}]}
`, "create", "-n", ns, "-f", "-")
	if err == nil || !strings.Contains(out, "identity.stayput.dev") {
		t.Errorf("a Pod could be made without its name: %v\n%s", err, out)
	}
	out, err = try(t, "", "delete", "statefulset", "kept", "-n", ns)
	if err == nil || !strings.Contains(out, "protected.stayput.dev") {
		t.Errorf("a protected StatefulSet could be deleted: %v\n%s", err, out)
	}
	kubectl(t, "scale", "statefulset", "kept", "-n", ns, "--replicas", "0") // fails open
	kubectl(t, "delete", "statefulset", "idle", "-n", ns)
	gone(t, "namespace", other)
}
