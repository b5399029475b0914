package recovery

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"stayput.dev/manifest"
)

// saved is what kubectl get pv,pvc -o yaml prints of a cluster, shortened: a claim of
// a StatefulSet that owns it, a volume without a claim, one whose claim was not
// saved, and the claim of an ephemeral volume.
const saved = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: PersistentVolume
  metadata:
    name: pvc-1
    uid: 1b1c
    resourceVersion: "8"
    finalizers: [kubernetes.io/pv-protection, external-provisioner.volume.kubernetes.io/finalizer]
    annotations:
      pv.kubernetes.io/provisioned-by: disk.example.com
      pv.kubernetes.io/bound-by-controller: "yes"
      stayput.dev/claim-of: db/data/0
      stayput.dev/reclaim-policy: Delete
  spec:
    capacity: {storage: 1Gi}
    accessModes: [ReadWriteOnce]
    persistentVolumeReclaimPolicy: Delete
    storageClassName: disk
    volumeAttributesClassName: silver
    fieldOfTheFuture: {a: 1}
    claimRef: {kind: PersistentVolumeClaim, namespace: prod, name: data-db-0, uid: 2a2a, resourceVersion: "7"}
    csi: {driver: disk.example.com, volumeHandle: d-1}
    nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a]}]}]}}
  status: {phase: Bound}
- apiVersion: v1
  kind: PersistentVolume
  metadata: {name: pvc-2, uid: 1b1d}
  spec:
    persistentVolumeReclaimPolicy: Retain
    claimRef: {kind: PersistentVolumeClaim, namespace: prod, name: data-db-0, uid: 2a2d, resourceVersion: "3"}
  status: {phase: Released}
- apiVersion: v1
  kind: PersistentVolume
  metadata: {name: pvc-3, uid: 1b1e, deletionTimestamp: "2026-01-02T03:04:05Z"}
  spec: {persistentVolumeReclaimPolicy: Delete, claimRef: {namespace: prod, name: files, uid: 2a2b}}
  status: {phase: Bound}
- apiVersion: v1
  kind: PersistentVolume
  metadata: {name: pvc-4, uid: 1b1f}
  spec: {persistentVolumeReclaimPolicy: Delete, claimRef: {namespace: prod, name: job-1-scratch, uid: 2a2c}}
  status: {phase: Bound}
- apiVersion: v1
  kind: PersistentVolume
  metadata: {name: by-hand}
  spec: {claimRef: {namespace: prod, name: later}}
  status: {phase: Available}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: data-db-0
    namespace: prod
    uid: 2a2a
    labels: {app: db}
    annotations:
      pv.kubernetes.io/bind-completed: "yes"
      volume.kubernetes.io/selected-node: node-1
    ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: 3c3c}]
  spec:
    volumeName: pvc-1
    volumeAttributesClassName: gold
    resources: {requests: {storage: 2Gi}}
  status: {phase: Bound}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {name: lone, namespace: prod}
  spec: {volumeName: pvc-9}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: job-1-scratch
    namespace: prod
    uid: 2a2c
    ownerReferences: [{apiVersion: v1, kind: Pod, name: job-1, uid: 4d4d, controller: true}]
  spec: {volumeName: pvc-4}
- apiVersion: v1
  kind: Pod
  metadata: {name: job-1, namespace: prod}
`

// TestReadSaved has what becomes of each, in the order in which it can be created.
func TestReadSaved(t *testing.T) {
	s, err := ReadSaved("saved.yaml", []byte(saved))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := s.Write(&out); err != nil {
		t.Fatal(err)
	}
	const want = `# To create these, in this order, and before what mounts them: kubectl create -f FILE
# - would be destroyed with their claims, and are Retain now: pvc-1, pvc-3, pvc-4
# - may be destroyed by their annotation stayput.dev/reclaim-policy, which is left out: pvc-1
# - have no claim; they will be Released, with their data, and stayput recover gives them back: pvc-2, pvc-4
# - are reserved for claims that are not in this file: pvc-3 for prod/files
# - wait for volumes that are not in this file: prod/lone for pvc-9
# - are of Pods' ephemeral volumes, and are left out: the Pods make them anew: prod/job-1-scratch
# - were being deleted, and are written all the same: pvc-3
# - are for nodes that their nodeAffinity names: the other cluster must have them, or their new names here: pvc-1
# - are no volumes or claims, and are left out: 1 Pod
---
apiVersion: v1
kind: Namespace
metadata:
  name: prod
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: by-hand
spec:
  claimRef:
    apiVersion: v1
    kind: PersistentVolumeClaim
    name: later
    namespace: prod
  persistentVolumeReclaimPolicy: Retain
---
apiVersion: v1
kind: PersistentVolume
metadata:
  annotations:
    pv.kubernetes.io/provisioned-by: disk.example.com
    stayput.dev/claim-of: db/data/0
  name: pvc-1
spec:
  accessModes:
  - ReadWriteOnce
  capacity:
    storage: 1Gi
  claimRef:
    apiVersion: v1
    kind: PersistentVolumeClaim
    name: data-db-0
    namespace: prod
  csi:
    driver: disk.example.com
    volumeHandle: d-1
  fieldOfTheFuture:
    a: 1
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions:
        - key: zone
          operator: In
          values:
          - a
  persistentVolumeReclaimPolicy: Retain
  storageClassName: disk
  volumeAttributesClassName: silver
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: pvc-2
spec:
  claimRef:
    apiVersion: v1
    kind: PersistentVolumeClaim
    name: data-db-0
    namespace: prod
    uid: 2a2d
  persistentVolumeReclaimPolicy: Retain
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: pvc-3
spec:
  claimRef:
    apiVersion: v1
    kind: PersistentVolumeClaim
    name: files
    namespace: prod
  persistentVolumeReclaimPolicy: Retain
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: pvc-4
spec:
  claimRef:
    apiVersion: v1
    kind: PersistentVolumeClaim
    name: job-1-scratch
    namespace: prod
    uid: 2a2c
  persistentVolumeReclaimPolicy: Retain
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  labels:
    app: db
  name: data-db-0
  namespace: prod
spec:
  resources:
    requests:
      storage: 2Gi
  volumeAttributesClassName: silver
  volumeName: pvc-1
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: lone
  namespace: prod
spec:
  volumeName: pvc-9
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
	// What was printed is saved again, and becomes the same.
	again, err := ReadSaved("again.yaml", []byte(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	for i, obj := range manifest.ReadStream("again.yaml", []byte(out.String())).Manifests {
		if pv, ok := obj.Object.(*corev1.PersistentVolume); ok &&
			pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
			t.Errorf("object %d is not retained", i)
		}
	}
	if len(again.Objects) != len(s.Objects) {
		t.Errorf("%d objects of %d", len(again.Objects), len(s.Objects))
	}
}

// TestReadSavedErrors has input that nothing is printed of.
func TestReadSavedErrors(t *testing.T) {
	const claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a, namespace: b}\nspec: {}\n"
	for name, c := range map[string]struct{ text, want string }{
		"nothing":   {"", "f.yaml: has no PersistentVolume"},
		"others":    {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "f.yaml: has no PersistentVolume"},
		"no YAML":   {claim + "---\na: b: c\n", "f.yaml:6: "},
		"two":       {claim + "---\n" + claim, "f.yaml:6: PersistentVolumeClaim a is there twice"},
		"no object": {"- a\n", "f.yaml: has no PersistentVolume"},
	} {
		if _, err := ReadSaved("f.yaml", []byte(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
