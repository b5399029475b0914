package validators

import (
	"context"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
)

// TestWhatNoCacheHasSeenIsGuarded lets the API server have what the caches do not,
// as while a watch is cut: a deletion that would lose its data is denied, and one
// that nobody can be asked about is not decided.
func TestWhatNoCacheHasSeenIsGuarded(t *testing.T) {
	labels := map[string]string{"app": "db"}
	set := func(replicas int32) *appsv1.StatefulSet {
		return &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "db"},
			Spec: appsv1.StatefulSetSpec{
				Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
				VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}},
			},
		}
	}
	claim := func(name string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: labels},
			Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "disk"},
			Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
		}
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	disk := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "disk"},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef:                      &corev1.ObjectReference{Namespace: "a", Name: "data-db-1"},
		},
	}
	for name, tt := range map[string]struct {
		rule       *Rule
		obj        cluster.Object
		seen, real []cluster.Object
		denied     bool
	}{
		"a StatefulSet made unseen": {claimInUse, claim("data-db-1"), nil, []cluster.Object{set(2)}, true},
		"a StatefulSet scaled up unseen": {claimInUse, claim("data-db-1"), []cluster.Object{set(1)},
			[]cluster.Object{set(2)}, true},
		"one of many names": {claimInUse, claim("a-b-c-d-e-f-data-db-1"), nil,
			[]cluster.Object{set(2)}, false},
		"a StatefulSet scaled down unseen": {claimInUse, claim("data-db-1"), []cluster.Object{set(2)},
			[]cluster.Object{set(1)}, false},
		"a StatefulSet gone unseen":                   {claimInUse, claim("data-db-1"), []cluster.Object{set(2)}, nil, false},
		"a claim that no StatefulSet could have made": {claimInUse, claim("files"), nil, nil, false},
		"a claim made unseen": {namespaceData, ns, nil,
			[]cluster.Object{set(2), claim("data-db-1"), disk}, true},
		"a claim bound unseen": {namespaceData, ns,
			[]cluster.Object{set(2), func() cluster.Object {
				c := claim("data-db-1")
				c.Spec.VolumeName, c.Status.Phase = "", ""
				return c
			}()}, []cluster.Object{set(2), claim("data-db-1"), disk}, true},
		"a claim gone unseen": {namespaceData, ns, []cluster.Object{set(2), claim("data-db-1"), disk},
			[]cluster.Object{set(2)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			seen, real := &cluster.Snapshot{Complete: true}, &cluster.Snapshot{Complete: true}
			if err := seen.Add(tt.seen...); err != nil {
				t.Fatal(err)
			}
			if err := real.Add(tt.real...); err != nil {
				t.Fatal(err)
			}
			review := func(live cluster.Reader) ([]Finding, []*Undecided) {
				view := cluster.Environment{Source: cache.Cached(seen), Finder: seen, Live: live}.View(context.Background(),
					cluster.Request{})
				return Review(view, []*Rule{tt.rule}, tt.obj, nil)
			}
			found, undecided := review(real)
			if slices.ContainsFunc(found, denies) != tt.denied || len(undecided) > 0 {
				t.Errorf("%v, undecided: %v", found, undecided)
			}
			away := &failing{Reader: real, at: -1, with: errAway}
			if found, undecided = review(away); away.lookups > 0 && (len(undecided) != 1 || len(found) > 0) {
				t.Errorf("with nobody to ask: %v, undecided: %v", found, undecided)
			}
		})
	}
}
