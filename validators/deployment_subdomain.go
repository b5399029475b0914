package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

var deploymentSubdomain = &Rule{
	Name:  "deployment-subdomain",
	Level: Warn,
	Reads: []client.Object{&corev1.Namespace{}},
	Doc: `a Deployment's template with a subdomain must ask for hostnames too

A Pod has a DNS name of its own, <hostname>.<subdomain>, only if it has both. A
Deployment that sets the subdomain alone gets records such as
10-0-0-7.<subdomain>, which change with every restart. A hostname in the template
would be the same for all replicas; so label the template
stayput.dev/subdomain: <subdomain>, and Stayput gives every Pod its own name as
hostname. In a namespace that is labelled stayput.dev/inject: enabled that is
done without being asked for.`,

	Exempt: "only the subdomain is wanted, as the domain that processes see, and nobody resolves the Pods",

	Checks: []Check{On(func(p *Pass, dep *appsv1.Deployment) error {
		template := &dep.Spec.Template
		subdomain := template.Spec.Subdomain
		if subdomain == "" || template.Spec.Hostname != "" { // deployment-hostname
			return nil
		}
		if _, asked := template.Labels[cluster.LabelSubdomain]; asked {
			return nil
		}
		if injected, err := injects(p.Cluster, dep.Namespace); err != nil || injected {
			return err
		}
		p.Report(field.Invalid(podSpecPath.Child("subdomain"), subdomain,
			"must be accompanied by hostnames; without one no Pod has a DNS name of its own"),
			fmt.Sprintf("spec: {template: {metadata: {labels: {%s: %s}}}}", cluster.LabelSubdomain, subdomain))
		return nil
	})},
}
