package validators

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

// TestClaimTemplateReclaim holds what the configuration decides.
func TestClaimTemplateReclaim(t *testing.T) {
	class := "fleeting" // an unset policy is Delete
	sts := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
		Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class},
	}}}}
	snap := &cluster.Snapshot{Complete: true}
	if err := snap.Add(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: class},
		Provisioner: "disk.example.com"}); err != nil {
		t.Fatal(err)
	}
	for retain, want := range map[cluster.Retain]int{
		cluster.RetainStatefulSets: 0,
		cluster.RetainOwned:        0,
		cluster.RetainAll:          0,
		cluster.RetainOff:          1,
	} {
		view := cluster.Environment{Source: snap, Retain: retain}.View(context.Background(), cluster.Request{})
		found, undecided := Review(view, []*Rule{claimTemplateReclaim}, nil, sts)
		if len(found) != want || len(undecided) > 0 {
			t.Errorf("retain %s: %d findings, want %d: %v%v", retain, len(found), want, found, undecided)
		}
	}
}
