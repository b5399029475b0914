package validators

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/volume"

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
	dropped := attributesDropped(v)
	if dropped {
		of := *pvc
		of.Spec.VolumeAttributesClassName = nil
		pvc = &of
	}
	groups := map[int][]*corev1.PersistentVolume{} // by number of access modes
	for _, pv := range all {
		if !volume.CheckAccessModes(pvc, pv) {
			continue
		}
		if pv.Status.Phase == "" || pv.Status.Phase == corev1.VolumePending {
			made := *pv // from a manifest, or new: it will be Available
			made.Status.Phase = corev1.VolumeAvailable
			pv = &made
		}
		if dropped && pv.Spec.VolumeAttributesClassName != nil {
			made := *pv
			made.Spec.VolumeAttributesClassName = nil
			pv = &made
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
		pvs := groups[modes]
		slices.SortFunc(pvs, func(a, b *corev1.PersistentVolume) int { return strings.Compare(a.Name, b.Name) })
		// An error is a malformed selector, or a class that no server knows; no
		// volume matches either.
		pv, err := volume.FindMatchingVolume(pvc, pvs, nil, nil, false, true)
		if pv != nil && err == nil {
			return pv
		}
	}
	return nil
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
