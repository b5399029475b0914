package cluster

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// Ended says whether a Job makes no Pods any more.
func Ended(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

// Stands says whether a Job makes Pods, or will when it is resumed, and is by itself:
// no CronJob made it, which makes others.
func Stands(job *batchv1.Job) bool {
	owner := metav1.GetControllerOfNoCopy(job)
	return (owner == nil || owner.Kind != "CronJob") && !Ended(job)
}
