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
	Loses: LosesTime,
	Style: true,
	Doc: `the Pods of a StatefulSet should run on different nodes

Replicas protect against the loss of a node only if they do not share one. By
default the scheduler spreads Pods only roughly, and not at all where nodes are
few or full: a database may then lose its majority with one node.

Add a topologySpreadConstraint over kubernetes.io/hostname, or a
podAntiAffinity, whose selector matches the Pods of the StatefulSet; for zones,
add another. With whenUnsatisfiable ScheduleAnyway, or preferred anti-affinity,
Pods still start where there are too few nodes. Pods that use ports of their
node need neither. A constraint over kubernetes.io/os or kubernetes.io/arch does
not count, because all nodes have the same value.`,

	Exempt: "the cluster has one node, or the members are better off close to each other",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		pod, on := &sts.Spec.Template.Spec, labels.Set(sts.Spec.Template.Labels)
		if replicasOf(sts.Spec.Replicas) <= 1 || ownNode(pod) {
			return nil
		}
		over, shared := "", -1
		path := podSpecPath.Child("topologySpreadConstraints")
		for i, c := range pod.TopologySpreadConstraints {
			switch {
			case !matchesLabels(c.LabelSelector, on):
			case c.TopologyKey == corev1.LabelHostname:
				return nil
			case ofAllNodes(c.TopologyKey):
				shared = i
			default:
				over = c.TopologyKey
			}
		}
		term, apart := keptApart(pod, on)
		if apart {
			return nil
		}
		constraint := map[string]any{
			"maxSkew": 1, "topologyKey": corev1.LabelHostname, "whenUnsatisfiable": string(corev1.ScheduleAnyway),
			"labelSelector": map[string]any{"matchLabels": memberLabels(sts)},
		}
		if over != "" {
			p.Report(field.Invalid(path, over, "must spread over nodes, too; one node may hold several Pods of a zone"),
				"add to topologySpreadConstraints: "+flowYAML(constraint))
			return nil
		}
		const nothing = "must be kubernetes.io/hostname; all nodes share this key, and one may take several Pods down"
		switch {
		case term != "":
			p.Report(field.Invalid(podSpecPath.Child("affinity", "podAntiAffinity"), term, nothing),
				"name "+corev1.LabelHostname+" in that term")
			return nil
		case shared >= 0:
			p.Report(field.Invalid(path.Index(shared).Child("topologyKey"), pod.TopologySpreadConstraints[shared].TopologyKey,
				nothing), "topologyKey: "+corev1.LabelHostname)
			return nil
		}
		p.ReportFix(field.Required(path, "must keep Pods apart, or one node may take several of them down with it"),
			setting(path, []map[string]any{constraint}, 1))
		return nil
	}).Of(
		"spec.replicas > 1", "spec.template.metadata.labels", "spec.template.spec.topologySpreadConstraints",
		"spec.template.spec.affinity.podAntiAffinity", "spec.template.spec.hostNetwork",
		"spec.template.spec.containers[*].ports", "spec.template.spec.initContainers[*].ports",
	)},
}

// ofAllNodes says whether a label is one that all nodes of a cluster have in
// common, with few exceptions.
func ofAllNodes(key string) bool {
	switch key {
	case corev1.LabelOSStable, corev1.LabelArchStable, "beta." + corev1.LabelOSStable, "beta." + corev1.LabelArchStable:
		return true
	}
	return false
}

// keptApart says whether anti-affinity keeps Pods with labels apart, on nodes or
// on larger units. If not, shared is the key of a term that would if its label
// did not have the same value on all nodes.
func keptApart(pod *corev1.PodSpec, on labels.Set) (shared string, apart bool) {
	if pod.Affinity == nil || pod.Affinity.PodAntiAffinity == nil {
		return "", false
	}
	anti := pod.Affinity.PodAntiAffinity
	keeps := func(t *corev1.PodAffinityTerm) bool {
		if !matchesLabels(t.LabelSelector, on) {
			return false
		}
		if ofAllNodes(t.TopologyKey) {
			shared = t.TopologyKey
			return false
		}
		return true
	}
	for i := range anti.RequiredDuringSchedulingIgnoredDuringExecution {
		if keeps(&anti.RequiredDuringSchedulingIgnoredDuringExecution[i]) {
			return "", true
		}
	}
	for i := range anti.PreferredDuringSchedulingIgnoredDuringExecution {
		if keeps(&anti.PreferredDuringSchedulingIgnoredDuringExecution[i].PodAffinityTerm) {
			return "", true
		}
	}
	return shared, false
}

// ownNode says whether a Pod uses a port of its node, so that no two can share
// one.
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
	if sel != nil && len(sel.MatchExpressions) == 0 { // the common case, without making a selector
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

// selectorOf returns a selector. It validates only expressions: labels alone
// are validated by the API server.
func selectorOf(sel *metav1.LabelSelector) (labels.Selector, error) {
	if sel != nil && len(sel.MatchExpressions) == 0 {
		return labels.SelectorFromSet(sel.MatchLabels), nil
	}
	return metav1.LabelSelectorAsSelector(sel)
}
