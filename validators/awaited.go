package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	if stays, err := oldStays(v, sts, left); err != nil || stays {
		return nil, err
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

// oldStays says whether Pods have a StatefulSet of the name that will not leave them
// behind: one that is not being deleted, or with them. The API server refuses the new one
// then. The garbage collector takes an owner from all Pods before it lets it go, so Pods
// with an owner that is gone have lost it since they were listed.
func oldStays(v *cluster.View, sts *appsv1.StatefulSet, left *remnants) (bool, error) {
	if !slices.ContainsFunc(left.all, func(r remnant) bool { return metav1.GetControllerOfNoCopy(r.meta) != nil }) {
		return false, nil
	}
	old, err := cluster.Get[appsv1.StatefulSet](v, sts.Namespace, sts.Name)
	if err != nil {
		return false, fmt.Errorf("get StatefulSet %s: %w", sts.Name, err)
	}
	return old != nil && !slices.Contains(old.Finalizers, metav1.FinalizerOrphanDependents), nil
}

// willBeRetained says whether repair will retain a volume because its Pod was
// left behind, regardless of the volume's age: see [cluster.Orphaned]. The garbage
// collector may be about to take the old StatefulSet from the Pod.
func willBeRetained(v *cluster.View, left *remnants, pv *corev1.PersistentVolume,
	pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if pv.DeletionTimestamp != nil || pv.Annotations[cluster.AnnotationProvisionedBy] == "" ||
		!slices.ContainsFunc(left.all, func(r remnant) bool { return cluster.MadeFor(r.meta, r.spec.Hostname, pvc) }) {
		return false, nil
	}
	want, err := cluster.WantedReclaim(v, pv, pvc)
	if err != nil {
		return false, err
	}
	overruled := pv.Annotations[cluster.AnnotationReclaimSet] == want.Mark() // somebody set it to Delete again
	return want.Policy == corev1.PersistentVolumeReclaimRetain && !overruled, nil
}
