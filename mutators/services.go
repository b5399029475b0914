package mutators

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

// headlessFor returns the names of the headless Services that select a Pod
// with the given labels, sorted. Those that are being deleted do not count.
func headlessFor(v *cluster.View, namespace string, podLabels map[string]string) ([]string, error) {
	list, err := cluster.List[corev1.ServiceList](v, client.InNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("list Services: %w", err)
	}
	var names []string
	for i := range list.Items {
		svc := &list.Items[i]
		if svc.DeletionTimestamp == nil && headless(svc) && selects(svc, podLabels) {
			names = append(names, svc.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// headless says whether the name of a Service resolves to its Pods. Before the
// API server has stored it, only one of the two fields may be set.
func headless(svc *corev1.Service) bool {
	return svc.Spec.Type != corev1.ServiceTypeExternalName &&
		(svc.Spec.ClusterIP == corev1.ClusterIPNone || slices.Contains(svc.Spec.ClusterIPs, corev1.ClusterIPNone))
}

// selects says whether a Service's selector matches labels. A Service without
// a selector selects nothing.
func selects(svc *corev1.Service, podLabels map[string]string) bool {
	return len(svc.Spec.Selector) > 0 && labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(podLabels))
}

// few joins names for a warning, which stops at three of them.
func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
