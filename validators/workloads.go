package validators

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

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

// workloadOf returns an object as a workload. Of another kind it has no template.
func workloadOf(obj cluster.Object) workload {
	w := workload{name: obj.GetName()}
	switch o := obj.(type) {
	case *appsv1.StatefulSet:
		w.kind, w.template, w.service = "StatefulSet", &o.Spec.Template, o.Spec.ServiceName
		w.replicas, w.selects = replicasOf(o.Spec.Replicas), selectorLabels(o.Spec.Selector)
	case *appsv1.Deployment:
		w.kind, w.template = "Deployment", &o.Spec.Template
		w.replicas, w.selects = replicasOf(o.Spec.Replicas), selectorLabels(o.Spec.Selector)
	case *batchv1.Job:
		w.kind, w.template, w.passing = "Job", &o.Spec.Template, true
		w.service = w.template.Spec.Subdomain
	case *batchv1.CronJob:
		w.kind, w.template, w.passing = "CronJob", &o.Spec.JobTemplate.Spec.Template, true
		w.service = w.template.Spec.Subdomain
	}
	return w
}

// workloadsBeside returns, sorted, the StatefulSets and Deployments of a namespace
// whose Pods a selector matches, without self, which may be nil, and those that are
// being deleted. If one of the kinds is not known, it returns those of the other
// together with the error, [cluster.ErrUnknown].
func workloadsBeside(v *cluster.View, namespace string, sel labels.Selector, self cluster.Object) ([]workload, error) {
	keys := cluster.SelectorKeys(sel)
	all, unknown := matched(nil, v, cluster.StatefulSetsByLabel, namespace, keys, sel, self)
	all, err := matched(all, v, cluster.DeploymentsByLabel, namespace, keys, sel, self)
	if unknown = worse(unknown, err); known(unknown) != nil {
		return nil, unknown
	}
	slices.SortFunc(all, byKind)
	return all, unknown
}

// matched adds the workloads of a kind, but for self, that count and whose Pods a
// selector matches, which has these keys.
func matched[P cluster.Object](all []workload, v *cluster.View, idx *cluster.Index[P], namespace string,
	keys []string, sel labels.Selector, self cluster.Object) ([]workload, error) {
	found, err := cluster.Find(v, idx, namespace, keys...)
	if err != nil {
		return all, fmt.Errorf("list %ss: %w", cluster.KindOf[P]().Kind, err)
	}
	_, alike := self.(P)
	for _, o := range found {
		w := workloadOf(o)
		isSelf := alike && w.name == self.GetName()
		if !isSelf && counts(o) && sel.Matches(labels.Set(w.template.Labels)) {
			all = append(all, w)
		}
	}
	return all, nil
}

// counts says whether a workload is there to stay: it is not being deleted, and is
// no Job that has ended or that a CronJob made.
func counts(obj cluster.Object) bool {
	if obj.GetDeletionTimestamp() != nil {
		return false
	}
	job, ok := obj.(*batchv1.Job)
	return !ok || cluster.Stands(job)
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
