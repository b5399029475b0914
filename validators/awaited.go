package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// awaitRetained waits until the repair controller has set to Retain the volumes
// of a StatefulSet that was deleted without its Pods: an operator may create
// the StatefulSet again within milliseconds. It returns the cluster as it is
// then, or nil if that takes too long, if repair would not change a volume, or
// if there is nothing to wait for. Only the volumes decide: a Pod made by hand
// costs time, no more.
func awaitRetained(v *cluster.View, obj cluster.Object, left *remnants) (*cluster.View, error) {
	sts, ok := obj.(*appsv1.StatefulSet)
	if !ok || !v.MayWait() {
		return nil, nil
	}
	claims, err := replicaClaims(v, sts)
	if err != nil {
		return nil, err
	}
	var doomed []string
	for _, c := range claims {
		pv, err := volumeOf(v, c.claim)
		if err != nil {
			return nil, err
		}
		if pv == nil || !destroysVolume(pv.Spec.PersistentVolumeReclaimPolicy) {
			continue
		}
		if comes, err := willBeRetained(v, left, pv, c.claim); err != nil || !comes {
			return nil, err
		}
		doomed = append(doomed, pv.Name)
	}
	if len(doomed) == 0 {
		return nil, nil
	}
	return v.Await(func(now *cluster.View) (bool, error) {
		for ; len(doomed) > 0; doomed = doomed[1:] {
			pv, err := cluster.Get[corev1.PersistentVolume](now, "", doomed[0])
			if err != nil {
				return false, fmt.Errorf("get PersistentVolume %s: %w", doomed[0], err)
			}
			if pv != nil && destroysVolume(pv.Spec.PersistentVolumeReclaimPolicy) {
				return false, nil
			}
		}
		return true, nil
	})
}

// willBeRetained says whether repair will retain a volume because its Pod was
// left behind, regardless of the volume's age: see [cluster.Orphaned].
func willBeRetained(v *cluster.View, left *remnants, pv *corev1.PersistentVolume,
	pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if pv.DeletionTimestamp != nil || pv.Annotations[cluster.AnnotationProvisionedBy] == "" ||
		!slices.ContainsFunc(left.all, func(r remnant) bool { return cluster.Orphaned(r.meta, r.spec.Hostname, pvc) }) {
		return false, nil
	}
	want, err := cluster.WantedReclaim(v, pv, pvc)
	if err != nil {
		return false, err
	}
	overruled := pv.Annotations[cluster.AnnotationReclaimSet] == want.Mark() // somebody set it to Delete again
	return want.Policy == corev1.PersistentVolumeReclaimRetain && !overruled, nil
}
