package validators

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// replicasOf returns spec.replicas of a workload, 1 where it was not
// defaulted.
func replicasOf(replicas *int32) int {
	if replicas == nil {
		return 1
	}
	return int(*replicas)
}

// headless says whether a Service has no virtual IP of its own. Before the API
// server has stored it, only one of the two fields may be set.
func headless(svc *corev1.Service) bool {
	return svc.Spec.ClusterIP == corev1.ClusterIPNone ||
		len(svc.Spec.ClusterIPs) > 0 && svc.Spec.ClusterIPs[0] == corev1.ClusterIPNone
}

// selects says whether a Service's selector matches labels. A Service without
// a selector selects nothing.
func selects(svc *corev1.Service, podLabels map[string]string) bool {
	return len(svc.Spec.Selector) > 0 &&
		labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(podLabels))
}

// containers returns the containers of every kind of a Pod, with the name of
// the list that each is in. Ephemeral containers are returned as what they
// share with the others.
func containers(spec *corev1.PodSpec) (all []listed[*corev1.Container]) {
	for i := range spec.InitContainers {
		all = append(all, listed[*corev1.Container]{"initContainers", i, &spec.InitContainers[i]})
	}
	for i := range spec.Containers {
		all = append(all, listed[*corev1.Container]{"containers", i, &spec.Containers[i]})
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		all = append(all, listed[*corev1.Container]{"ephemeralContainers", i, &c})
	}
	return all
}

// A listed is an item of a list field.
type listed[T any] struct {
	field string
	index int
	item  T
}
