package validators

import (
	"cmp"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetServiceHeadless = &Rule{
	Name:  "statefulset-service-headless",
	Level: Deny,
	Loses: LosesName,
	Reads: []cluster.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}},
	Runs: aPod(func(sts *appsv1.StatefulSet, r remnant) bool {
		return r.spec.Subdomain == sts.Spec.ServiceName
	}),
	Doc: `the Service that a StatefulSet names must be headless

The name of a headless Service resolves to the addresses of all Pods, and the
members of a database find each other by these. The name of any other Service
resolves to one virtual IP, where each connection may reach another Pod.
serviceName can never be changed, nor the clusterIP of such a Service.

Create a second, headless Service (clusterIP: None) and name that one; clients
may keep the first. For a StatefulSet that exists: kubectl delete statefulset
NAME --cascade=orphan, which leaves Pods and claims alone, and apply it again
with the other serviceName.

The rule denies only where clients must reach each member by its own name. Then
the StatefulSet has more than one replica, the Service selects them, and either
each has a claim, or the command, arguments or environment of its containers
contain the name of one of the Pods under that Service (NAME-0.SERVICE); lint
and audit look for that name in every workload of the namespace. In other cases,
such as a proxy or a Service of type ExternalName, the rule warns. A Service
that does not select the Pods is reported by statefulset-service-selector alone.`,

	Exempt: "nobody needs to reach a member in particular: any of them answers for all",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		svc, err := governingService(p.Cluster, sts)
		if err != nil || svc == nil || cluster.Headless(svc) {
			return err // statefulset-service-name, statefulset-service-missing
		}
		if svc.Spec.Type != corev1.ServiceTypeExternalName && !cluster.Selects(svc, sts.Spec.Template.Labels) {
			return nil // statefulset-service-selector
		}
		outside := svc.Spec.Type == corev1.ServiceTypeExternalName
		var apart bool
		var unknown error // an object of an unknown kind might make the finding graver
		if !outside {
			if apart, unknown = toldApart(p.Cluster, sts, svc); known(unknown) != nil {
				return unknown
			}
		}
		wrong := field.Invalid(serviceNamePath, svc.Name,
			"must name a headless Service; this one resolves to one virtual IP, not to the Pods, and cannot be changed later")
		if apart && p.Provisional() {
			p.Report(wrong)
			return unknown
		}
		name, err := newHeadlessName(p.Cluster.Cached(), sts, svc.Name, sts.Name) // for the remedy
		if known(err) != nil {
			return err
		}
		unknown = cmp.Or(err, unknown)
		switch {
		case outside:
			p.Warn(field.Invalid(serviceNamePath, svc.Name,
				"must name a headless Service; this one is an alias of "+svc.Spec.ExternalName+" and gives no Pod a name"),
				headlessBeside(sts, name))
			return unknown
		case !apart:
			p.Warn(field.Invalid(serviceNamePath, svc.Name,
				"must name a headless Service, or its name leads to one virtual IP, not to the Pods"),
				headlessBeside(sts, name))
			return unknown
		}
		own, err := ownHeadless(p.Cluster.Cached(), sts) // for the remedy
		if known(err) != nil {
			return err
		}
		unknown = cmp.Or(err, unknown)
		var fix *Fix
		var remedy string
		if own != "" {
			fix = setting(serviceNamePath, own, 1)
			remedy = fix.Text() + selectsThese
		} else {
			labels, first, err := ownLabels(p.Cluster.Cached(), sts)
			if known(err) != nil {
				return err
			}
			unknown = cmp.Or(err, unknown)
			fix = withService(sts, name, labels, 280)
			if remedy = first + fix.Text(); first != "" {
				fix = nil // labels come first
			}
		}
		p.Report(wrong, remedy)
		p.Fix(fix)
		return unknown
	})},
}

// headlessBeside returns the remedy of a warning, which has no room for the
// Service.
func headlessBeside(sts *appsv1.StatefulSet, name string) string {
	fields := "clusterIP: None"
	if meets(sts) {
		fields += ", publishNotReadyAddresses: true"
	}
	return fmt.Sprintf("serviceName: %s, a Service with %s", name, fields)
}

// ownHeadless returns the name of a headless Service that selects the Pods of a
// StatefulSet and no others, unless others are meant; or "". If a kind is not
// known, the known kinds decide, and the error is [cluster.ErrUnknown].
func ownHeadless(v *cluster.View, sts *appsv1.StatefulSet) (string, error) {
	names, err := cluster.HeadlessFor(v, sts.Namespace, sts.Spec.Template.Labels)
	if err != nil {
		return "", err
	}
	var unknown error
	for _, name := range names {
		svc, err := cluster.Get[corev1.Service](v, sts.Namespace, name)
		if err != nil {
			return "", fmt.Errorf("get Service %s: %w", name, err)
		}
		if svc == nil {
			continue
		}
		beside, err := sharing(v, sts, svc)
		if known(err) != nil {
			return "", err
		}
		if unknown = err; len(beside) == 0 {
			return name, unknown
		}
	}
	return "", unknown
}

// toldApart says whether anything must tell apart the Pods of a StatefulSet
// that are behind a Service with a virtual IP. If a kind is not known, the
// known kinds decide, and the error is [cluster.ErrUnknown].
func toldApart(v *cluster.View, sts *appsv1.StatefulSet, svc *corev1.Service) (bool, error) {
	switch {
	case svc.DeletionTimestamp != nil: // a headless one may take its place
		return false, nil
	case replicasOf(sts.Spec.Replicas) <= 1:
		return false, nil
	case len(sts.Spec.VolumeClaimTemplates) > 0, addressed(&sts.Spec.Template.Spec, sts.Name, svc.Name, true):
		return true, nil
	case v.Admission(): // the caches do not hold the commands of containers
		return false, nil
	}
	all, err := templatesIn(v, sts.Namespace)
	if known(err) != nil {
		return false, err
	}
	for _, spec := range all {
		if addressed(spec, sts.Name, svc.Name, false) {
			return true, nil
		}
	}
	return false, err
}
