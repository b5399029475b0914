package cluster

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// What the controller compares to bind a claim to a volume is the same as in
// k8s.io/component-helpers/storage/volume, to which a test holds it. That package
// links the client of an API server, which most commands do without.

// NoProvisioner is the provisioner of a class whose volumes people make.
const NoProvisioner = "kubernetes.io/no-provisioner"

// VolumeClass returns the name of a volume's class, or "".
func VolumeClass(pv *corev1.PersistentVolume) string {
	if class, ok := pv.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	return pv.Spec.StorageClassName
}

// ClaimClass returns the name of the class that a claim asks for, or "".
func ClaimClass(pvc *corev1.PersistentVolumeClaim) string {
	if class, ok := pvc.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	return ptr.Deref(pvc.Spec.StorageClassName, "")
}

// NamesClass says whether a claim asks for a class, or for "". Otherwise it gets the
// default class.
func NamesClass(pvc *corev1.PersistentVolumeClaim) bool {
	_, old := pvc.Annotations[corev1.BetaStorageClassAnnotation]
	return old || pvc.Spec.StorageClassName != nil
}

// Reserves says whether the claimRef of a volume is of a claim: the volume is bound to
// it, or will be to no other.
func Reserves(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	ref := pv.Spec.ClaimRef
	return ref != nil && ref.Name == pvc.Name && ref.Namespace == pvc.Namespace && (ref.UID == "" || ref.UID == pvc.UID)
}

// AccessModesFit says whether a volume has all access modes that a claim asks for.
func AccessModesFit(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	for _, asked := range pvc.Spec.AccessModes {
		if !slices.Contains(pv.Spec.AccessModes, asked) {
			return false
		}
	}
	return true
}

// VolumeModeFits says whether a volume is of the mode that a claim asks for.
func VolumeModeFits(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	return ptr.Deref(pv.Spec.VolumeMode, filesystem) == ptr.Deref(pvc.Spec.VolumeMode, filesystem)
}

const filesystem = corev1.PersistentVolumeFilesystem // as one that names no mode is
