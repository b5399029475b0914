package validators

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
)

// A repairing reader shows volumes on Delete until they have been repaired.
type repairing struct {
	cluster.Reader
	at time.Time
}

func (r *repairing) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	err := r.Reader.Get(ctx, key, obj)
	if pv, ok := obj.(*corev1.PersistentVolume); ok && err == nil && !time.Now().Before(r.at) {
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	}
	return err
}

// TestACreationWaitsForRepair makes a StatefulSet that deletes its claims around
// the Pod that it left: the creation waits until the volume is retained, and for
// nothing that will not come. The clock is the test's own, which goes on only while
// all wait, however busy the machine is.
func TestACreationWaitsForRepair(t *testing.T) {
	const timeout = time.Second
	const soon, never = timeout / 10, time.Hour
	made := []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager",
		FieldsV1: fieldsOf(`{"f:spec":{"f:accessModes":{}}}`)}}
	for what, tc := range map[string]struct {
		repaired                    time.Duration // after the review began
		edit                        func(pod *corev1.Pod, pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume)
		old                         *metav1.ObjectMeta // of the StatefulSet that still has the Pod
		dryRun, notRepaired, others bool
		denied, waits               bool
	}{
		"retained soon":              {repaired: soon, waits: true},
		"never retained":             {repaired: never, denied: true, waits: true},
		"a dry run":                  {repaired: soon, dryRun: true, denied: true},
		"nothing is repaired":        {repaired: soon, notRepaired: true, denied: true},
		"as many others wait as may": {repaired: soon, others: true, denied: true},
		"its claim was made by hand": {repaired: soon, denied: true, edit: func(_ *corev1.Pod,
			pvc *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
			pvc.ManagedFields = nil
		}},
		"the old one has its Pod": {repaired: soon, denied: true, edit: controlled, old: &metav1.ObjectMeta{}},
		"the old one is leaving its Pod": {repaired: soon, waits: true, edit: controlled,
			old: &metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{}, Finalizers: []string{"orphan"}}},
		"the old one takes its Pod along": {repaired: soon, denied: true, edit: controlled,
			old: &metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{}, Finalizers: []string{"foregroundDeletion"}}},
		"the old one has gone since": {repaired: soon, waits: true, edit: controlled},
		"somebody set the volume to Delete": {repaired: soon, denied: true, edit: func(_ *corev1.Pod,
			_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations[cluster.AnnotationReclaimSet] = "Retain/configuration"
		}},
		"the volume was made by hand": {repaired: soon, denied: true, edit: func(_ *corev1.Pod,
			_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations = nil
		}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0",
					Labels: map[string]string{"app": "db"}}}
				pod.Spec.Hostname = "db-0"
				pod.Spec.Volumes = []corev1.Volume{{Name: "data",
					VolumeSource: corev1.VolumeSource{
						PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"}}}}
				pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data-db-0", UID: "u",
					Labels: pod.Labels, ManagedFields: made}}
				pvc.Spec.VolumeName = "pv"
				pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv",
					Annotations: map[string]string{cluster.AnnotationProvisionedBy: "disk.example.com"}}}
				pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
				pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: "data-db-0", UID: "u"}
				if tc.edit != nil {
					tc.edit(pod, pvc, pv)
				}
				snap := &cluster.Snapshot{Complete: true}
				if err := snap.Add(pod, pvc, pv); err != nil {
					t.Fatal(err)
				}
				if tc.old != nil {
					old := &appsv1.StatefulSet{ObjectMeta: *tc.old}
					old.Namespace, old.Name = "shop", "db"
					if err := snap.Add(old); err != nil {
						t.Fatal(err)
					}
				}
				reader := &repairing{snap, time.Now().Add(tc.repaired)}
				w := cluster.Environment{Source: reader, Waiters: make(chan struct{}, 1)}
				if tc.others {
					w.Waiters <- struct{}{}
				}
				if tc.notRepaired {
					w.Waiters = nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				v := w.View(ctx, cluster.Request{UID: "1", DryRun: tc.dryRun, User: authenticationv1.UserInfo{Username: "jane"}})
				sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}}
				sts.Spec.Selector = &metav1.LabelSelector{MatchLabels: pod.Labels}
				sts.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
					WhenDeleted: "Delete"}
				sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
				began := time.Now()
				found, undecided := Review(v, []*Rule{statefulsetRetention}, nil, sts)
				took := time.Since(began)
				if len(undecided) > 0 || len(found) != 1 || (found[0].Level == Deny) != tc.denied {
					t.Fatalf("%v %v, denied must be %v", found, undecided, tc.denied)
				}
				wait := time.Duration(0)
				if tc.waits {
					wait = min(tc.repaired, timeout/2)
				}
				if took != wait {
					t.Errorf("answered after %v, want %v", took, wait)
				}
				if text := found[0].String(); !tc.denied && text != fmt.Sprintf("%s: %s: %s", "statefulset-retention",
					"spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
					`Invalid value: "Delete": must be Retain; claims are deleted, and their volumes with them or left to be bound `+
						`again by hand; fix: whenDeleted: Retain`) {
					t.Errorf("it says what was true before it waited: %s", text)
				}
			})
		})
	}
}

// controlled gives a Pod to the StatefulSet of the name that is created again.
func controlled(pod *corev1.Pod, _ *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db",
		Controller: new(true)}}
}

func fieldsOf(json string) *metav1.FieldsV1 {
	f := new(metav1.FieldsV1)
	f.SetRawString(json)
	return f
}
