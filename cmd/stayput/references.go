//go:build !light

package main

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

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
func referencesOf(obj cluster.Object) (refs []nameRef) {
	if pv, ok := obj.(*corev1.PersistentVolume); ok {
		return volumeReferences(pv)
	}
	path, labels, pod := podsOf(obj)
	if _, ok := obj.(*appsv1.StatefulSet); pod != nil && !ok { // whose controller has the Service's name
		refs = subdomainReferences(path, labels, pod)
	}
	for _, c := range claimsIn(obj) {
		refs = append(refs, claimReferences(c.path, c.spec, c.claim)...)
	}
	return refs
}

func volumeReferences(pv *corev1.PersistentVolume) []nameRef {
	const unfound = "no claim finds the volume"
	refs := []nameRef{
		{path: "spec.storageClassName", kind: "StorageClass", name: pv.Spec.StorageClassName, global: true, cost: unfound},
		{
			path:   "spec.volumeAttributesClassName",
			kind:   "VolumeAttributesClass",
			name:   value(pv.Spec.VolumeAttributesClassName),
			global: true,
			cost:   unfound,
		},
	}
	if ref := pv.Spec.ClaimRef; ref != nil {
		refs = append(refs, nameRef{path: "spec.claimRef", kind: "PersistentVolumeClaim", name: ref.Name,
			namespace: ref.Namespace, placed: true, cost: "the volume is kept for a claim that never comes"})
	}
	for i := range refs {
		refs[i].spec = strings.ReplaceAll(refs[i].path, ".", "/")
	}
	return refs
}

// subdomainReferences are the ways by which Pods name the Service of their DNS names.
func subdomainReferences(path string, labels map[string]string, pod *corev1.PodSpec) []nameRef {
	spec := strings.ReplaceAll(path, ".", "/")
	const nameless = "the Pods have no DNS name"
	return []nameRef{
		{path: path + "spec.subdomain", spec: spec + "spec/subdomain", kind: "Service", name: pod.Subdomain, cost: nameless},
		{path: path + "metadata.labels[" + cluster.LabelSubdomain + "]",
			spec: spec + "metadata/labels/" + strings.ReplaceAll(cluster.LabelSubdomain, "/", `\/`),
			kind: "Service", name: labels[cluster.LabelSubdomain], cost: nameless},
	}
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
