package mutators

import (
	"fmt"
	"slices"

	"stayput.dev/webhook/cluster"
)

// headlessFor returns the names of the headless Services that select a Pod
// with the given labels, sorted. Those that are being deleted do not count.
func headlessFor(v *cluster.View, namespace string, podLabels map[string]string) ([]string, error) {
	selecting, err := cluster.Find(v, cluster.ServicesBySelector, namespace, cluster.LabelKeys(podLabels)...)
	if err != nil {
		return nil, fmt.Errorf("list Services: %w", err)
	}
	var names []string
	for _, svc := range selecting {
		if svc.DeletionTimestamp == nil && cluster.Headless(svc) && cluster.Selects(svc, podLabels) {
			names = append(names, svc.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
