package validators

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statefulsetSpread = &Rule{
	Name:  "statefulset-spread",
	Level: Warn,
	Style: true,
	Doc: `the Pods of a StatefulSet should run on different nodes

Replicas protect against the loss of a node only if they do not share one. The
scheduler spreads Pods by itself only roughly, and not at all where nodes are few
or full: then one node takes the majority of a database with it.

Add a topologySpreadConstraint over kubernetes.io/hostname, or a podAntiAffinity,
whose selector matches the Pods of the StatefulSet; for zones, add another. With
whenUnsatisfiable ScheduleAnyway, or preferred anti-affinity, Pods still start
where there are too few nodes. Pods that use ports of their node need neither.`,

	Exempt: "the cluster has one node, or the members are better off close to each other",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		pod, on := &sts.Spec.Template.Spec, labels.Set(sts.Spec.Template.Labels)
		over := spreadOver(pod, on)
		if replicasOf(sts.Spec.Replicas) <= 1 || over == corev1.LabelHostname || keptApart(pod, on) || ownNode(pod) {
			return nil
		}
		path := podSpecPath.Child("topologySpreadConstraints")
		constraint := flowYAML(map[string]any{
			"maxSkew": 1, "topologyKey": corev1.LabelHostname, "whenUnsatisfiable": string(corev1.ScheduleAnyway),
			"labelSelector": map[string]any{"matchLabels": memberLabels(sts)},
		})
		if over != "" {
			p.Report(field.Invalid(path, over, "must spread over nodes, too; one node may hold several Pods of a zone"),
				"add to topologySpreadConstraints: "+constraint)
			return nil
		}
		p.Report(field.Required(path, "must keep Pods apart, or one node may take several of them down with it"),
			"topologySpreadConstraints: ["+constraint+"]")
		return nil
	}).Of(
		"spec.replicas > 1", "spec.template.metadata.labels", "spec.template.spec.topologySpreadConstraints",
		"spec.template.spec.affinity.podAntiAffinity", "spec.template.spec.hostNetwork",
		"spec.template.spec.containers[*].ports", "spec.template.spec.initContainers[*].ports",
	)},
}

// spreadOver returns over what a constraint spreads Pods with labels: nodes, or
// else another topology, such as zones, or "".
func spreadOver(pod *corev1.PodSpec, on labels.Set) (topology string) {
	for _, c := range pod.TopologySpreadConstraints {
		if !matchesLabels(c.LabelSelector, on) {
			continue
		}
		if c.TopologyKey == corev1.LabelHostname {
			return c.TopologyKey
		}
		topology = c.TopologyKey
	}
	return topology
}

// keptApart says whether anti-affinity keeps Pods with labels apart, over
// nodes or over what is larger than these.
func keptApart(pod *corev1.PodSpec, on labels.Set) bool {
	if pod.Affinity == nil || pod.Affinity.PodAntiAffinity == nil {
		return false
	}
	for _, t := range pod.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		if matchesLabels(t.LabelSelector, on) {
			return true
		}
	}
	for _, t := range pod.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		if matchesLabels(t.PodAffinityTerm.LabelSelector, on) {
			return true
		}
	}
	return false
}

// ownNode says whether a Pod takes a port of its node, which no two can.
func ownNode(pod *corev1.PodSpec) bool {
	for _, c := range containers(pod) {
		for _, port := range c.item.Ports {
			if port.HostPort != 0 || pod.HostNetwork {
				return true
			}
		}
	}
	return false
}

// matchesLabels says whether a selector matches labels; nil matches none.
func matchesLabels(sel *metav1.LabelSelector, on labels.Set) bool {
	if sel != nil && len(sel.MatchExpressions) == 0 { // nearly all: no selector need be made of them
		for k, v := range sel.MatchLabels {
			if got, ok := on[k]; !ok || got != v {
				return false
			}
		}
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(sel)
	return err == nil && s.Matches(on)
}

// selectorOf returns a selector, which it validates only where it must look at
// expressions: what is made of labels alone the API server has validated, or will.
func selectorOf(sel *metav1.LabelSelector) (labels.Selector, error) {
	if sel != nil && len(sel.MatchExpressions) == 0 {
		return labels.SelectorFromSet(sel.MatchLabels), nil
	}
	return metav1.LabelSelectorAsSelector(sel)
}
