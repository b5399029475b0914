package cluster

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Injects says whether Stayput gives DNS names to the Pods of a namespace without
// being asked by each of them.
func Injects(v *View, namespace string) (bool, error) {
	ns, err := Get[corev1.Namespace](v, "", namespace)
	if err != nil {
		return false, fmt.Errorf("get Namespace %s: %w", namespace, err)
	}
	return ns != nil && ns.Labels[LabelInject] == InjectEnabled, nil
}

// Injected returns the headless Services that select a Pod which does not ask for
// a DNS name itself: Stayput gives it one if there is exactly one. It returns none
// where the namespace does not ask for that, nor for Pods of a DaemonSet and those
// that [MayBeNamed] excludes.
func Injected(v *View, pod *corev1.Pod) (services []string, err error) {
	if ControlledBy(pod, "DaemonSet") || !MayBeNamed(v.Request, pod) {
		return nil, nil
	}
	if asked, err := Injects(v, pod.Namespace); err != nil || !asked {
		return nil, err
	}
	return HeadlessFor(v, pod.Namespace, pod.Labels)
}

// MayBeNamed says whether a Pod has a hostname of its own that Stayput may set: not
// on the node's network, nor with a hostnameOverride, nor in a static Pod, and a
// StatefulSet sets it itself.
func MayBeNamed(req Request, pod *corev1.Pod) bool {
	return !pod.Spec.HostNetwork && pod.Spec.HostnameOverride == nil &&
		!ControlledBy(pod, "StatefulSet") && !static(req, pod)
}

// static says whether a Pod is the API server's image of a static one, whose
// hostname nobody can set any more. Anybody can write the annotation; it
// counts if a kubelet did.
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
