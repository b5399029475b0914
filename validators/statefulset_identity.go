package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetIdentity = &Rule{
	Name:  "statefulset-identity",
	Level: Warn,
	Loses: LosesName,
	Doc: `the template of a StatefulSet must leave the names of the Pods alone

The StatefulSet gives each Pod its own hostname, <statefulset>-<ordinal>, and
spec.serviceName as subdomain. It ignores the hostname and the subdomain of the
template without an event, so the DNS name that the author expects does not
exist. A hostnameOverride is not ignored: every Pod then uses that one name,
which no DNS server knows, and members that register under it look like one
member.

Remove the fields. The DNS name of a Pod is
<statefulset>-<ordinal>.<serviceName>.<namespace>.`,

	Versions: []*cluster.Feature{hostnameOverride},

	Exempt: "the template is shared with other workloads, for which these fields matter",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		pod := &sts.Spec.Template.Spec
		path := podSpecPath
		if pod.Hostname != "" {
			p.ReportFix(field.Invalid(path.Child("hostname"), pod.Hostname,
				fmt.Sprintf("cannot be set, and is ignored: each Pod has its own name, as %s-%d", sts.Name, ordinals(sts).start)),
				removing("the template", path.Child("hostname")))
		}
		if pod.Subdomain != "" && pod.Subdomain != sts.Spec.ServiceName {
			p.ReportFix(field.Invalid(path.Child("subdomain"), pod.Subdomain,
				fmt.Sprintf("cannot be set, and is ignored: the Pods have serviceName, %q, as subdomain", sts.Spec.ServiceName)),
				removing("the template", path.Child("subdomain")))
		}
		if pod.HostnameOverride != nil && replicasOf(sts.Spec.Replicas) > 1 && p.keeps(hostnameOverride) {
			p.ReportFix(field.Invalid(path.Child("hostnameOverride"), *pod.HostnameOverride,
				"must not be set; all Pods call themselves by this one name, which DNS does not know"),
				removing("the template", path.Child("hostnameOverride")))
		}
		return nil
	}).Of(
		"spec.replicas > 1", "spec.ordinals", "spec.serviceName", "spec.template.spec.hostname",
		"spec.template.spec.subdomain", "spec.template.spec.hostnameOverride",
	)},
}
