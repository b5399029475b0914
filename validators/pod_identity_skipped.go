package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var podIdentitySkipped = &Rule{
	Name:  "pod-identity-skipped",
	Level: Warn,
	Loses: LosesName,
	Doc: `a Pod that asks for a DNS name by label must be able to have one

The label stayput.dev/subdomain asks for the DNS name <hostname>.<Service>, with
the Pod's name as hostname. Stayput cannot give it to a Pod that has no hostname
of its own (hostNetwork), whose containers see another hostname
(hostnameOverride), whose name is no DNS label, or whose full name is too long
for setHostnameAsFQDN. Nor does it change a hostname or a subdomain that is
already set. Such a Pod starts without the name, and can never get it later.

If the template of a Deployment has hostNetwork or a hostnameOverride, the
finding is about the Deployment, whose author can correct it, and not about each
of its Pods.

Remove what stands in the way, or the label. The Pods of a StatefulSet have names
under its serviceName; there the label has no effect.`,

	Versions: []*cluster.Feature{hostnameOverride},

	Exempt: "the label comes with a template that other Pods share, and this one needs no name",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		service, asked := sts.Spec.Template.Labels[cluster.LabelSubdomain]
		if asked && service != sts.Spec.ServiceName {
			path := field.NewPath("spec", "template", "metadata", "labels").Key(cluster.LabelSubdomain)
			p.Report(field.Invalid(path, short(service),
				"must be the serviceName, or not be there; it has no effect on the names of these Pods"),
				"remove the label "+cluster.LabelSubdomain+" from the template")
		}
		return nil
		// A Pod can get a name only at creation.
	}).Of("spec.serviceName", "spec.template.metadata.labels[stayput.dev/subdomain]"),
		On(func(p *Pass, d *appsv1.Deployment) error {
			template := &d.Spec.Template
			service, asked := template.Labels[cluster.LabelSubdomain]
			if !asked || len(validation.IsDNS1123Label(service)) > 0 { // stayput-annotation
				return nil
			}
			without := "; no DNS name under Service " + service
			switch spec := &template.Spec; {
			case spec.HostNetwork:
				p.Report(field.Invalid(podSpecPath.Child("hostNetwork"), true,
					"must not be set; each Pod has its node's hostname"+without),
					"remove hostNetwork from the template", "; or, remove the label "+cluster.LabelSubdomain+" from the template")
			case spec.HostnameOverride != nil && p.keeps(hostnameOverride):
				path := podSpecPath.Child("hostnameOverride")
				p.ReportFix(field.Invalid(path, *spec.HostnameOverride, "must not be set; no Pod would know its own name"+without),
					removing("the template", path))
			}
			return nil
		}).Of("spec.template.metadata.labels[stayput.dev/subdomain]", "spec.template.spec.hostNetwork",
			"spec.template.spec.hostnameOverride"),
		OnCreate(func(p *Pass, pod *corev1.Pod) error {
			service, asked := pod.Labels[cluster.LabelSubdomain]
			if !asked || len(validation.IsDNS1123Label(service)) > 0 { // stayput-annotation
				return nil
			}
			if pod.Spec.Hostname != "" && pod.Spec.Subdomain == service || ofStatefulSet(pod) {
				return nil // it has a name, or the finding is about its StatefulSet
			}
			if ofDeployment(pod) && (pod.Spec.HostNetwork || pod.Spec.HostnameOverride != nil) {
				return nil // its Deployment is reported
			}
			if err, remedy := p.inTheWay(pod, service); err != nil {
				p.Report(err, remedy...)
			}
			return nil
		})},
}

// inTheWay returns what keeps a Pod from getting a name under a Service, and
// how to remove it.
func (p *Pass) inTheWay(pod *corev1.Pod, service string) (err *field.Error, remedy Remedy) {
	spec, path := &pod.Spec, specPath
	without := fmt.Sprintf("; no DNS name under Service %s", service)
	_, mirror := pod.Annotations[cluster.AnnotationMirror]
	switch {
	case mirror:
		return field.Forbidden(field.NewPath("metadata", "annotations").Key(cluster.AnnotationMirror),
				"cannot be named here; this is the image of a static Pod"+without),
			Remedy{"set hostname and subdomain in the manifest on the node"}
	case spec.HostNetwork:
		return field.Invalid(path.Child("hostNetwork"), true, "must not be set; the Pod has the node's hostname"+without),
			Remedy{"remove hostNetwork and create the Pod again", ", or remove the label " + cluster.LabelSubdomain}
	case spec.HostnameOverride != nil && p.keeps(hostnameOverride):
		return field.Invalid(path.Child("hostnameOverride"), *spec.HostnameOverride,
				"must not be set; the Pod would not know its DNS name"+without),
			Remedy{"remove hostnameOverride and create the Pod again"}
	case spec.Subdomain != "" && spec.Subdomain != service:
		return field.Invalid(path.Child("subdomain"), spec.Subdomain,
				"must be what the label "+cluster.LabelSubdomain+" says"+without),
			Remedy{"remove subdomain and create the Pod again", ", or metadata: {labels: {" + cluster.LabelSubdomain + ": " +
				spec.Subdomain + "}}"}
	case spec.Hostname != "":
		return field.Required(path.Child("subdomain"), "must be set beside a hostname"+without),
			Remedy{"remove hostname and create the Pod again", ", or spec: {subdomain: " + service + "}"}
	case pod.Name != "" && len(validation.IsDNS1123Label(pod.Name)) > 0:
		return field.Invalid(namePath, short(pod.Name),
				"must be a DNS label of at most 63 characters to be a hostname"+without),
			Remedy{"give the Pod a name without dots", ", or spec: {hostname: <name>, subdomain: " + service + "}"}
	case spec.SetHostnameAsFQDN != nil && *spec.SetHostnameAsFQDN && pod.Name != "":
		fqdn := fmt.Sprintf("%s.%s.%s.svc.%s", pod.Name, service, pod.Namespace, p.Cluster.ClusterDomain())
		if len(fqdn) > maxFQDN {
			return field.Invalid(path.Child("setHostnameAsFQDN"), true,
					fmt.Sprintf("must not be set for a name of %d characters, more than %d"+without, len(fqdn), maxFQDN)),
				Remedy{"remove it and create the Pod again", ", or use shorter names"}
		}
	}
	return nil, nil
}

// maxFQDN is the length of the longest name that Linux, and so the kubelet,
// accepts as a hostname.
const maxFQDN = 64
