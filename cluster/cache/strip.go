package cache

import (
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// Strip removes from an object what nobody reads of one that was looked up: it
// is what the caches hold, and decides what they take. The tests of rules and
// mutators run over stripped objects too. Most of it is taken out of lists and
// watches before it is decoded: what Strip begins to leave, package trim has to let
// through. It edits obj, and is good for [cache.TransformFunc].
func Strip(obj any) (any, error) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		gone.Obj, _ = Strip(gone.Obj)
		return gone, nil
	}
	o, ok := obj.(client.Object)
	if !ok {
		return obj, nil
	}
	cluster.StripManagedFields(o)
	o.SetAnnotations(keep(o.GetAnnotations(), func(name string) bool { return name != cluster.AnnotationLastApplied }))
	switch o := o.(type) {
	case *corev1.Pod:
		stripPod(o)
	case *corev1.Node:
		o.Status, o.Annotations = corev1.NodeStatus{}, nil
	case *corev1.PersistentVolumeClaim:
		stripClaim(o)
	case *corev1.PersistentVolume:
		stripVolume(o)
		if o.Spec.CSI != nil {
			o.Spec.CSI.VolumeAttributes = nil
		}
	case *appsv1.StatefulSet:
		stripContainers(&o.Spec.Template.Spec)
	case *appsv1.Deployment:
		stripContainers(&o.Spec.Template.Spec)
		o.Status = appsv1.DeploymentStatus{}
	}
	return obj, nil
}

// stripPod leaves of a Pod its names, its claims, those of ephemeral volumes too,
// and whether it lives.
func stripPod(pod *corev1.Pod) {
	was := *pod
	*pod = corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: was.Namespace, Name: was.Name, UID: was.UID, ResourceVersion: was.ResourceVersion,
		DeletionTimestamp: was.DeletionTimestamp, OwnerReferences: was.OwnerReferences,
	}}
	pod.Spec.Hostname, pod.Spec.Subdomain = was.Spec.Hostname, was.Spec.Subdomain
	pod.Status.Phase = was.Status.Phase
	for _, v := range was.Spec.Volumes {
		if v.Ephemeral != nil {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: v.Name,
				VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}})
		}
		if v.PersistentVolumeClaim != nil {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: v.Name,
				VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: v.PersistentVolumeClaim}})
		}
	}
}

// stripMeta leaves of the metadata of a claim or volume what tells about its
// class, its provisioner and its policy.
func stripMeta(m *metav1.ObjectMeta) {
	m.Finalizers = nil
	m.Annotations = keep(m.Annotations, func(name string) bool {
		return name == cluster.AnnotationProvisionedBy || name == corev1.BetaStorageClassAnnotation ||
			strings.Contains(name, "stayput.dev/")
	})
}

func stripClaim(pvc *corev1.PersistentVolumeClaim) {
	stripMeta(&pvc.ObjectMeta)
	pvc.Status.Conditions = nil
}

func stripVolume(pv *corev1.PersistentVolume) {
	stripMeta(&pv.ObjectMeta)
	pv.Status.LastPhaseTransitionTime = nil
}

// keep returns a map without the names that are not wanted. It edits none.
func keep(m map[string]string, wanted func(name string) bool) map[string]string {
	unwanted := func(name, _ string) bool { return !wanted(name) }
	for name, value := range m {
		if unwanted(name, value) {
			m = maps.Clone(m)
			maps.DeleteFunc(m, unwanted)
			break
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// ownNames returns the variables by which a container mounts a directory of its
// own, nil if it mounts none.
func ownNames(c *corev1.Container) (names []corev1.EnvVar) {
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.SubPathExpr != "" }) {
		return nil
	}
	for _, e := range c.Env {
		if cluster.OwnName(e) {
			names = append(names, e)
		}
	}
	return names
}

// probe stands for every readiness probe: what matters, to who scales, is whether
// there is one.
var probe = &corev1.Probe{}

// stripContainers removes what containers run, and with what, but for the names
// of directories of their own.
func stripContainers(pod *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			c := &containers[i]
			c.Image, c.Command, c.Args, c.Env, c.EnvFrom = "", nil, nil, ownNames(c), nil
			c.Resources, c.SecurityContext, c.TerminationMessagePath = corev1.ResourceRequirements{}, nil, ""
			c.LivenessProbe, c.StartupProbe, c.Lifecycle = nil, nil, nil
			if c.ReadinessProbe != nil {
				c.ReadinessProbe = probe
			}
		}
	}
}
