package validators

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"stayput.dev/cluster"
)

// governingService returns the Service that a StatefulSet names, or nil if it
// names none or that does not exist.
func governingService(v *cluster.View, sts *appsv1.StatefulSet) (*corev1.Service, error) {
	name := sts.Spec.ServiceName
	if name == "" {
		return nil, nil
	}
	svc, err := cluster.Get[corev1.Service](v, sts.Namespace, name)
	if err != nil {
		return nil, fmt.Errorf("get Service %s: %w", name, err)
	}
	return svc, nil
}

// memberLabels returns the labels of the template by which a Service should
// select the Pods of a StatefulSet: those in the StatefulSet's own selector,
// which never change, or else all of them. Of very many it returns the first by
// name, which select the Pods as well: a message has no room for more, and a
// hostile object must not take much time.
func memberLabels(sts *appsv1.StatefulSet) map[string]string {
	all := sts.Spec.Template.Labels
	if sel := sts.Spec.Selector; sel != nil && len(sel.MatchLabels) > 0 {
		all = sel.MatchLabels
	}
	const most = 16
	if len(all) <= most {
		return all
	}
	first := make([]string, 0, most+1)
	for name := range all {
		if at, _ := slices.BinarySearch(first, name); at < most {
			first = slices.Insert(first, at, name)
			first = first[:min(len(first), most)]
		}
	}
	few := make(map[string]string, most)
	for _, name := range first {
		few[name] = all[name]
	}
	return few
}

// formatSelector returns a selector as kubectl takes it, or a placeholder if it
// is too long to type.
func formatSelector(sel *metav1.LabelSelector) string {
	if sel != nil && len(sel.MatchLabels)+len(sel.MatchExpressions) > 64 {
		return "<spec.selector>"
	}
	return metav1.FormatLabelSelector(sel)
}

// mayBeService says whether a Service can have a name in all versions of
// Kubernetes that the API servers have. Of unknown ones it says no.
func (p *Pass) mayBeService(name string) bool {
	return !digitFirst(name) || p.has(serviceDigits).Likely()
}

func digitFirst(name string) bool { return name != "" && name[0] <= '9' }

// lettered returns a name that may be a Service's in all versions of Kubernetes,
// made of one that begins with a digit.
func lettered(name string) string {
	if digitFirst(name) {
		return "svc-" + name
	}
	return name
}

// needsLetter says of the name of a Service why there can be none. The subject of
// the clause is who names it.
const needsLetter = "must begin with a letter before Kubernetes 1.36, or "

// headlessName returns the name of a headless Service beside an object called
// base.
func headlessName(base string) string {
	const suffix = "-headless"
	base = lettered(base)
	return cut(strings.TrimSuffix(base, suffix), validation.DNS1123LabelMaxLength-len(suffix)) + suffix
}

// letteredService returns a name for a Service of Pods that name one which begins
// with a digit: one that no Service has, if one of two is free.
func letteredService(v *cluster.View, namespace, name string) (string, error) {
	other := headlessName(name)
	taken, err := cluster.Taken[corev1.Service](v, namespace, other)
	if err != nil {
		return "", fmt.Errorf("get Service %s: %w", other, err)
	}
	if taken {
		other = cut(lettered(name), validation.DNS1123LabelMaxLength)
	}
	return other, nil
}

// newHeadlessName returns a free name for a headless Service of a StatefulSet's
// own, beside one of several objects, tried in order. A name is taken if there is
// such a Service, or if another StatefulSet names one: whose names the Service
// would be, once it is there. If a kind is not known, it returns the first name
// and [cluster.ErrUnknown].
func newHeadlessName(v *cluster.View, sts *appsv1.StatefulSet, bases ...string) (string, error) {
	for _, base := range bases {
		name := headlessName(base)
		if taken, err := nameTaken(v, sts, name); err != nil || !taken {
			return name, err
		}
	}
	for n := 1; ; n++ {
		suffix := "-members"
		if n > 1 {
			suffix = fmt.Sprintf("-members-%d", n)
		}
		name := cut(lettered(bases[len(bases)-1]), validation.DNS1123LabelMaxLength-len(suffix)) + suffix
		const most = 9 // names are tried; a hostile user must not cause lookups by creating Services
		if taken, err := nameTaken(v, sts, name); err != nil || !taken || n == most {
			return name, err
		}
	}
}

