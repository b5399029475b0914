package cluster

import (
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
	switch o := o.(type) {
	case *corev1.Pod:
		stripPod(o)
	case *corev1.Node:
		o.Status, o.Annotations = corev1.NodeStatus{}, nil
	case *corev1.PersistentVolume:
		if o.Spec.CSI != nil {
			o.Spec.CSI.VolumeAttributes = nil
		}
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
	pvc.ManagedFields = kept
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

// shared holds strings and labels that many objects have in common, so that
// each is in memory once.
var shared = &pool{texts: map[string]string{}, maps: map[string]map[string]string{}}

// A pool remembers values, up to a number: there are few namespaces, but as many
// labels as somebody likes.
type pool struct {
	mu    sync.Mutex
	texts map[string]string
	maps  map[string]map[string]string
}

const poolSize = 1 << 16

func (p *pool) text(s string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.texts[s]; ok {
		return known
	}
	if len(p.texts) >= poolSize {
		clear(p.texts)
	}
	s = strings.Clone(s)
	p.texts[s] = s
	return s
}

func (p *pool) labels(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		key.WriteString(name + "=" + m[name] + ",")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.maps[key.String()]; ok {
		return known
	}
	if len(p.maps) >= poolSize {
		clear(p.maps)
	}
	p.maps[key.String()] = m
	return m
}
