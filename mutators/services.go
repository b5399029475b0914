package mutators

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
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
		if svc.DeletionTimestamp == nil && cluster.Headless(svc) && cluster.Selects(svc, podLabels) {
			names = append(names, svc.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
