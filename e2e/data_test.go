package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// database applies the StatefulSet of testdata with so many replicas and waits
// until they are ready. It returns the names of their volumes.
func database(t *testing.T, ns string, replicas int, edits ...string) []string {
	t.Helper()
	manifest := strings.Replace(readFile(t, "testdata", "mysql.yaml"), "replicas: 3",
		fmt.Sprintf("replicas: %d", replicas), 1)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(manifest, edits[i]) {
			t.Fatalf("%q is not in the manifest", edits[i])
		}
		manifest = strings.Replace(manifest, edits[i], edits[i+1], 1)
	}
	apply(t, ns, headlessService+manifest)
	output(t, fmt.Sprint(replicas), "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.status.readyReplicas}")
	var volumes []string
	for i := range replicas {
		volumes = append(volumes, strings.TrimSpace(kubectl(t, "get", "pvc", fmt.Sprintf("data-mysql-%d", i), "-n", ns, "-o",
			"jsonpath={.spec.volumeName}")))
	}
	return volumes
}

// letGo deletes, when the test ends, volumes that are Released by then.
func letGo(t *testing.T, volumes []string) {
	t.Cleanup(func() {
		for _, pv := range volumes {
			_, _ = env.Kubectl(context.Background(), "", "delete", "pv", pv, "--wait=false", "--ignore-not-found")
		}
	})
}

func TestVolumesOfAStatefulSetAreRetained(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	volumes := database(t, ns, 1)
	letGo(t, volumes)
	output(t, "Retain", "get", "pv", volumes[0], "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy}")
	output(t, "mysql/data/0", "get", "pv", volumes[0], "-o", `jsonpath={.metadata.annotations.stayput\.dev/claim-of}`)
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns)
	output(t, "Released", "get", "pv", volumes[0], "-o", "jsonpath={.status.phase}")
	kubectl(t, "delete", "namespace", ns)
	output(t, "Released", "get", "pv", volumes[0], "-o", "jsonpath={.status.phase}")
}

func TestVolumesThatTheirOwnerLetsGoAreDeleted(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	volumes := database(t, ns, 1, "{name: data}\n", "{name: data, annotations: {stayput.dev/reclaim-policy: Delete}}\n")
	output(t, "Delete", "get", "pv", volumes[0], "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy}")
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	kubectl(t, "delete", "pvc", "data-mysql-0", "-n", ns)
	gone(t, "pv", volumes[0])
}

func TestAClaimInUseIsKept(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	volumes := database(t, ns, 2)
	letGo(t, volumes)
	out, err := try(t, "", "delete", "pvc", "data-mysql-1", "-n", ns)
	if err == nil {
		t.Fatalf("not denied:\n%s", out)
	}
	contains(t, out, "Error from server (Forbidden)", "claim-in-use", "mysql", "fix: ")
	out, err = try(t, "", "delete", "pv", volumes[1])
	if err == nil {
		t.Fatalf("not denied:\n%s", out)
	}
	contains(t, out, "Error from server (Forbidden)", "volume-in-use", "data-mysql-1", "fix: ")
	// The way out that the message shows: a reason.
	kubectl(t, "annotate", "pvc", "data-mysql-1", "-n", ns, "exempt.stayput.dev/claim-in-use=rebuilding the replica")
	kubectl(t, "delete", "pvc", "data-mysql-1", "-n", ns, "--wait=false")
}

