package validators

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// onNodes says whether a Pod cannot run where a volume is by the labels of nodes, and
// reports it. One of both must name its nodes, and all of these must be there: of other
// nodes, one may come tomorrow that suits both.
func (s site) onNodes(p *Pass, spec *corev1.PodSpec, pod areas, at *field.Path) (bool, error) {
	key := pod.namedBy()
	if len(s.areas) == 0 || key == "" && s.areas.namedBy() == "" {
		return false, nil
	}
	nodes, err := cluster.List[corev1.NodeList](p.Cluster, cluster.Selection{})
	if err != nil {
		return false, fmt.Errorf("list Nodes: %w", err)
	}
	message := ""
	if missed, wants := s.areas.exclude(pod.held(nodes.Items)); missed != "" {
		message = fmt.Sprintf("must have %s %s, where %s; the Pod stays Pending", strings.TrimPrefix(missed, ofField),
			wanted(wants), s.what)
	} else {
		held := s.areas.held(nodes.Items)
		if key, _ = pod.exclude(held); key == "" {
			return false, nil
		}
		message = fmt.Sprintf("must be met by node %s, where %s; the Pod stays Pending", short(fewNodes(held)), s.what)
	}
	path, value := placedBy(spec, at, key)
	p.Report(field.Invalid(path, short(value), message), dropped(spec, key))
	return true, nil
}

func fewNodes(nodes []*corev1.Node) string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return cluster.Few(slices.Compact(names))
}

// nodeKeys are what names one node.
var nodeKeys = []string{corev1.LabelHostname, ofField + metav1.ObjectNameField}

// namedIn returns the nodes that an alternative names and by which key, or "".
func namedIn(alternative map[string][]corev1.NodeSelectorRequirement) (key string, nodes []string) {
	for _, key := range nodeKeys {
		for _, r := range alternative[key] {
			if r.Operator == corev1.NodeSelectorOpIn {
				return key, r.Values
			}
		}
	}
	return "", nil
}

// namedBy returns the key by which the first alternative names nodes, or "" if one
// of them names none.
func (a areas) namedBy() (first string) {
	for i, alternative := range a {
		key, _ := namedIn(alternative)
		if key == "" {
			return ""
		}
		if i == 0 {
			first = key
		}
	}
	return first
}

// held returns the nodes that the alternatives name, without those that they exclude
// again. It returns none where an alternative names none, or one that is not there.
func (a areas) held(nodes []corev1.Node) (held []*corev1.Node) {
	for _, alternative := range a {
		key, names := namedIn(alternative)
		if key == "" {
			return nil
		}
		for _, name := range names {
			i := slices.IndexFunc(nodes, func(n corev1.Node) bool {
				value, ok := labelOf(&n, key)
				return ok && value == name
			})
			if i < 0 {
				return nil
			}
			if excludes(alternative, &nodes[i]) == "" {
				held = append(held, &nodes[i])
			}
		}
	}
	return held
}

// exclude returns the key by which the first alternative excludes the first of these
// nodes, and what it requires of it, if all alternatives exclude all nodes; or "".
func (a areas) exclude(nodes []*corev1.Node) (key string, wants []corev1.NodeSelectorRequirement) {
	for _, n := range nodes {
		for _, alternative := range a {
			by := excludes(alternative, n)
			if by == "" {
				return "", nil
			}
			if key == "" {
				key, wants = by, alternative[by]
			}
		}
	}
	return key, wants
}

// excludes returns the first key of which a node has a value that an alternative does
// not admit, or "". A label that the node lacks may still come, as those of drivers do.
func excludes(alternative map[string][]corev1.NodeSelectorRequirement, n *corev1.Node) string {
	for _, key := range slices.Sorted(maps.Keys(alternative)) {
		value, ok := labelOf(n, key)
		if ok && slices.ContainsFunc(alternative[key], func(r corev1.NodeSelectorRequirement) bool {
			return !admits(r, value)
		}) {
			return key
		}
	}
	return ""
}

// labelOf returns the label or the field of a node by its key in areas.
func labelOf(n *corev1.Node, key string) (value string, ok bool) {
	if key == ofField+metav1.ObjectNameField {
		return n.Name, true
	}
	value, ok = n.Labels[key]
	return value, ok
}
