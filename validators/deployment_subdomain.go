package validators

import (
	"cmp"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var deploymentSubdomain = &Rule{
	Name:  "deployment-subdomain",
	Level: Warn,
	Loses: LosesName,
	Reads: []cluster.Object{&corev1.Namespace{}, &corev1.Service{}},
	Doc: `a Deployment's template with a subdomain must ask for hostnames too, of a Service

A Pod has a DNS name of its own, <hostname>.<subdomain>, only if it has a
hostname and a subdomain. A Deployment that sets the subdomain alone gets
records such as 10-0-0-7.<subdomain>, which change with every restart. A
hostname in the template would be the same for all replicas; so label the
template stayput.dev/subdomain: <subdomain>, and Stayput gives every Pod its own
name as hostname. In a namespace with the label stayput.dev/inject: enabled
Stayput does so for every Pod.

The label or the subdomain must name a Service, or the names never resolve. If a
tool renamed the Service but not the reference, as kustomize's namePrefix does,
the remedy gives the new name.`,

	Versions: []*cluster.Feature{serviceDigits},

	Exempt: "only the subdomain is wanted, as the domain that processes see, and nobody resolves the Pods",

	Checks: []Check{On(func(p *Pass, dep *appsv1.Deployment) error {
		template := &dep.Spec.Template
		named := subdomainOf(template)
		label, asked := template.Labels[cluster.LabelSubdomain]
		if named == "" || label != "" && len(validation.IsDNS1123Label(label)) > 0 { // stayput-annotation
			return nil
		}
		missing, meant, unknown := p.serviceMissing(dep, named)
		injected, err := cluster.Injects(p.Cluster, dep.Namespace)
		if !p.presumed(err) {
			return err
		}
		path := podSpecPath.Child("subdomain")
		if !asked && template.Spec.Hostname == "" && !injected { // with a hostname, deployment-hostname reports it
			name := named
			if meant != "" {
				name, missing = meant, false // this name mends both
			}
			p.Report(field.Invalid(path, named,
				"must be accompanied by hostnames; without one no Pod has a DNS name of its own"),
				fmt.Sprintf("spec: {template: {metadata: {labels: {%s: %s}}}}", cluster.LabelSubdomain, name))
		}
		if label != "" {
			path = specPath.Child("template", "metadata", "labels").Key(cluster.LabelSubdomain)
		}
		switch {
		case unknown != nil:
			return unknown
		case missing && meant != "" && label != "":
			p.Report(notFound(path, named, "must name a Service; the Pods have no DNS names, and this is the headless one "+
				"that selects them: "+meant),
				fmt.Sprintf("spec: {template: {metadata: {labels: {%s: %s}}}}", cluster.LabelSubdomain, meant))
		case missing && meant != "":
			p.Report(notFound(path, named, "must name a Service; the Pods have no DNS names, and this is the headless one "+
				"that selects them: "+meant),
				fmt.Sprintf("spec: {template: {spec: {subdomain: %s}}}", meant))
		case missing && !p.mayBeService(named):
			return p.otherSubdomain(dep, path, named)
		case missing:
			selector := selectorFor(&corev1.Pod{ObjectMeta: template.ObjectMeta})
			p.ReportMend(notFound(path, named, "must name a Service; the Pods have no DNS names until there is one"),
				func() *Fix { return adding(serviceOf(dep.Namespace, named, selector, nil, false)) },
				func() string {
					return fmt.Sprintf("kubectl create service clusterip %s --clusterip=None -n %s && %s",
						named, dep.Namespace, setSelector(named, dep.Namespace, selector))
				})
		}
		return nil
	})},
}

// otherSubdomain reports a name in a template that no Service can have in all
// versions of Kubernetes that the API servers may have.
func (p *Pass) otherSubdomain(dep *appsv1.Deployment, path *field.Path, named string) error {
	other, err := letteredService(p.Cluster.Cached(), dep.Namespace, named)
	if err != nil {
		return err
	}
	selector := selectorFor(&corev1.Pod{ObjectMeta: dep.Spec.Template.ObjectMeta})
	shown := len(cluster.SplitPath(path.String()))
	p.ReportFix(field.Invalid(path, named, needsLetter+"the Pods have no DNS names: its Service is refused"),
		setting(path, other, shown).and(serviceOf(dep.Namespace, other, selector, nil, false)))
	return nil
}

// subdomainOf returns the Service that a template names by its label, or else
// by its subdomain.
func subdomainOf(template *corev1.PodTemplateSpec) string {
	return cmp.Or(template.Labels[cluster.LabelSubdomain], template.Spec.Subdomain)
}

// serviceMissing says whether no Service of a name exists. Meant is the one
// headless Service that selects a Deployment's Pods, or "".
func (p *Pass) serviceMissing(dep *appsv1.Deployment, name string) (missing bool, meant string, err error) {
	svc, err := cluster.Get[corev1.Service](p.Cluster, dep.Namespace, name)
	if err != nil {
		return false, "", fmt.Errorf("get Service %s: %w", name, err)
	}
	if svc != nil || p.comesLater(dep) {
		return false, "", nil
	}
	headless, err := cluster.HeadlessFor(p.Cluster, dep.Namespace, dep.Spec.Template.Labels)
	if err != nil || len(headless) != 1 {
		return true, "", err
	}
	return true, headless[0], nil
}
