package cluster

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// OwnName says whether a variable has a value that differs between any two Pods
// of a StatefulSet: the Pod's name or ordinal.
func OwnName(e corev1.EnvVar) bool {
	if e.ValueFrom == nil || e.ValueFrom.FieldRef == nil {
		return false
	}
	switch e.ValueFrom.FieldRef.FieldPath {
	case "metadata.name", "metadata.labels['" + appsv1.StatefulSetPodNameLabel + "']", "metadata.labels['" +
		appsv1.PodIndexLabel + "']":
		return true
	}
	return false
}