// TestTeardownsComplete runs every ordinary way to take a database down. None
// may hang, and none may leave anything but retained volumes.
func TestTeardownsComplete(t *testing.T) {
	for name, tc := range map[string]struct {
		edits []string
		down  func(t *testing.T, ns string, volumes []string)
	}{
		"namespace": {down: func(t *testing.T, ns string, _ []string) {
			kubectl(t, "delete", "namespace", ns)
		}},
		"scale down with whenScaled Delete": {
			edits: []string{"  replicas: 2", "  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}\n  replicas: 2"},
			down: func(t *testing.T, ns string, _ []string) {
				kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas", "1")
				gone(t, "pvc", "data-mysql-1", "-n", ns)
				kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas", "2")
				output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.status.readyReplicas}")
				kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
				kubectl(t, "delete", "pvc", "-n", ns, "--all")
			}},
		"whenDeleted Delete": {
			edits: []string{"  replicas: 2", "  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}\n  replicas: 2"},
			down: func(t *testing.T, ns string, _ []string) {
				kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
				gone(t, "pvc", "-n", ns)
			}},
		"foreground": {down: func(t *testing.T, ns string, _ []string) {
			kubectl(t, "delete", "statefulset", "mysql", "-n", ns, "--cascade=foreground")
			kubectl(t, "delete", "pvc", "-n", ns, "--all")
		}},
		"StatefulSet and at once its claims": {down: func(t *testing.T, ns string, _ []string) {
			kubectl(t, "delete", "statefulset", "mysql", "-n", ns, "--wait=false")
			kubectl(t, "delete", "pvc", "data-mysql-0", "data-mysql-1", "-n", ns)
		}},
		"helm uninstall": {down: func(t *testing.T, ns string, _ []string) {
			// Helm's order, each without waiting.
			for _, object := range []string{"service/mysql-h", "statefulset/mysql", "pvc/data-mysql-0", "pvc/data-mysql-1"} {
				kubectl(t, "delete", object, "-n", ns, "--wait=false")
			}
		}},
		"kubectl delete -f, StatefulSet first": {down: deleteFiles("statefulset/mysql", "claims", "volumes")},
		"kubectl delete -f, claims first":      {down: deleteFiles("claims", "statefulset/mysql", "volumes")},
		"kubectl delete -f, volumes first":     {down: deleteFiles("volumes", "claims", "statefulset/mysql")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t)
			edits := []string{"replicas: 2", "replicas: 2"}
			if tc.edits != nil {
				edits = tc.edits
			}
			volumes := database(t, ns, 2, edits...)
			letGo(t, volumes)
			tc.down(t, ns, volumes)
			gone(t, "statefulset", "-n", ns)
			gone(t, "pvc", "-n", ns)
			gone(t, "pod", "-n", ns)
		})
	}
}

// deleteFiles deletes objects in an order as kubectl delete -f does: one DELETE
// after the other, even if one fails.
func deleteFiles(order ...string) func(t *testing.T, ns string, volumes []string) {
	return func(t *testing.T, ns string, volumes []string) {
		var manifest strings.Builder
		object := func(kind, name string) {
			version := "v1"
			if kind == "StatefulSet" {
				version = "apps/v1"
			}
			fmt.Fprintf(&manifest, "---\napiVersion: %s\nkind: %s\nmetadata: {name: %s}\n", version, kind, name)
		}
		for _, what := range order {
			switch what {
			case "claims":
				object("PersistentVolumeClaim", "data-mysql-0")
				object("PersistentVolumeClaim", "data-mysql-1")
			case "volumes":
				for _, pv := range volumes {
					object("PersistentVolume", pv)
				}
			default:
				object("StatefulSet", "mysql")
			}
		}
		// One layer goes with each try: volumes wait for claims, and claims for
		// the StatefulSet.
		var said []string
		for range order {
			out, err := try(t, manifest.String(), "delete", "-n", ns, "--timeout", "30s", "--ignore-not-found", "-f", "-")
			if err == nil {
				return
			}
			said = append(said, out)
			gone(t, "statefulset", "-n", ns)
		}
		t.Errorf("not gone after %d tries:\n%s", len(order), strings.Join(said, "\n"))
	}
}

// TestOperatorDeletesAClaimBeforeItsPod does what operators do that make Pods
// and claims themselves.
func TestOperatorDeletesAClaimBeforeItsPod(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: cluster-1}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: cluster-1}
spec:
  containers: [{name: postgres, image: postgres, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: cluster-1}}]
`)
	output(t, "Running", "get", "pod", "cluster-1", "-n", ns, "-o", "jsonpath={.status.phase}")
	out := kubectl(t, "delete", "pvc", "cluster-1", "-n", ns, "--wait=false")
	contains(t, out, "Warning: claim-in-use", "cluster-1")
	kubectl(t, "delete", "pod", "cluster-1", "-n", ns)
	gone(t, "pvc", "cluster-1", "-n", ns)
}
