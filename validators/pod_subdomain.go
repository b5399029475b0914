package validators

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var podSubdomain = &Rule{
	Name:  "pod-subdomain",
	Level: Warn,
	Loses: LosesName,
	Reads: []cluster.Object{&corev1.Namespace{}, &corev1.Service{}},
	Doc: `a Pod with a subdomain must have a hostname and a Service that selects it

A Pod has the DNS name <hostname>.<subdomain> if it has a hostname, and a Service
of the subdomain's name selects it. If one of the three is missing, there is no
record, and nothing in the Pod's status says so. Hostname and subdomain cannot be
changed once the Pod exists; the Service may come later.

Label the Pod, or the template that it is made from, stayput.dev/subdomain:
<Service>, which sets both, and create a headless Service that selects it. Pods
of StatefulSets get their names from their controller; other rules check these.`,

	Versions: []*cluster.Feature{serviceDigits},

	Exempt: "the Service is created later, or nobody resolves the Pod",

	Checks: []Check{OnCreate(func(p *Pass, pod *corev1.Pod) error {
		name := pod.Spec.Subdomain
		if name == "" || ofStatefulSet(pod) || !live(pod) {
			return nil
		}
		if err := hostnameMissing(p, pod); err != nil {
			return err
		}
		svc, err := cluster.Get[corev1.Service](p.Cluster, pod.Namespace, name)
		if err != nil {
			return fmt.Errorf("get Service %s: %w", name, err)
		}
		path := field.NewPath("spec", "subdomain")
		selector := selectorFor(pod)
		switch {
		case svc == nil && p.comesLater(pod):
		case svc == nil:
			missing := field.NotFound(path, name)
			missing.Detail = "must name a Service; the Pod has no DNS name until there is one"
			mend := adding(serviceOf(pod.Namespace, name, selector, nil, false)).Text()
			// A headless Service of another name may be the one that is meant:
			// kustomize renames Services, but not this reference to them.
			meant, err := cluster.HeadlessFor(p.Cluster, pod.Namespace, pod.Labels)
			if err != nil {
				return err
			}
			possible := p.mayBeService(name)
			if !possible {
				other, err := letteredService(p.Cluster.Cached(), pod.Namespace, name)
				if err != nil {
					return err
				}
				missing = field.Invalid(path, name, needsLetter+"the Pod has no DNS name: its Service is refused")
				mend = setting(path, other, 2).and(serviceOf(pod.Namespace, other, selector, nil, false)).Text()
			}
			if len(meant) == 1 {
				mend = fmt.Sprintf("spec: {subdomain: %s}", meant[0])
				if _, asked := pod.Labels[cluster.LabelSubdomain]; asked {
					mend = fmt.Sprintf("metadata: {labels: {%s: %s}}", cluster.LabelSubdomain, meant[0])
				}
			}
			if !possible {
				p.Report(missing, p.Mend(mend, "make the Pod again with "+mend))
				break
			}
			p.Report(missing, p.Mend(mend, fmt.Sprintf("kubectl create service clusterip %s --clusterip=None -n %s && %s", name,
				pod.Namespace, setSelector(name, pod.Namespace, selector))))
		case svc.Spec.Type == corev1.ServiceTypeExternalName:
			p.Report(field.Invalid(path, name,
				"must select the Pod; this one is an alias of "+svc.Spec.ExternalName+" and names no Pods"),
				p.unaliased(svc, selector))
		case len(svc.Spec.Selector) == 0:
			p.Report(field.Invalid(path, name,
				"must name a Service that selects the Pod; this one selects nothing, so only EndpointSlices made by hand name "+
					"the Pod"), p.selecting(svc, selector))
			p.brieflySelecting(svc, selector)
		case !cluster.Selects(svc, pod.Labels):
			// Other Pods that the Service selects must keep their names: it
			// stays.
			p.Report(field.Invalid(path, name,
				"must name a Service that selects the Pod; this one selects "+
					short(labels.FormatLabels(svc.Spec.Selector))+", so the Pod has no DNS name"),
				"the subdomain of a headless Service of its own", "; or, if it belongs to these, "+p.Mend(
					fmt.Sprintf("metadata: {labels: %s}", flowYAML(svc.Spec.Selector)),
					fmt.Sprintf("kubectl label --overwrite pod %s -n %s %s",
						cmp.Or(pod.Name, "NAME"), pod.Namespace, strings.Join(unmatched(svc.Spec.Selector, pod.Labels), " "))))
		}
		return nil
	})},
}

// injected says whether the mutator gives a name to a Pod without a hostname
// that did not ask for one: the Pod names a headless Service, and no other
// headless Service selects it.
func injected(v *cluster.View, pod *corev1.Pod) (bool, error) {
	if pod.Name != "" && len(validation.IsDNS1123Label(pod.Name)) > 0 {
		return false, nil
	}
	headless, err := cluster.Injected(v, pod)
	return err == nil && len(headless) == 1 && headless[0] == pod.Spec.Subdomain, err
}

// named returns the field that gives a Pod its hostname: the label, unless the
// mutator leaves the name to the author.
func named(pod *corev1.Pod) string {
	if pod.Spec.HostNetwork || pod.Spec.HostnameOverride != nil {
		return fmt.Sprintf("spec: {hostname: %s}", cut(cmp.Or(pod.Name, "<name>"), validation.DNS1123LabelMaxLength))
	}
	return fmt.Sprintf("metadata: {labels: {%s: %s}}", cluster.LabelSubdomain, pod.Spec.Subdomain)
}

// hostnameMissing reports a Pod that has no hostname and will not get one.
func hostnameMissing(p *Pass, pod *corev1.Pod) error {
	if _, asked := pod.Labels[cluster.LabelSubdomain]; asked || pod.Spec.Hostname != "" {
		return nil // pod-identity-skipped
	}
	if named, err := injected(p.Cluster, pod); err != nil || named {
		return err
	}
	p.Report(field.Required(field.NewPath("spec", "hostname"),
		"must be set beside a subdomain; without it the Pod has no DNS name of its own"),
		"make the Pod again with "+named(pod))
	return nil
}
