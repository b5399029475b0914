package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestMadeAnewAroundItsPods grows StatefulSets from before Stayput as operators
// and people do: deleted with --cascade=orphan and applied with larger templates.
// Each is one that a creation is denied for; what runs already is not.
func TestMadeAnewAroundItsPods(t *testing.T) {
	t.Parallel()
	const ordinary = "apiVersion: v1\nkind: Service\nmetadata: {name: mysql-h}\nspec: {selector: {app: mysql}, ports: [{port: 3306}]}\n---\n"
	for rule, tc := range map[string]struct{ before, was, is string }{
		"statefulset-service-headless": {before: ordinary},
		"statefulset-service-name":     {was: "  serviceName: mysql-h\n"},
		"statefulset-grace-period":     {was: "    spec:\n", is: "    spec:\n      terminationGracePeriodSeconds: 0\n"},
		"statefulset-shared-claim": {
			before: "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: shared}\n" +
				"spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}\n---\n",
			was: "    spec:\n", is: "    spec:\n      volumes: [{name: files, persistentVolumeClaim: {claimName: shared}}]\n",
		},
		"claim-template-duplicate": {
			was: "  - metadata: {name: data}\n",
			is:  "  - metadata: {name: data}\n    spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}\n  - metadata: {name: data}\n",
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, "stayput.dev/mode=off")
			manifest := readFile(t, "testdata", "mysql.yaml")
			if !strings.Contains(manifest, tc.was) {
				t.Fatalf("%q is not in the manifest", tc.was)
			}
			if tc.was != "" {
				manifest = strings.Replace(manifest, tc.was, tc.is, 1)
			}
			apply(t, ns, tc.before+manifest)
			output(t, "3", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
			letGo(t, strings.Fields(kubectl(t, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeName}")))
			kubectl(t, "label", "--overwrite", "namespace", ns, "stayput.dev/mode=enforce")
			pods := kubectl(t, "get", "pod", "-n", ns, "-o", uids)

			// Another of its kind, around which no Pods live, is denied it.
			fresh := strings.NewReplacer("metadata: {name: mysql}", "metadata: {name: fresh}", "{app: mysql}", "{app: mysql, of: fresh}").Replace(manifest)
			deniedBy(t, ns, rule, fresh)

			kubectl(t, "delete", "statefulset", "mysql", "-n", ns, "--cascade=orphan")
			out := apply(t, ns, strings.ReplaceAll(manifest, "storage: 1Gi", "storage: 2Gi"))
			contains(t, out, "Warning: "+rule+": ")
			if strings.Contains(out, "statefulset-scale-up") {
				t.Errorf("its own Pods use those claims:\n%s", out)
			}
			uid := kubectl(t, "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.metadata.uid}")
			output(t, strings.Join([]string{uid, uid, uid}, " "), "get", "pod", "-n", ns, "-o", "jsonpath={.items[*].metadata.ownerReferences[0].uid}")
			output(t, pods, "get", "pod", "-n", ns, "-o", uids)
		})
	}
}

// deniedBy applies what must be denied by a rule.
func deniedBy(t *testing.T, ns, rule, manifest string) {
	t.Helper()
	out, err := try(t, manifest, "apply", "-n", ns, "-f", "-")
	if err == nil {
		t.Errorf("%s: not denied:\n%s", rule, out)
	}
	contains(t, out, "denied the request", rule+": ")
}

// TestPodByHandBuysNoDisk makes a Pod as a StatefulSet would, with a claim whose
// disk is destroyed with it: a StatefulSet that deletes its claims is denied, until
// the volume is retained.
func TestPodByHandBuysNoDisk(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-mysql-0, labels: {app: mysql}}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: mysql-0, labels: {app: mysql}}
spec:
  hostname: mysql-0
  subdomain: mysql-h
  containers: [{name: mysql, image: mysql, volumeMounts: [{name: data, mountPath: /var/lib/mysql}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data-mysql-0}}]
---
`+headlessService)
	output(t, "Bound", "get", "pvc", "data-mysql-0", "-n", ns, "-o", "jsonpath={.status.phase}")
	output(t, "Running", "get", "pod", "mysql-0", "-n", ns, "-o", "jsonpath={.status.phase}")
	pv := kubectl(t, "get", "pvc", "data-mysql-0", "-n", ns, "-o", "jsonpath={.spec.volumeName}")
	letGo(t, []string{pv})
	output(t, "Delete", "get", "pv", pv, "-o", policyPath)
	manifest := strings.NewReplacer("replicas: 3", "replicas: 1\n  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}").
		Replace(readFile(t, "testdata", "mysql.yaml"))
	deniedBy(t, ns, "statefulset-retention", manifest)
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	contains(t, apply(t, ns, manifest), "Warning: statefulset-retention: ")
	output(t, fmt.Sprint(1), "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
}
