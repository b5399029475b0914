package cluster

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Headless says whether the name of a Service resolves to its Pods, because the
// Service has no virtual IP. Before the API server has stored it, only one of
// the two fields may be set.
func Headless(svc *corev1.Service) bool {
	return svc.Spec.Type != corev1.ServiceTypeExternalName &&
		(svc.Spec.ClusterIP == corev1.ClusterIPNone || slices.Contains(svc.Spec.ClusterIPs, corev1.ClusterIPNone))
}

// Selects says whether a Service's selector matches the labels of a Pod. A
// Service without a selector selects nothing.
func Selects(svc *corev1.Service, podLabels map[string]string) bool {
	for name, value := range svc.Spec.Selector {
		if has, ok := podLabels[name]; !ok || has != value {
			return false
		}
	}
	return len(svc.Spec.Selector) > 0
}

// HeadlessFor returns the names of the headless Services that select a Pod with
// the given labels, sorted. Those that are being deleted do not count.
func HeadlessFor(v *View, namespace string, podLabels map[string]string) ([]string, error) {
	selecting, err := Find(v, ServicesBySelector, namespace, LabelKeys(podLabels)...)
	if err != nil {
		return nil, fmt.Errorf("list Services: %w", err)
	}
	var names []string
	for _, svc := range selecting {
		if svc.DeletionTimestamp == nil && Headless(svc) && Selects(svc, podLabels) {
			names = append(names, svc.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
