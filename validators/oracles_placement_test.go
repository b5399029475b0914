package validators_test

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"stayput.dev/validators"
)

const zoneLabel = "topology.kubernetes.io/zone"

// everyNode has a node with each combination of the labels that worlds speak of.
var everyNode = func() (all []*corev1.Node) {
	for _, host := range []string{"one", "two", "three"} {
		for _, zone := range []string{"a", "b", "c", "one", "two", "three", ""} {
			for _, disk := range []string{"ssd", "one", "two", "three", ""} {
				n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"kubernetes.io/hostname": host}}}
				if zone != "" {
					n.Labels[zoneLabel] = zone
				}
				if disk != "" {
					n.Labels["disk"] = disk
				}
				all = append(all, n)
			}
		}
	}
	return all
}()

var _ = register(map[string]oracle{
	"workload-placement": ofAnyPod(func(w *world, o Object, pod *corev1.PodSpec) validators.Level {
		mine := nodeaffinity.NewRequiredNodeAffinity(pod.NodeSelector, pod.Affinity)
		var fits []*corev1.Node
		for _, n := range everyNode {
			if ok, err := mine.Match(n); ok && err == nil {
				fits = append(fits, n)
			}
		}
		if pod.NodeName != "" || len(fits) == 0 || len(fits) == len(everyNode) {
			return nothing
		}
		for _, c := range claimsUsed(w, o, pod) {
			excluded := func(reached func(*corev1.Node) bool) bool {
				return slices.ContainsFunc(everyNode, reached) && !slices.ContainsFunc(fits, reached) ||
					apart(w, func(n *corev1.Node) bool { ok, _ := mine.Match(n); return ok }, reached)
			}
			at := slices.IndexFunc(w.volumes, func(pv *corev1.PersistentVolume) bool {
				if c.Spec.VolumeName != "" {
					return pv.Name == c.Spec.VolumeName
				}
				return c.Name != "" && isRefTo(pv.Spec.ClaimRef, c)
			})
			if at >= 0 {
				// Of several that are reserved for one claim, any may be meant.
				if a := w.volumes[at].Spec.NodeAffinity; a != nil && excluded(func(n *corev1.Node) bool {
					ok, _ := nodeaffinity.NewLazyErrorNodeSelector(a.Required).Match(n)
					return ok
				}) {
					return warn
				}
				continue
			}
			sc := classFor(w, c)
			if c.Spec.VolumeName != "" || !dynamic(sc) || slices.ContainsFunc(w.volumes, func(pv *corev1.PersistentVolume) bool {
				return pv.Spec.ClaimRef == nil && pv.Spec.StorageClassName == sc.Name
			}) {
				continue
			}
			if allowed := sc.AllowedTopologies; len(allowed) > 0 {
				if excluded(func(n *corev1.Node) bool {
					zone, ok := n.Labels[zoneLabel]
					return ok && slices.Contains(allowed[0].MatchLabelExpressions[0].Values, zone)
				}) {
					return warn
				}
			} else if !waitsForPod(sc) && ofNoTemplate(o, pod, c) && asksZone(pod) {
				return warn
			}
		}
		return nothing
	}),
})

// apart says whether the nodes that one of two names are all there, and the other can use
// none of them, whichever is which.
func apart(w *world, a, b func(*corev1.Node) bool) bool {
	hosts := func(use func(*corev1.Node) bool) (named map[string]bool) {
		named = map[string]bool{}
		for _, n := range everyNode {
			if use(n) {
				named[n.Labels["kubernetes.io/hostname"]] = true
			}
			elsewhere := n.DeepCopy()
			elsewhere.Labels["kubernetes.io/hostname"] = "elsewhere"
			if use(elsewhere) {
				return nil
			}
		}
		return named
	}
	miss := func(one, other func(*corev1.Node) bool) bool {
		names, used := hosts(one), 0
		for name := range names {
			n := find(w.nodes, "", name)
			if n == nil {
				return false
			}
			if one(n) {
				used++
			}
			if one(n) && other(n) {
				return false
			}
		}
		return used > 0
	}
	return miss(a, b) || miss(b, a)
}

// reachable says whether Pods may run where a volume is.
func reachable(pod *corev1.PodSpec, v pv) bool {
	mine := nodeaffinity.NewRequiredNodeAffinity(pod.NodeSelector, pod.Affinity)
	somewhere, there, both := false, false, false
	for _, n := range everyNode {
		ok, err := mine.Match(n)
		may, is := ok && err == nil, true
		if v.Spec.NodeAffinity != nil {
			is, _ = nodeaffinity.NewLazyErrorNodeSelector(v.Spec.NodeAffinity.Required).Match(n)
		}
		somewhere, there, both = somewhere || may, there || is, both || may && is
	}
	return pod.NodeName != "" || both || !somewhere || !there
}

// ofNoTemplate says whether a claim is an ephemeral volume's, or mounted by its name.
func ofNoTemplate(o Object, pod *corev1.PodSpec, c *corev1.PersistentVolumeClaim) bool {
	s, isSet := o.(sts)
	return c.Name == "" || slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == c.Name &&
			!(isSet && hasTemplate(s, v.Name))
	})
}

// asksZone says whether a Pod wants a zone, whichever of its alternatives is taken.
func asksZone(pod *corev1.PodSpec) bool {
	if _, ok := pod.NodeSelector[zoneLabel]; ok {
		return true
	}
	if pod.Affinity == nil || pod.Affinity.NodeAffinity == nil {
		return false
	}
	for _, t := range pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		alone := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{t}}}}
		met := nodeaffinity.NewRequiredNodeAffinity(pod.NodeSelector, alone)
		possible := slices.ContainsFunc(everyNode, func(n *corev1.Node) bool { ok, _ := met.Match(n); return ok })
		if possible && t.MatchExpressions[0].Key != zoneLabel {
			return false
		}
	}
	return true
}
