#!/usr/bin/env bash
# A claim of class fast with a selector; an available volume that fits, and one of class slow with other labels which
# is reserved for the claim (spec.claimRef without a uid).
#
# One would think: class and selector hold, as for every other volume; the reservation does not fit and nothing is bound
# to it.
# Seen: the reservation wins over a volume that fits, whatever its class and labels; the claim goes on saying "fast". But
# the claim's volumeAttributesClassName, volumeMode and size are still compared: with a difference there, the reservation
# is passed over in silence, and the other volume is taken. With k8s.io/component-helpers 0.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program k8s.io/component-helpers@v0.37.1 k8s.io/api@v0.37.1 k8s.io/apimachinery@v0.37.1 <<'GO' | as_seen 'class and labels: reserved (<nil>)
attributes class too: fits (<nil>)
mode too: fits (<nil>)
size too: fits (<nil>)'
package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"
)

func main() {
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	once := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	fast, gold, block := "fast", "gold", corev1.PersistentVolumeBlock
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "data"}}
	claim.Spec.AccessModes, claim.Spec.StorageClassName, claim.Spec.Resources.Requests = once, &fast, size
	claim.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"rack": "1"}}

	fits := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "fits", Labels: map[string]string{"rack": "1"}}}
	fits.Spec.AccessModes, fits.Spec.StorageClassName, fits.Spec.Capacity = once, fast, size
	fits.Status.Phase = corev1.VolumeAvailable

	reserved := fits.DeepCopy()
	reserved.Name, reserved.Labels, reserved.Spec.StorageClassName = "reserved", nil, "slow"
	reserved.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "a", Name: "data"}

	attributes, mode, small := reserved.DeepCopy(), reserved.DeepCopy(), reserved.DeepCopy()
	attributes.Spec.VolumeAttributesClassName = &gold
	mode.Spec.VolumeMode = &block
	small.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}

	for _, c := range []struct {
		differs string
		*corev1.PersistentVolume
	}{{"class and labels", reserved}, {"attributes class too", attributes}, {"mode too", mode}, {"size too", small}} {
		found, err := volume.FindMatchingVolume(claim, []*corev1.PersistentVolume{fits, c.PersistentVolume}, nil, nil, false, true)
		fmt.Printf("%s: %s (%v)\n", c.differs, found.Name, err)
	}
}
GO
