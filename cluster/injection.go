package cluster

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Injects says whether Stayput gives DNS names to all Pods of a namespace, and
// not only to those that ask for one.
func Injects(v *View, namespace string) (bool, error) {
	ns, err := Get[corev1.Namespace](v, "", namespace)
	if err != nil {
		return false, fmt.Errorf("get Namespace %s: %w", namespace, err)
	}
	return ns != nil && ns.Labels[LabelInject] == InjectEnabled, nil
}

// Injected returns the headless Services that select a Pod which does not
// itself ask for a DNS name: Stayput gives it one if there is exactly one such
// Service. It returns none if the namespace has no injection, for Pods of a
// DaemonSet, and for those that [MayBeNamed] excludes.
func Injected(v *View, pod *corev1.Pod) (services []string, err error) {
	if ControlledBy(pod, "DaemonSet") || !MayBeNamed(v.Request, pod) {
		return nil, nil
	}
	if asked, err := Injects(v, pod.Namespace); err != nil || !asked {
		return nil, err
	}
	return HeadlessFor(v, pod.Namespace, pod.Labels)
}

// MayBeNamed says whether Stayput may set a Pod's hostname. It may not if the
// Pod is on the node's network, has a hostnameOverride or is static, or if a
// StatefulSet sets the hostname.
func MayBeNamed(req Request, pod *corev1.Pod) bool {
	return !pod.Spec.HostNetwork && pod.Spec.HostnameOverride == nil &&
		!ControlledBy(pod, "StatefulSet") && !static(req, pod)
}

// static says whether a Pod is the mirror of a static Pod, whose hostname can
// no longer be set. Anybody can write the annotation, so it counts only if a
// kubelet did.
func static(req Request, pod *corev1.Pod) bool {
	if _, ok := pod.Annotations[AnnotationMirror]; !ok {
		return false
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	return slices.Contains(req.User.Groups, NodesGroup) || owner != nil && owner.Kind == "Node"
}

// ControlledBy says whether an object of a kind in the group apps controls a Pod.
func ControlledBy(pod *corev1.Pod, kind string) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && owner.Kind == kind && strings.HasPrefix(owner.APIVersion, appsv1.GroupName+"/")
}
