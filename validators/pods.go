package validators

import (
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	schedcorev1 "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"stayput.dev/cluster"
)

// ofStatefulSet says whether a StatefulSet controls the Pod, and so has set its
// hostname and subdomain.
func ofStatefulSet(pod *corev1.Pod) bool {
	return cluster.ControlledBy(pod, "StatefulSet")
}

// selectorFor returns labels by which a Service should select a Pod: those that
// name its application, or else all labels that its author wrote.
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

// ofDeployment says whether the ReplicaSet of a Deployment controls the Pod. Other
// controllers, which make ReplicaSets too, leave out the hash.
func ofDeployment(pod *corev1.Pod) bool {
	return cluster.ControlledBy(pod, "ReplicaSet") && pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != ""
}

// pinned says whether a Pod's spec allows only one node, in any cluster.
func pinned(spec *corev1.PodSpec) bool {
	if spec.NodeName != "" || spec.NodeSelector[corev1.LabelHostname] != "" {
		return true
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return false
	}
	required := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		return false
	}
	node := "" // terms are alternatives, and each must name this one
	for _, term := range required.NodeSelectorTerms {
		named := ""
		for key, of := range map[string][]corev1.NodeSelectorRequirement{
			corev1.LabelHostname: term.MatchExpressions, metav1.ObjectNameField: term.MatchFields,
		} {
			for _, r := range of {
				if r.Key == key && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
					named = r.Values[0]
				}
			}
		}
		if named == "" || node != "" && named != node {
			return false
		}
		node = named
	}
	return true
}

// knownNodes returns the nodes of the cluster, or none where they are not
// known: manifests have no nodes, and a new cluster may have none yet.
func knownNodes(v *cluster.View) ([]corev1.Node, error) {
	nodes, err := cluster.List[corev1.NodeList](v, cluster.Selection{})
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list Nodes: %w", err)
	}
	return nodes.Items, nil
}

// nodesFor counts the nodes on which a Pod may run by its selector, affinity
// and tolerations.
func nodesFor(spec *corev1.PodSpec, nodes []corev1.Node) (n int) {
	wanted := nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity)
	for i := range nodes {
		node := &nodes[i]
		if node.Spec.Unschedulable {
			continue
		}
		if fits, err := wanted.Match(node); !fits || err != nil {
			continue // the scheduler binds no Pod with a selector that it cannot parse
		}
		if _, repelled := schedcorev1.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, spec.Tolerations,
			lasting, false); !repelled {
			n++
		}
	}
	return n
}

// lasting says whether a taint keeps Pods away permanently. Taints under
// node.kubernetes.io tell a node's condition, which passes.
func lasting(t *corev1.Taint) bool {
	return t.Effect != corev1.TaintEffectPreferNoSchedule && !strings.HasPrefix(t.Key, "node.kubernetes.io/")
}
