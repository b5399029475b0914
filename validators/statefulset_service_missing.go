package validators

import (
	"cmp"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetServiceMissing = &Rule{
	Name:      "statefulset-service-missing",
	Level:     Warn,
	Loses:     LosesName,
	Companion: true,
	Reads:     []cluster.Object{&appsv1.StatefulSet{}, &corev1.Service{}},
	Doc: `the Service that a StatefulSet names must exist

The DNS names of the Pods are made from the Service that spec.serviceName names.
Kubernetes does not create that Service: without it the Pods run, but cannot
find each other. It may be created after the StatefulSet, so the rule only
warns; the names resolve soon afterwards, unless a DNS cache still holds a
negative answer.

The finding contains a headless Service for the StatefulSet and for any others
that name the same Service. Save it in a file, adjust the ports, and apply it
with kubectl apply -f. If the Pods of these StatefulSets have no label in
common, one Service cannot select all of them, and the finding proposes another
name.`,

	Versions: []*cluster.Feature{serviceDigits},

	Exempt: "the members need no names, or another chart brings the Service later",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		name := sts.Spec.ServiceName
		if name == "" {
			return nil // statefulset-service-name
		}
		svc, err := governingService(p.Cluster, sts)
		switch {
		case err != nil:
			return err
		case svc != nil && (svc.ResourceVersion != "" || !p.Cluster.Manifests()):
			return nil // it is there, so it could be made
		case !p.mayBeService(name):
			return serviceImpossible(p, sts)
		case svc != nil:
			return nil
		}
		missing := field.NotFound(serviceNamePath, name)
		missing.Detail = "must exist, or no Pod has a DNS name"
		others, err := alsoNaming(p.Cluster.Cached(), sts, name) // for the remedy
		if known(err) != nil {
			return err
		}
		const room = 137 // runes of the rest of the warning, where names are short
		if on := labelsOfAll(append([]*appsv1.StatefulSet{sts}, others...)); len(on) > 0 || len(others) == 0 {
			p.ReportFix(missing, adding(headlessService(sts, name, on, room)))
			return err
		}
		// No one selector is right for all: the name is left to the others.
		own, unnamed := newHeadlessName(p.Cluster.Cached(), sts, sts.Name)
		if known(unnamed) != nil {
			return unnamed
		}
		p.ReportFix(missing, withService(sts, own, memberLabels(sts), room))
		return cmp.Or(err, unnamed)
	}).Of("spec.serviceName")},
}

// serviceImpossible reports a serviceName that, at some version of Kubernetes
// that the API servers may have, no Service can have.
func serviceImpossible(p *Pass, sts *appsv1.StatefulSet) error {
	name, unknown := newHeadlessName(p.Cluster.Cached(), sts, sts.Spec.ServiceName, sts.Name)
	if known(unknown) != nil {
		return unknown
	}
	p.ReportFix(field.Invalid(serviceNamePath, sts.Spec.ServiceName,
		needsLetter+"no Pod has a DNS name: its Service is refused"), withService(sts, name, memberLabels(sts), 110))
	return unknown
}
