package main

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// A claimPart is the spec of a claim that stands in an object: its own, that of a claim
// template, or that of a generic ephemeral volume.
type claimPart struct {
	path     string // of the spec: spec.volumeClaimTemplates[0].spec
	spec     string // the same as kustomize's configurations have it: spec/volumeClaimTemplates/spec
	claim    *corev1.PersistentVolumeClaimSpec
	template bool // it is a claim template's
}

// podsOf returns the labels and the spec of the Pod that an object is or makes, and the
// path of these two, "" or ending in a dot. The spec is nil where it makes none.
func podsOf(obj cluster.Object) (path string, labels map[string]string, spec *corev1.PodSpec) {
	const template = "spec.template."
	var of *corev1.PodTemplateSpec
	switch o := obj.(type) {
	case *corev1.Pod:
		return "", o.Labels, &o.Spec
	case *batchv1.CronJob:
		return "spec.jobTemplate." + template, o.Spec.JobTemplate.Spec.Template.Labels, &o.Spec.JobTemplate.Spec.Template.Spec
	case *appsv1.Deployment:
		of = &o.Spec.Template
	case *appsv1.ReplicaSet:
		of = &o.Spec.Template
	case *appsv1.DaemonSet:
		of = &o.Spec.Template
	case *appsv1.StatefulSet:
		of = &o.Spec.Template
	case *batchv1.Job:
		of = &o.Spec.Template
	case *corev1.ReplicationController:
		of = o.Spec.Template
	}
	if of == nil {
		return "", nil, nil
	}
	return template, of.Labels, &of.Spec
}

// claimsIn returns the specs of the claims that stand in an object.
func claimsIn(obj cluster.Object) (found []claimPart) {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		return []claimPart{{path: "spec", spec: "spec", claim: &o.Spec}}
	case *appsv1.StatefulSet:
		for i := range o.Spec.VolumeClaimTemplates {
			found = append(found, claimPart{
				path: fmt.Sprintf("spec.volumeClaimTemplates[%d].spec", i), spec: "spec/volumeClaimTemplates/spec",
				claim: &o.Spec.VolumeClaimTemplates[i].Spec, template: true,
			})
		}
	}
	path, _, pod := podsOf(obj)
	if pod == nil {
		return found
	}
	for i := range pod.Volumes {
		if source := pod.Volumes[i].Ephemeral; source != nil && source.VolumeClaimTemplate != nil {
			found = append(found, claimPart{
				path:  fmt.Sprintf("%sspec.volumes[%d].ephemeral.volumeClaimTemplate.spec", path, i),
				spec:  strings.ReplaceAll(path, ".", "/") + "spec/volumes/ephemeral/volumeClaimTemplate/spec",
				claim: &source.VolumeClaimTemplate.Spec,
			})
		}
	}
	return found
}
