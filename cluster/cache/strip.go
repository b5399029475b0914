package cache

import (
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"stayput.dev/cluster"
)

// Strip removes the fields that no rule or mutator reads in looked-up objects.
// The caches hold what remains, so Strip decides their memory. The tests of
// rules and mutators also run over stripped objects. Package trim removes most
// of these fields from lists and watches before they are decoded: a field that
// Strip is to keep, trim must keep, too. Strip edits obj, and is a
// [cache.TransformFunc].
func Strip(obj any) (any, error) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		gone.Obj, _ = Strip(gone.Obj)
		return gone, nil
	}
	o, ok := obj.(cluster.Object)
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
	case *batchv1.Job:
		was := *o
		*o = batchv1.Job{ObjectMeta: stripIdentity(&was)}
		if cluster.Stands(&was) {
			o.Spec.Template.Spec.Volumes = claimsOf(&was.Spec.Template.Spec)
		}
	case *batchv1.CronJob:
		was := *o
		*o = batchv1.CronJob{ObjectMeta: stripIdentity(&was)}
		o.Spec.JobTemplate.Spec.Template.Spec.Volumes = claimsOf(&was.Spec.JobTemplate.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		stripContainers(&o.Spec.Template.Spec)
	case *appsv1.Deployment:
		stripContainers(&o.Spec.Template.Spec)
		o.Status = appsv1.DeploymentStatus{}
	}
	return obj, nil
}

// stripIdentity keeps what tells which object it is, and whether it goes.
func stripIdentity(obj cluster.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(), DeletionTimestamp: obj.GetDeletionTimestamp()}
}

// claimsOf returns the volumes that are claims by their names, and of these the
// names alone.
func claimsOf(pod *corev1.PodSpec) (claims []corev1.Volume) {
	for _, name := range cluster.ClaimsNamed(pod) {
		claims = append(claims, corev1.Volume{VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
	}
	return claims
}

// stripPod keeps the names of a Pod, its claims, including those of ephemeral
// volumes, and the fields that say whether it is alive.
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

// stripMeta keeps those annotations and labels of a claim or volume that tell
// its class, its provisioner and its policy.
func stripMeta(m *metav1.ObjectMeta) {
	m.Finalizers = nil
	m.Annotations = keep(m.Annotations, func(name string) bool {
		return name == cluster.AnnotationProvisionedBy || name == corev1.BetaStorageClassAnnotation ||
			strings.Contains(name, "stayput.dev/")
	})
}

func stripClaim(pvc *corev1.PersistentVolumeClaim) {
	stripMeta(&pvc.ObjectMeta)
	pvc.Status.Conditions = cluster.UnusedCondition(pvc)
}

func stripVolume(pv *corev1.PersistentVolume) {
	stripMeta(&pv.ObjectMeta)
	pv.Status.LastPhaseTransitionTime = nil
}

// keep returns a map without the unwanted names. It does not edit m.
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
// own, or nil if it mounts none.
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

// probe stands for every readiness probe: a request to scale depends only on
// whether one exists.
var probe = &corev1.Probe{}

// stripContainers removes most of what containers run, but keeps the names of
// their own directories.
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
