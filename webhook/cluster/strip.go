package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Strip removes from an object what nobody reads of one that was looked up: it
// is what the caches hold, and decides what they take. The tests of rules and
// mutators run over stripped objects too. It edits obj, and is good for
// [cache.TransformFunc].
func Strip(obj any) (any, error) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		gone.Obj, _ = Strip(gone.Obj)
		return gone, nil
	}
	o, ok := obj.(client.Object)
	if !ok {
		return obj, nil
	}
	StripManagedFields(o)
	if _, ok := o.GetAnnotations()[AnnotationLastApplied]; ok {
		annotations := maps.Clone(o.GetAnnotations())
		delete(annotations, AnnotationLastApplied)
		o.SetAnnotations(annotations)
	}
	o.SetNamespace(shared.text(o.GetNamespace()))
	o.SetLabels(shared.labels(o.GetLabels()))
	o.SetAnnotations(shared.labels(o.GetAnnotations()))
	switch o := o.(type) {
	case *corev1.PersistentVolumeClaim:
		o.Spec.Resources.Requests = shared.resources(o.Spec.Resources.Requests)
		o.Status.Capacity = shared.resources(o.Status.Capacity)
		o.Spec.AccessModes = shared.modes(o.Spec.AccessModes)
		o.Status.AccessModes = shared.modes(o.Status.AccessModes)
	case *corev1.Pod:
		stripPod(o)
	case *corev1.Node:
		o.Status, o.Annotations = corev1.NodeStatus{}, nil
	case *corev1.PersistentVolume:
		if o.Spec.CSI != nil {
			o.Spec.CSI.VolumeAttributes = nil
		}
		o.Spec.Capacity = shared.resources(o.Spec.Capacity)
		o.Spec.AccessModes = shared.modes(o.Spec.AccessModes)
		o.Spec.StorageClassName = shared.text(o.Spec.StorageClassName)
	case *appsv1.StatefulSet:
		stripTemplate(&o.Spec.Template)
	case *appsv1.Deployment:
		stripTemplate(&o.Spec.Template)
		o.Status = appsv1.DeploymentStatus{}
	}
	return obj, nil
}

// StripManagedFields removes the managed fields of an object, but for those that
// tell who made a claim.
func StripManagedFields(obj client.Object) {
	pvc, ok := obj.(*corev1.PersistentVolumeClaim)
	if !ok {
		obj.SetManagedFields(nil)
		return
	}
	var kept []metav1.ManagedFieldsEntry
	for _, e := range pvc.ManagedFields {
		if e.Manager == "kube-controller-manager" {
			kept = append(kept, e)
		}
	}
	pvc.ManagedFields = shared.fields(kept)
}

// stripPod leaves of a Pod its names, its claims, and whether it lives.
func stripPod(pod *corev1.Pod) {
	was := *pod
	*pod = corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: was.Namespace, Name: was.Name, UID: was.UID, ResourceVersion: was.ResourceVersion,
		DeletionTimestamp: was.DeletionTimestamp, OwnerReferences: was.OwnerReferences,
	}}
	pod.Spec.Hostname, pod.Spec.Subdomain = was.Spec.Hostname, shared.text(was.Spec.Subdomain)
	if pod.Spec.Hostname == pod.Name {
		pod.Spec.Hostname = pod.Name // one string
	}
	pod.Status.Phase = corev1.PodPhase(shared.text(string(was.Status.Phase)))
	for _, v := range was.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: shared.text(v.Name), VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: v.PersistentVolumeClaim}})
		}
	}
	pod.Spec.Volumes = slices.Clip(pod.Spec.Volumes)
}

// stripTemplate removes what containers run, and with what.
func stripTemplate(t *corev1.PodTemplateSpec) {
	for _, containers := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			c.Image, c.Command, c.Args, c.Env, c.EnvFrom = "", nil, nil, nil, nil
			c.Resources, c.SecurityContext, c.TerminationMessagePath = corev1.ResourceRequirements{}, nil, ""
		}
	}
}

// shared holds what many objects have in common, so that each is in memory once.
var shared pool

// A pool remembers values by their text, up to a number: there are few
// namespaces, but as many labels as somebody likes.
type pool struct {
	mu    sync.Mutex
	known map[string]any
}

const poolSize = 1 << 16

// share returns the value that the pool knows by a text, or this one from now on.
func share[T any](p *pool, text string, value T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.known[text].(T); ok {
		return known
	}
	if len(p.known) >= poolSize || p.known == nil {
		p.known = map[string]any{}
	}
	p.known[strings.Clone(text)] = value
	return value
}

func (p *pool) text(s string) string { return share(p, s, s) }

func (p *pool) labels(m map[string]string) map[string]string {
	if len(m) == 0 {
		return m
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&text, "%q=%q,", name, m[name])
	}
	return share(p, text.String(), m)
}

func (p *pool) resources(l corev1.ResourceList) corev1.ResourceList {
	if len(l) == 0 {
		return l
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l)) {
		q := l[name]
		fmt.Fprintf(&text, "%q=%s,", name, q.String())
	}
	return share(p, text.String(), l)
}

func (p *pool) modes(m []corev1.PersistentVolumeAccessMode) []corev1.PersistentVolumeAccessMode {
	if len(m) == 0 {
		return m
	}
	return share(p, fmt.Sprintf("%q", m), m)
}

// fields shares managed fields whose managers wrote the same fields, whenever
// that was.
func (p *pool) fields(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	if len(entries) == 0 {
		return nil
	}
	var text strings.Builder
	for i := range entries {
		e := &entries[i]
		e.Time = nil
		fmt.Fprintf(&text, "%q %q %q %q %s,", e.Manager, e.Operation, e.APIVersion, e.Subresource, e.FieldsV1)
	}
	return share(p, text.String(), entries)
}
