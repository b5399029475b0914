package validators

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
)

// TestVolumeInUse holds what no manifest can say: uids, and a claim that is
// being deleted.
func TestVolumeInUse(t *testing.T) {
	now := metav1.Now()
	for name, test := range map[string]struct {
		ref     types.UID
		deleted *metav1.Time
		denied  bool
	}{
		"the claim has the uid":       {ref: "1", denied: true},
		"no uid means any":            {denied: true},
		"another claim of that name":  {ref: "2"},
		"the claim is being deleted":  {ref: "1", deleted: &now},
		"any claim, if it is deleted": {deleted: &now},
	} {
		t.Run(name, func(t *testing.T) {
			pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data", UID: "1",
				DeletionTimestamp: test.deleted}}
			pv := &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: "disk",
					Annotations: map[string]string{cluster.AnnotationProvisionedBy: "disk.example.com"}},
				Spec: corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "default", Name: "data",
					UID: test.ref}},
				Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
			}
			snap := &cluster.Snapshot{Complete: true}
			if err := snap.Add(pvc); err != nil {
				t.Fatal(err)
			}
			view := cluster.Environment{Source: snap}.View(context.Background(), cluster.Request{})
			found, undecided := Review(view, []*Rule{volumeInUse}, pv, nil)
			if denied := len(found) > 0; denied != test.denied || len(undecided) > 0 {
				t.Errorf("denied: %v, want %v: %v%v", denied, test.denied, found, undecided)
			}
		})
	}
}
