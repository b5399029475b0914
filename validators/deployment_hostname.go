package validators

import (
	"cmp"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var deploymentHostname = &Rule{
	Name:  "deployment-hostname",
	Level: Deny,
	Loses: LosesName,
	Runs: func(_ *cluster.View, _ cluster.Object, left *remnants) (func(*Finding) bool, error) {
		return func(denial *Finding) bool {
			return left.any(func(r remnant) bool { return r.pods > 1 && r.spec.Hostname == denial.BadValue })
		}, nil
	},
	Doc: `the template of a Deployment must not fix a hostname

All Pods of a Deployment are made from one template, so they all get its
hostname. With a subdomain they share one DNS name, which resolves to all of
them, and no client can choose the Pod that it talks to. Without a subdomain
they have no DNS name, and all of them report the same hostname. Even one
replica is two Pods during a rolling update. Remove the hostname and label the
template stayput.dev/subdomain: <headless Service>: Stayput then gives every Pod
a DNS name of its own. A hostnameOverride has the same effect: several replicas
use one name, which no DNS server knows. Where a name must outlive its Pod, use
a StatefulSet.`,

	Versions: []*cluster.Feature{hostnameOverride},

	Exempt: "the replicas never run at once, or their hostname is part of a licence and nobody resolves it",

	Checks: []Check{On(func(p *Pass, dep *appsv1.Deployment) error {
		template := &dep.Spec.Template
		hostname, subdomain, replicas := template.Spec.Hostname, template.Spec.Subdomain, replicasOf(dep.Spec.Replicas)
		label := template.Labels[cluster.LabelSubdomain]
		named := label != "" && len(validation.IsDNS1123Label(label)) == 0 // of an override: pod-identity-skipped
		if shown := template.Spec.HostnameOverride; shown != nil && replicas > 1 && !named && p.keeps(hostnameOverride) {
			path := podSpecPath.Child("hostnameOverride")
			fix := removing("the template", path)
			p.Warn(field.Invalid(path, *shown,
				fmt.Sprintf("must not be set; all %d replicas call themselves by this one name, which DNS does not know",
					replicas)), fix.Text())
			p.Fix(fix)
		}
		if hostname == "" {
			return nil
		}
		what := "the hostname " + hostname + ", and have no DNS names"
		if subdomain != "" {
			what = "the DNS name " + hostname + "." + subdomain
		}
		path := podSpecPath.Child("hostname")
		fix := removing("", path)
		remedy := []string{fix.Text(), "; the label " + cluster.LabelSubdomain + " gives every Pod a name of its own"}
		if label == "" {
			fix.set(templateMetaPath.Child("labels").Key(cluster.LabelSubdomain), cmp.Or(subdomain, "<headless Service>"), 4)
			remedy = []string{fix.Text()}
		}
		if n := replicas; n > 1 {
			p.Report(field.Invalid(path, hostname, fmt.Sprintf("must not be set; its %d replicas share %s", n, what)), remedy...)
		} else {
			p.Warn(field.Invalid(path, hostname, "must not be set; the old and the new Pod of an update share "+what), remedy...)
		}
		if label != "" || subdomain != "" {
			p.Fix(fix)
		}
		return nil
	}).Of(
		"spec.replicas", "spec.template.spec.hostname", "spec.template.spec.hostnameOverride",
		"spec.template.spec.subdomain",
		"spec.template.metadata.labels[stayput.dev/subdomain]",
	)},
}
