package validators

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetServiceSelector = &Rule{
	Name:  "statefulset-service-selector",
	Level: Warn,
	Loses: LosesName,
	Reads: []cluster.Object{&appsv1.StatefulSet{}, &corev1.Service{}},
	Doc: `the Service that a StatefulSet names must select its Pods

A Pod has a DNS name only while it is an endpoint of the Service that
spec.serviceName names, that is, while the Service's selector matches the labels
of the template. A Service without a selector has only the endpoints that
somebody writes by hand.

Set the Service's selector to labels of the template, preferably to those of the
StatefulSet's own selector, which never change. Do not use labels that change
with every release, such as a version.`,

	Exempt: "something else writes the endpoints of the Service, as Patroni does",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		svc, err := governingService(p.Cluster, sts)
		if err != nil || svc == nil || cluster.Selects(svc, sts.Spec.Template.Labels) {
			return err // statefulset-service-missing
		}
		if svc.Spec.Type == corev1.ServiceTypeExternalName {
			return nil // statefulset-service-headless
		}
		what := "must name a Service that selects the Pods; this has no selector, so only EndpointSlices made by hand name " +
			"them"
		if len(svc.Spec.Selector) > 0 {
			what = fmt.Sprintf("must name a Service that selects the Pods; this one wants %s, so they get no DNS names",
				cluster.Few(unmatched(svc.Spec.Selector, sts.Spec.Template.Labels)))
		}
		others, err := alsoNaming(p.Cluster.Cached(), sts, svc.Name) // which must not lose the Service by the remedy
		if known(err) != nil {
			return err
		}
		var fix *Fix
		remedy := ""
		on := labelsOfAll(append([]*appsv1.StatefulSet{sts}, others...))
		mended := len(on) > 0 && cluster.Headless(svc) // an existing virtual IP stays
		if mended {
			remedy = p.selecting(svc, on)
		} else {
			name, unnamed := newHeadlessName(p.Cluster.Cached(), sts, sts.Name)
			if known(unnamed) != nil {
				return unnamed
			}
			err = cmp.Or(err, unnamed)
			fix = withService(sts, name, memberLabels(sts), 110)
			remedy = fix.Text()
		}
		p.Report(field.Invalid(serviceNamePath, svc.Name, what), remedy)
		p.Fix(fix)
		if mended {
			p.brieflySelecting(svc, on)
		}
		return err
	}).Of("spec.serviceName", "spec.template.metadata.labels")},
}

// unmatched returns, sorted, what a selector requires and labels do not have.
func unmatched(selector, on map[string]string) (want []string) {
	for _, k := range slices.Sorted(maps.Keys(selector)) {
		if v, ok := on[k]; !ok || v != selector[k] {
			want = append(want, k+"="+selector[k])
		}
	}
	return want
}