// nameTaken says whether a Service has a name, or a StatefulSet other than sts
// waits for one that does.
func nameTaken(v *cluster.View, sts *appsv1.StatefulSet, name string) (bool, error) {
	taken, err := cluster.Taken[corev1.Service](v, sts.Namespace, name)
	if err != nil {
		return false, fmt.Errorf("get Service %s: %w", name, err)
	}
	if taken {
		return true, nil
	}
	others, err := alsoNaming(v, sts, name)
	return len(others) > 0, err
}

// alsoNaming returns the StatefulSets other than sts that name a Service of its
// namespace, sorted, without those that are being deleted.
func alsoNaming(v *cluster.View, sts *appsv1.StatefulSet, service string) ([]*appsv1.StatefulSet, error) {
	naming, err := governedBy(v, sts.Namespace, service)
	return slices.DeleteFunc(naming, func(o *appsv1.StatefulSet) bool { return o.Name == sts.Name }), err
}

// headlessService returns a headless Service for the Pods of a StatefulSet that
// have the labels of a selector. It lists their ports, which a headless Service does not
// need, if that fits into room runes on one line.
func headlessService(sts *appsv1.StatefulSet, name string, selector map[string]string, room int) map[string]any {
	with := serviceOf(sts.Namespace, name, selector, servicePorts(sts.Spec.Template.Spec.Containers), meets(sts))
	if utf8.RuneCountInString(flowYAML(with)) <= room {
		return with
	}
	without := serviceOf(sts.Namespace, name, selector, nil, meets(sts))
	if utf8.RuneCountInString(flowYAML(without)) <= room {
		return without
	}
	return with
}

// withService returns the fix that gives a StatefulSet a headless Service of
// its own: its name in the StatefulSet, and the Service to apply.
func withService(sts *appsv1.StatefulSet, name string, selector map[string]string, room int) *Fix {
	return setting(serviceNamePath, name, 1).and(headlessService(sts, name, selector, room))
}

func serviceOf(namespace, name string, selector map[string]string, ports []map[string]any, meet bool) map[string]any {
	spec := map[string]any{"clusterIP": corev1.ClusterIPNone, "selector": selector}
	if len(ports) > 0 {
		spec["ports"] = ports
	}
	if meet {
		spec["publishNotReadyAddresses"] = true
	}
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Service",
		"metadata":   map[string]any{"name": name, "namespace": namespace},
		"spec":       spec,
	}
}

// servicePorts returns the ports of containers as ports of a Service: distinct
// in port and protocol, and named if there are several. It returns none if they
// are more than a message has room for.
func servicePorts(containers []corev1.Container) (ports []map[string]any) {
	seen := map[string]bool{}
	firstID := ""
	for _, c := range containers {
		for _, p := range c.Ports {
			id := fmt.Sprintf("%s-%d", strings.ToLower(string(p.Protocol)), p.ContainerPort)
			if p.Protocol == "" {
				id = fmt.Sprintf("tcp-%d", p.ContainerPort)
			}
			name := p.Name
			if name == "" || seen[name] {
				name = id
			}
			if seen[id] || seen[name] {
				continue
			}
			seen[id], seen[name] = true, true
			firstID = cmp.Or(firstID, id)
			port := map[string]any{"name": name, "port": p.ContainerPort}
			if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
				port["protocol"] = string(p.Protocol)
			}
			if ports = append(ports, port); len(ports) > 16 {
				return nil
			}
		}
	}
	if len(ports) == 1 && ports[0]["name"] == firstID {
		delete(ports[0], "name") // a made-up name, which a single port does not need
	}
	return ports
}
