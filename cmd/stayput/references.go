package main

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// A nameRef is a field that names another object.
type nameRef struct {
	path, spec string // of the field, and of the same as kustomize's configurations have it
	kind, name string
	namespace  string
	placed     bool   // namespace is a part of it; otherwise it is that of the object
	global     bool   // the kind has no namespace
	cost       string // what comes of a name that nothing has
}

// referencesOf returns the references of an object to Services, claims and classes.
func referencesOf(obj client.Object) []nameRef {
	switch o := obj.(type) {
	case *corev1.Pod:
		return podReferences("", &o.ObjectMeta.Labels, &o.Spec)
	case *appsv1.Deployment:
		return templateReferences("spec.template", &o.Spec.Template)
	case *appsv1.ReplicaSet:
		return templateReferences("spec.template", &o.Spec.Template)
	case *appsv1.DaemonSet:
		return templateReferences("spec.template", &o.Spec.Template)
	case *batchv1.Job:
		return templateReferences("spec.template", &o.Spec.Template)
	case *batchv1.CronJob:
		return templateReferences("spec.jobTemplate.spec.template", &o.Spec.JobTemplate.Spec.Template)
	case *appsv1.StatefulSet:
		template := o.Spec.Template
		template.Labels, template.Spec.Subdomain = nil, "" // the controller has the Service's name
		refs := templateReferences("spec.template", &template)
		for i := range o.Spec.VolumeClaimTemplates {
			refs = append(refs, claimReferences(fmt.Sprintf("spec.volumeClaimTemplates[%d].spec", i),
				"spec/volumeClaimTemplates/spec", &o.Spec.VolumeClaimTemplates[i].Spec)...)
		}
		return refs
	case *corev1.PersistentVolumeClaim:
		return claimReferences("spec", "spec", &o.Spec)
	case *corev1.PersistentVolume:
		refs := []nameRef{
			{path: "spec.storageClassName", kind: "StorageClass", name: o.Spec.StorageClassName, global: true,
				cost: "no claim finds the volume"},
			{path: "spec.volumeAttributesClassName", kind: "VolumeAttributesClass",
				name: value(o.Spec.VolumeAttributesClassName), global: true, cost: "no claim finds the volume"},
		}
		if ref := o.Spec.ClaimRef; ref != nil {
			refs = append(refs, nameRef{path: "spec.claimRef", kind: "PersistentVolumeClaim", name: ref.Name,
				namespace: ref.Namespace, placed: true,
				cost: "the volume is kept for a claim that never comes"})
		}
		for i := range refs {
			refs[i].spec = strings.ReplaceAll(refs[i].path, ".", "/")
		}
		return refs
	}
	return nil
}

func templateReferences(path string, template *corev1.PodTemplateSpec) []nameRef {
	return podReferences(path+".", &template.Labels, &template.Spec)
}

func podReferences(path string, labels *map[string]string, pod *corev1.PodSpec) []nameRef {
	spec := strings.ReplaceAll(path, ".", "/")
	const nameless = "the Pods have no DNS name"
	refs := []nameRef{
		{path: path + "spec.subdomain", spec: spec + "spec/subdomain", kind: "Service", name: pod.Subdomain, cost: nameless},
		{path: path + "metadata.labels[" + cluster.LabelSubdomain + "]", spec: spec + "metadata/labels/" +
			strings.ReplaceAll(cluster.LabelSubdomain, "/", `\/`),
			kind: "Service", name: (*labels)[cluster.LabelSubdomain], cost: nameless},
	}
	for i, v := range pod.Volumes {
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			refs = append(refs, claimReferences(fmt.Sprintf("%sspec.volumes[%d].ephemeral.volumeClaimTemplate.spec", path, i),
				spec+"spec/volumes/ephemeral/volumeClaimTemplate/spec", &v.Ephemeral.VolumeClaimTemplate.Spec)...)
		}
	}
	return refs
}

func claimReferences(path, spec string, claim *corev1.PersistentVolumeClaimSpec) []nameRef {
	const pending = "claim and Pods stay Pending"
	refs := []nameRef{
		{path: path + ".storageClassName", spec: spec + "/storageClassName", kind: "StorageClass",
			name: value(claim.StorageClassName), global: true, cost: pending},
		{path: path + ".volumeAttributesClassName", spec: spec + "/volumeAttributesClassName", kind: "VolumeAttributesClass",
			name: value(claim.VolumeAttributesClassName), global: true, cost: pending},
	}
	if from := claim.DataSource; from != nil && from.Kind == "PersistentVolumeClaim" {
		refs = append(refs, nameRef{path: path + ".dataSource.name", spec: spec + "/dataSource/name", kind: from.Kind,
			name: from.Name, cost: pending})
	}
	if from := claim.DataSourceRef; from != nil && from.Kind == "PersistentVolumeClaim" {
		refs = append(refs, nameRef{path: path + ".dataSourceRef.name", spec: spec + "/dataSourceRef/name", kind: from.Kind,
			name:      from.Name,
			namespace: value(from.Namespace), placed: from.Namespace != nil, cost: pending})
	}
	return refs
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
