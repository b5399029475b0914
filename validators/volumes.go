package validators

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// volumesFor returns the volumes that a claim may be bound to, judging by their
// claimRef and class.
func volumesFor(v *cluster.View, pvc *corev1.PersistentVolumeClaim) ([]*corev1.PersistentVolume, error) {
	pvs, err := cluster.VolumesForClaim(v, pvc)
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	return pvs, nil
}

// bestVolume returns the volume among [volumesFor] a claim that it would be
// bound to now if it has no volumeName, or nil. If wait is false, it chooses as
// the controller does: it begins with the volumes that have the fewest access
// modes, and takes the smallest that fits. If wait is true, the class waits for
// a node and the scheduler chooses: it takes the smallest of all. Whether a
// volume fits the node is not considered. Among volumes with equally many but
// other modes, the controller's order is random; here they are one group. A
// volume that is reserved for the claim comes before all others. Source:
// k8s.io/kubernetes pkg/controller/volume/persistentvolume/index.go.
func bestVolume(v *cluster.View, pvc *corev1.PersistentVolumeClaim, all []*corev1.PersistentVolume, wait bool,
) *corev1.PersistentVolume {
	groups := map[int][]*corev1.PersistentVolume{} // by number of access modes
	for _, pv := range all {
		if !cluster.AccessModesFit(pv, pvc) {
			continue
		}
		modes := 0
		if !wait {
			sorted := slices.Clone(pv.Spec.AccessModes)
			slices.Sort(sorted)
			modes = len(slices.Compact(sorted))
		}
		groups[modes] = append(groups[modes], pv)
	}
	for _, modes := range slices.Sorted(maps.Keys(groups)) {
		if pv := smallest(v, pvc, groups[modes]); pv != nil {
			return pv
		}
	}
	return nil
}

// smallest returns the smallest volume that a claim may be bound to, or one that is
// reserved for it, or nil. Of equals it is the first by name.
func smallest(v *cluster.View, pvc *corev1.PersistentVolumeClaim, pvs []*corev1.PersistentVolume,
) (best *corev1.PersistentVolume) {
	slices.SortFunc(pvs, func(a, b *corev1.PersistentVolume) int { return strings.Compare(a.Name, b.Name) })
	class, asked := cluster.ClaimClass(pvc), pvc.Spec.Resources.Requests.Storage()
	for _, pv := range pvs {
		reserved := cluster.Reserves(pv, pvc)
		switch size := pv.Spec.Capacity.Storage(); {
		case pv.Spec.ClaimRef != nil && !reserved, pv.DeletionTimestamp != nil, size.Cmp(*asked) < 0,
			!cluster.VolumeModeFits(pv, pvc), !attributesFit(v, pvc, pv):
		case reserved:
			return pv
		case !available(pv), cluster.VolumeClass(pv) != class, !selectorMatches(pvc, pv):
		case best == nil || size.Cmp(*best.Spec.Capacity.Storage()) < 0:
			best = pv
		}
	}
	return best
}

// available says whether no claim has a volume, or will, once it is known to the
// controller: it may be new, or of a manifest.
func available(pv *corev1.PersistentVolume) bool {
	return pv.Status.Phase == "" || pv.Status.Phase == corev1.VolumePending || pv.Status.Phase == corev1.VolumeAvailable
}

// attributesDropped says whether the API server drops the attributes classes of the
// claims and volumes that are reviewed. What a cluster holds it has kept: by its
// version, or by a gate, and then equal names are bound.
func attributesDropped(v *cluster.View) bool {
	return v.Manifests() && attributesClasses.In(v.Kubernetes()).Unlikely()
}

// attributesFit says whether the attributes class of a volume lets a claim be
// bound to it.
func attributesFit(v *cluster.View, pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	return attributesDropped(v) || sameAttributes(pvc.Spec.VolumeAttributesClassName, pv.Spec.VolumeAttributesClassName)
}

// claimGone says whether the claim that a volume was bound to is gone.
func claimGone(pv *corev1.PersistentVolume) bool {
	return pv.Status.Phase == corev1.VolumeReleased || pv.Status.Phase == corev1.VolumeFailed
}

// provisioned says whether a provisioner made a volume, not a person.
func provisioned(pv *corev1.PersistentVolume) bool {
	return pv.Annotations[cluster.AnnotationProvisionedBy] != ""
}
