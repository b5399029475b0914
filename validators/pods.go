package validators

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	schedcorev1 "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"stayput.dev/cluster"
)

// ofStatefulSet says whether a StatefulSet controls the Pod, and so has given
// it hostname and subdomain.
func ofStatefulSet(pod *corev1.Pod) bool {
	return cluster.ControlledBy(pod, "StatefulSet")
}

// selectorFor returns labels by which a Service should select a Pod: those
// that say which application it is, or else all that are its author's.
func selectorFor(pod *corev1.Pod) map[string]string {
	chosen := map[string]string{}
	for _, names := range [][]string{{"app.kubernetes.io/name", "app.kubernetes.io/instance"}, {"app"}} {
		for _, name := range names {
			if v := pod.Labels[name]; v != "" {
				chosen[name] = v
			}
		}
		if len(chosen) > 0 {
			return chosen
		}
	}
	for name, v := range pod.Labels {
		if !strings.Contains(name, "kubernetes.io/") && !strings.HasPrefix(name, ownPrefix) &&
			!strings.HasSuffix(name, "-hash") {
			chosen[name] = v
		}
	}
	if len(chosen) == 0 {
		chosen["<label>"] = "<value>"
	}
	return chosen
}

// pinned says whether a Pod is written so that only one node can be its own,
// whatever nodes there are.
func pinned(spec *corev1.PodSpec) bool {
	if spec.NodeName != "" || spec.NodeSelector[corev1.LabelHostname] != "" {
		return true
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return false
	}
	required := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil || len(required.NodeSelectorTerms) != 1 { // terms are alternatives
		return false
	}
	one := func(key string) func(corev1.NodeSelectorRequirement) bool {
		return func(r corev1.NodeSelectorRequirement) bool {
			return r.Key == key && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1
		}
	}
	term := required.NodeSelectorTerms[0]
	return slices.ContainsFunc(term.MatchExpressions, one(corev1.LabelHostname)) ||
		slices.ContainsFunc(term.MatchFields, one(metav1.ObjectNameField))
}

// knownNodes returns the nodes of the cluster, none where none is known: manifests
// bring no nodes, and a cluster without any has yet to get them.
func knownNodes(v *cluster.View) ([]corev1.Node, error) {
	nodes, err := cluster.List[corev1.NodeList](v)
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list Nodes: %w", err)
	}
	return nodes.Items, nil
}

// nodesFor counts the nodes on which a Pod may run, as its selector, its
// affinity and its tolerations have it.
func nodesFor(spec *corev1.PodSpec, nodes []corev1.Node) (n int) {
	wanted := nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity)
	for i := range nodes {
		node := &nodes[i]
		if node.Spec.Unschedulable {
			continue
		}
		if fits, err := wanted.Match(node); !fits || err != nil {
			continue // the scheduler puts no Pod where it cannot read the selector
		}
		if _, repelled := schedcorev1.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, spec.Tolerations,
			lasting, false); !repelled {
			n++
		}
	}
	return n
}

// lasting says whether a taint keeps Pods away for good. Those of
// node.kubernetes.io tell a node's condition, which passes.
func lasting(t *corev1.Taint) bool {
	return t.Effect != corev1.TaintEffectPreferNoSchedule && !strings.HasPrefix(t.Key, "node.kubernetes.io/")
}
