package validators

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// TestClaimInUse holds what no manifest can say: objects that are being
// deleted, uids, and who wrote a field.
func TestClaimInUse(t *testing.T) {
	now := metav1.Now()
	labels := map[string]string{"app": "db"}
	claim := func(edit func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		pvc := &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data-db-0", UID: "1", Labels: labels},
			Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "disk"},
		}
		if edit != nil {
			edit(pvc)
		}
		return pvc
	}
	disk := func(policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "disk"},
			Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeReclaimPolicy: policy,
				ClaimRef:                      &corev1.ObjectReference{Namespace: "default", Name: "data-db-0", UID: "1"},
			},
		}
	}
	sts := func(deleted *metav1.Time) *appsv1.StatefulSet {
		return &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db", DeletionTimestamp: deleted},
			Spec: appsv1.StatefulSetSpec{
				Selector:             &metav1.LabelSelector{MatchLabels: labels},
				VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}},
			},
		}
	}
	written := func(pvc *corev1.PersistentVolumeClaim) {
		pvc.ManagedFields = []metav1.ManagedFieldsEntry{{
			Manager:  "kube-controller-manager",
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:accessModes":{}}}`),
		}}
	}
	owned := func(kind, name string) func(*corev1.PersistentVolumeClaim) {
		return func(pvc *corev1.PersistentVolumeClaim) {
			pvc.OwnerReferences = []metav1.OwnerReference{{APIVersion: map[string]string{"Pod": "v1", "StatefulSet": "apps/v1"}[kind], Kind: kind, Name: name, Controller: new(true)}}
		}
	}
	none := sts(nil)
	none.Spec.Replicas = new(int32)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db-0", DeletionTimestamp: &now},
		Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"},
		}}}},
	}
	for name, test := range map[string]struct {
		pvc   *corev1.PersistentVolumeClaim
		world []client.Object
		want  []Level
	}{
		"a StatefulSet that nothing has defaulted has one replica": {
			claim(nil), []client.Object{sts(nil)}, []Level{Deny},
		},
		"a StatefulSet that is being deleted, and its Pods, let the claim go": {
			claim(nil), []client.Object{sts(&now), pod, disk(corev1.PersistentVolumeReclaimRetain)}, nil,
		},
		"unless the disk would be destroyed": {
			claim(nil), []client.Object{sts(&now), disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"the volume of an earlier claim of that name is not the claim's": {
			claim(func(pvc *corev1.PersistentVolumeClaim) { pvc.UID = "2" }), []client.Object{sts(&now), disk(corev1.PersistentVolumeReclaimDelete)}, nil,
		},
		"the controller wrote the claim, whose StatefulSet is gone": {
			claim(written), []client.Object{disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"a StatefulSet that owns its claims, by whenDeleted: Delete, still needs them": {
			claim(owned("StatefulSet", "db")), []client.Object{sts(nil), disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"until it is gone: the garbage collector is on its way": {
			claim(owned("StatefulSet", "db")), []client.Object{sts(&now), disk(corev1.PersistentVolumeReclaimDelete)}, nil,
		},
		"so it is for the claim of a condemned Pod, by whenScaled: Delete": {
			claim(owned("Pod", "db-0")), []client.Object{none, disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Warn},
		},
		"any other owner buys nothing": {
			claim(owned("Pod", "other")), []client.Object{sts(nil), disk(corev1.PersistentVolumeReclaimDelete)}, []Level{Deny},
		},
		"somebody else did": {
			claim(nil), []client.Object{disk(corev1.PersistentVolumeReclaimDelete)}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			snap := &cluster.Snapshot{Complete: true}
			if err := snap.Add(test.world...); err != nil {
				t.Fatal(err)
			}
			view := cluster.World{Source: snap}.View(context.Background(), cluster.Request{})
			found, undecided := Review(view, []*Rule{claimInUse}, test.pvc, nil)
			var got []Level
			for _, f := range found {
				got = append(got, f.Level)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || len(undecided) > 0 {
				t.Errorf("levels (-want +got):\n%s%v%v", diff, found, undecided)
			}
		})
	}
}
