package validators

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// A workload is what makes Pods of a template: a StatefulSet or a Deployment, and
// for Services a Job or a CronJob.
type workload struct {
	kind, name string
	self       bool // the object under review
	passing    bool // its Pods end by themselves
	replicas   int
	template   *corev1.PodTemplateSpec
	selects    map[string]string // the labels of its selector
	service    string            // under which its Pods have names
}

// String returns the kind and the name.
func (w workload) String() string { return w.kind + " " + w.name }

// byKind orders workloads by kind and name.
func byKind(a, b workload) int {
	return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
}

// workloadsOf returns, sorted, the StatefulSets and Deployments of a namespace
// whose Pods a selector matches, without those that are being deleted. Self is a
// workload as it will be, whatever is stored, or an object of another kind, or nil.
// If one of the kinds is not known, it returns those of the other together with the
// error, [cluster.ErrUnknown].
func workloadsOf(v *cluster.View, namespace string, sel labels.Selector, self client.Object) ([]workload, error) {
	keys := cluster.SelectorKeys(sel)
	sets, unknown := lookedUp(v, cluster.StatefulSetsByLabel, namespace, keys, self)
	deployments, err := lookedUp(v, cluster.DeploymentsByLabel, namespace, keys, self)
	if unknown = worse(unknown, err); known(unknown) != nil {
		return nil, unknown
	}
	var all []workload
	add := func(o client.Object, w workload) {
		if o.GetDeletionTimestamp() == nil && sel.Matches(labels.Set(w.template.Labels)) {
			w.name, w.self = o.GetName(), o == self
			all = append(all, w)
		}
	}
	for _, o := range sets {
		add(o, workload{kind: "StatefulSet", replicas: replicasOf(o.Spec.Replicas), template: &o.Spec.Template,
			selects: selectorLabels(o.Spec.Selector), service: o.Spec.ServiceName})
	}
	for _, o := range deployments {
		add(o, workload{kind: "Deployment", replicas: replicasOf(o.Spec.Replicas), template: &o.Spec.Template,
			selects: selectorLabels(o.Spec.Selector)})
	}
	slices.SortFunc(all, byKind)
	return all, unknown
}

// workloadsBeside is [workloadsOf] without self.
func workloadsBeside(v *cluster.View, self client.Object, sel labels.Selector) ([]workload, error) {
	all, err := workloadsOf(v, self.GetNamespace(), sel, self)
	return slices.DeleteFunc(all, func(w workload) bool { return w.self }), err
}

// lookedUp is [cluster.Find] with an object of the kind as it will be, which may
// be nil or of another kind.
func lookedUp[P interface {
	client.Object
	comparable
}](v *cluster.View, idx *cluster.Index[P], namespace string, keys []string, self client.Object) ([]P, error) {
	found, err := cluster.Find(v, idx, namespace, keys...)
	if err != nil && !errors.Is(err, cluster.ErrUnwatched) { // which nobody reads
		err = fmt.Errorf("list %ss: %w", cluster.KindOf[P]().Kind, err)
	}
	if obj, ok := self.(P); ok {
		found = append(slices.DeleteFunc(found, func(o P) bool { return o.GetName() == obj.GetName() }), obj)
	}
	return found, err
}

// worse returns the error of two that says more: that a lookup failed.
func worse(a, b error) error {
	if errors.Is(a, cluster.ErrUnknown) && known(b) != nil {
		return b
	}
	return cmp.Or(a, b)
}

// selected returns the workloads whose Pods a selector matches.
func selected(all []workload, sel labels.Selector) (matching []workload) {
	for _, w := range all {
		if sel.Matches(labels.Set(w.template.Labels)) {
			matching = append(matching, w)
		}
	}
	return matching
}

// fewWorkloads names at most so many workloads for a message, and says that there
// are more.
func fewWorkloads(all []workload, most int) string {
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = w.String()
	}
	return cluster.FewOf(names, most)
}
