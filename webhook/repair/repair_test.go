package repair

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// TestRepairPlan says what becomes of a volume of a StatefulSet with the policy
// Delete, by its state, its claim's and the configuration.
func TestRepairPlan(t *testing.T) {
	since := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	older := func(pv *corev1.PersistentVolume) {
		pv.CreationTimestamp = metav1.NewTime(since.Add(-time.Second))
	}
	annotate := func(key, value string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { metav1.SetMetaDataAnnotation(&pv.ObjectMeta, key, value) }
	}
	for what, tc := range map[string]struct {
		mode      Mode
		retain    cluster.Retain
		pv        []func(*corev1.PersistentVolume)
		claim     map[string]string // annotations; nil if it is gone
		mark      string            // that the plan writes; empty if nothing is done
		overruled bool
		beside    []cluster.Object // in the cluster, too
	}{
		"missed": {claim: map[string]string{}, mark: "Retain/configuration"},
		"older":  {pv: []func(*corev1.PersistentVolume){older}, claim: map[string]string{}},
		"older, and its Pod is an orphan": {pv: []func(*corev1.PersistentVolume){older}, claim: map[string]string{},
			mark:   "Retain/configuration",
			beside: []cluster.Object{podOf("db-0", nil)}},
		"older, and its Pod has a controller": {pv: []func(*corev1.PersistentVolume){older}, claim: map[string]string{},
			beside: []cluster.Object{podOf("db-0",
				[]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", Controller: new(true)}})}},
		"older, and another Pod mounts its claim": {pv: []func(*corev1.PersistentVolume){older}, claim: map[string]string{},
			beside: []cluster.Object{podOf("reader", nil)}},
		"older, and its StatefulSet leaves its Pods": {pv: []func(*corev1.PersistentVolume){older},
			claim: map[string]string{}, mark: "Retain/configuration",
			beside: []cluster.Object{leaving("orphan")}},
		"older, and its StatefulSet goes with its Pods": {pv: []func(*corev1.PersistentVolume){older},
			claim:  map[string]string{},
			beside: []cluster.Object{leaving("foregroundDeletion")}},
		"older, an orphan's, and its claim lets it go": {pv: []func(*corev1.PersistentVolume){older},
			claim: map[string]string{cluster.AnnotationReclaim: "Delete"}, mark: "Delete/claim",
			beside: []cluster.Object{podOf("db-0", nil)}},
		"older, where all are repaired": {mode: All, pv: []func(*corev1.PersistentVolume){older},
			claim: map[string]string{}, mark: "Retain/configuration"},
		"older, where all are reported": {mode: Report, pv: []func(*corev1.PersistentVolume){older},
			claim: map[string]string{}, mark: "Retain/configuration"},
		"older, and its claim asks": {pv: []func(*corev1.PersistentVolume){older},
			claim: map[string]string{cluster.AnnotationReclaim: "Retain"}, mark: "Retain/claim"},
		"older, and seen to before": {pv: []func(*corev1.PersistentVolume){older,
			annotate(cluster.AnnotationReclaimSet, "Delete/claim")}, claim: map[string]string{}, mark: "Retain/configuration"},
		"nobody retains": {retain: cluster.RetainOff, claim: map[string]string{}},
		"its claim lets it go, as it is": {claim: map[string]string{cluster.AnnotationReclaim: "Delete"},
			mark: "Delete/claim"},
		"somebody changed it": {pv: []func(*corev1.PersistentVolume){annotate(cluster.AnnotationReclaimSet,
			"Retain/configuration")}, claim: map[string]string{}, overruled: true},
		"somebody changed it, and nobody retains now": {retain: cluster.RetainOff,
			pv:    []func(*corev1.PersistentVolume){annotate(cluster.AnnotationReclaimSet, "Retain/configuration")},
			claim: map[string]string{}},
		"its claim let it go, and is gone": {pv: []func(*corev1.PersistentVolume){
			annotate(cluster.AnnotationReclaimSet, "Delete/claim"), annotate(cluster.AnnotationClaimOf, "db/data/0")}},
		"its claim is gone, and nothing was seen to": {
			pv: []func(*corev1.PersistentVolume){annotate(cluster.AnnotationClaimOf, "db/data/0")}},
		"its claim is gone, and it asks itself": {
			pv: []func(*corev1.PersistentVolume){annotate(cluster.AnnotationReclaim, "Retain")}, mark: "Retain/volume"},
		"made by hand": {claim: map[string]string{}, pv: []func(*corev1.PersistentVolume){
			func(pv *corev1.PersistentVolume) { delete(pv.Annotations, cluster.AnnotationProvisionedBy) }}},
		"reserved, not bound": {claim: map[string]string{}, pv: []func(*corev1.PersistentVolume){
			func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "" }}},
		"being deleted": {claim: map[string]string{}, pv: []func(*corev1.PersistentVolume){
			func(pv *corev1.PersistentVolume) { pv.DeletionTimestamp = new(metav1.Now()) }}},
	} {
		pv := &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", CreationTimestamp: metav1.NewTime(since),
				Annotations: map[string]string{cluster.AnnotationProvisionedBy: "csi.example.com"}},
			Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
				ClaimRef:                      &corev1.ObjectReference{Namespace: "prod", Name: "data-db-0", UID: "u-1"},
			},
		}
		for _, edit := range tc.pv {
			edit(pv)
		}
		snap := &cluster.Snapshot{Complete: true}
		if err := snap.Add(tc.beside...); err != nil {
			t.Fatal(err)
		}
		if tc.claim != nil {
			claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "data-db-0",
				UID: "u-1", Annotations: tc.claim,
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager",
					FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:accessModes":{}}}`)}}}}
			if err := snap.Add(claim); err != nil {
				t.Fatal(err)
			}
		}
		if tc.mode == "" {
			tc.mode = New
		}
		r := &Controller{Mode: tc.mode, Policy: &validators.Policy{}, Mutators: Of(mutators.All)}
		got, err := r.plan(cluster.Environment{Source: snap, Retain: tc.retain}.View(t.Context(), cluster.Request{}), since,
			pv)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		mark := ""
		if got.after != nil {
			mark = got.after.Annotations[cluster.AnnotationReclaimSet]
			if policy := string(got.after.Spec.PersistentVolumeReclaimPolicy); policy != string(got.want.Policy) {
				t.Errorf("%s: %s, and %s is wanted", what, policy, got.want.Policy)
			}
		}
		if mark != tc.mark || got.overruled != tc.overruled {
			t.Errorf("%s: marked %q, overruled %v; want %q, %v", what, mark, got.overruled, tc.mark, tc.overruled)
		}
	}
}

func podOf(name string, owners []metav1.OwnerReference) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: name, OwnerReferences: owners}}
	pod.Spec.Hostname = name
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"}}}}
	return pod
}

// leaving returns a StatefulSet that is being deleted, with a finalizer.
func leaving(finalizer string) *appsv1.StatefulSet {
	sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "db",
		DeletionTimestamp: new(metav1.Now()), Finalizers: []string{finalizer}}}
	sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
	return sts
}
