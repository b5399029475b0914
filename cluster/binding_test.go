package cluster

import (
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"
)

// TestBinding compares, for random claims and volumes, what is asked of them with the
// package that the controller asks.
func TestBinding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	name := func() string { return []string{"", "a", "b"}[r.IntN(3)] }
	annotations := func() map[string]string {
		if r.IntN(2) == 0 {
			return nil
		}
		return map[string]string{corev1.BetaStorageClassAnnotation: name()}
	}
	modes := func() (all []corev1.PersistentVolumeAccessMode) {
		for _, mode := range []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadOnlyMany} {
			if r.IntN(2) == 0 {
				all = append(all, mode)
			}
		}
		return all
	}
	volumeMode := func() *corev1.PersistentVolumeMode {
		return []*corev1.PersistentVolumeMode{nil, ptr.To(corev1.PersistentVolumeBlock),
			ptr.To(corev1.PersistentVolumeFilesystem)}[r.IntN(3)]
	}
	said := map[bool]int{}
	for range 5000 {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Annotations: annotations()},
			Spec: corev1.PersistentVolumeSpec{StorageClassName: name(), AccessModes: modes(), VolumeMode: volumeMode()}}
		pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: name(), Name: name(),
			UID: types.UID(name()), Annotations: annotations()},
			Spec: corev1.PersistentVolumeClaimSpec{AccessModes: modes(), VolumeMode: volumeMode()}}
		if r.IntN(3) > 0 {
			pvc.Spec.StorageClassName = ptr.To(name())
		}
		if r.IntN(3) > 0 {
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: pvc.Namespace, Name: name(), UID: types.UID(name())}
		}
		for what, is := range map[string][2]any{
			"VolumeClass":    {VolumeClass(pv), volume.GetPersistentVolumeClass(pv)},
			"ClaimClass":     {ClaimClass(pvc), volume.GetPersistentVolumeClaimClass(pvc)},
			"NamesClass":     {NamesClass(pvc), volume.PersistentVolumeClaimHasClass(pvc)},
			"Reserves":       {Reserves(pv, pvc), volume.IsVolumeBoundToClaim(pv, pvc)},
			"AccessModesFit": {AccessModesFit(pv, pvc), volume.CheckAccessModes(pvc, pv)},
			"VolumeModeFits": {VolumeModeFits(pv, pvc), !volume.CheckVolumeModeMismatches(&pvc.Spec, &pv.Spec)},
		} {
			if is[0] != is[1] {
				t.Fatalf("%s is %v, want %v: %v, %v", what, is[0], is[1], pv, pvc)
			}
			if yes, ok := is[0].(bool); ok {
				said[yes]++
			}
		}
	}
	if said[true] < 1000 || said[false] < 1000 {
		t.Errorf("said %v", said)
	}
	if NoProvisioner != volume.NotSupportedProvisioner || AnnotationBindCompleted != volume.AnnBindCompleted {
		t.Error("a constant differs")
	}
}
