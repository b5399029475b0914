package validators

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// replicasOf returns spec.replicas of a workload, or 1 if it is not set.
func replicasOf(replicas *int32) int {
	if replicas == nil {
		return 1
	}
	return int(*replicas)
}

// containers returns all containers of a Pod, each with the name of its list.
// Ephemeral containers are converted to the fields that all containers have.
func containers(spec *corev1.PodSpec) (all []listed[*corev1.Container]) {
	all = make([]listed[*corev1.Container], 0, len(spec.InitContainers)+len(spec.Containers)+len(spec.EphemeralContainers))
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

// A workload is a StatefulSet or a Deployment, with the fields that both have.
type workload struct {
	kind, name string
	replicas   int
	labels     map[string]string // of its Pods
	selects    map[string]string // the labels of its selector
	service    string            // serviceName of a StatefulSet
}

// String returns the kind and the name.
func (w workload) String() string { return w.kind + " " + w.name }

// workloadsBeside returns, sorted, the StatefulSets and Deployments in the
// namespace of self whose Pods a selector matches, without self and those that
// are being deleted. If one of the kinds is not known, it returns those of the
// other together with the error, [cluster.ErrUnknown].
func workloadsBeside(v *cluster.View, self client.Object, sel labels.Selector) ([]workload, error) {
	var all []workload
	var unknown error
	keys := cluster.SelectorKeys(sel)
	sets, err := cluster.Find(v, cluster.StatefulSetsByLabel, self.GetNamespace(), keys...)
	if err != nil {
		if err = fmt.Errorf("list StatefulSets: %w", err); !errors.Is(err, cluster.ErrUnknown) {
			return nil, err
		}
		unknown = err
	}
	deployments, err := cluster.Find(v, cluster.DeploymentsByLabel, self.GetNamespace(), keys...)
	if err != nil {
		if err = fmt.Errorf("list Deployments: %w", err); !errors.Is(err, cluster.ErrUnknown) {
			return nil, err
		}
		unknown = cmp.Or(unknown, err)
	}
	_, isSet := self.(*appsv1.StatefulSet)
	for _, o := range sets {
		if o.DeletionTimestamp == nil && !(isSet && o.Name == self.GetName()) &&
			sel.Matches(labels.Set(o.Spec.Template.Labels)) {
			all = append(all, workload{"StatefulSet", o.Name, replicasOf(o.Spec.Replicas), o.Spec.Template.Labels,
				selectorLabels(o.Spec.Selector), o.Spec.ServiceName})
		}
	}
	for _, o := range deployments {
		if o.DeletionTimestamp == nil && !(!isSet && o.Name == self.GetName()) &&
			sel.Matches(labels.Set(o.Spec.Template.Labels)) {
			all = append(all, workload{"Deployment", o.Name, replicasOf(o.Spec.Replicas), o.Spec.Template.Labels,
				selectorLabels(o.Spec.Selector), ""})
		}
	}
	slices.SortFunc(all, func(a, b workload) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	return all, unknown
}

// selected returns the workloads whose Pods a selector matches.
func selected(all []workload, sel labels.Selector) (matching []workload) {
	for _, w := range all {
		if sel.Matches(labels.Set(w.labels)) {
			matching = append(matching, w)
		}
	}
	return matching
}

// fewWorkloads is few for workloads.
func fewWorkloads(all []workload) string {
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = w.String()
	}
	return cluster.Few(names)
}
