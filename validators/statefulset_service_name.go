package validators

import (
	"cmp"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetServiceName = &Rule{
	Name:  "statefulset-service-name",
	Level: Deny,
	Loses: LosesName,
	Reads: []cluster.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}},
	Runs: aPod(func(_ *appsv1.StatefulSet, r remnant) bool {
		return r.hasOwnName() && r.spec.Subdomain == ""
	}),
	Doc: `a StatefulSet must name its headless Service

Each Pod gets the DNS name <pod>.<serviceName>.<namespace>, which stays the same
on whatever node it runs. Without serviceName a Pod has no DNS name, only an
address that changes with every restart, and the field cannot be added later:
the StatefulSet must be deleted and created again.

Set spec.serviceName to the headless Service (clusterIP: None) that selects
these Pods alone, or create one with a name that no other Service has and no
other StatefulSet names. With one replica the rule only warns. For a StatefulSet
that exists: kubectl delete statefulset NAME --cascade=orphan, which leaves Pods
and claims alone, and apply it again with the field.`,

	Exempt: "nobody addresses a single Pod, as with workers that fetch their tasks themselves",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		if sts.Spec.ServiceName != "" {
			return nil
		}
		err := field.Required(serviceNamePath,
			"must name a headless Service; without one no Pod gets a DNS name, and it cannot be added later")
		remedy, fix, unknown := serviceFor(p.Cluster.Cached(), sts)
		if known(unknown) != nil {
			return unknown
		}
		if replicasOf(sts.Spec.Replicas) > 1 {
			p.Report(err, remedy...)
		} else {
			p.Warn(err, remedy...)
		}
		p.Fix(fix)
		return unknown
	})},
}

// serviceFor returns the remedy for a StatefulSet that names no Service: the
// headless one that selects only its Pods, or else a new one with a free name.
// If Services are not known, either may be right. If any kind is not known, it
// returns a remedy together with the error [cluster.ErrUnknown]. The fix is nil
// where it is not certain.
func serviceFor(v *cluster.View, sts *appsv1.StatefulSet) (remedy Remedy, fix *Fix, unknown error) {
	own, unknown := ownHeadless(v, sts)
	if known(unknown) != nil {
		return nil, nil, unknown
	}
	if own != "" {
		fix = setting(serviceNamePath, own, 1)
		return Remedy{fix.Text() + selectsThese}, fix, unknown
	}
	name, unnamed := newHeadlessName(v, sts, sts.Name)
	if known(unnamed) != nil {
		return nil, nil, unnamed
	}
	labels, first, err := ownLabels(v, sts)
	if known(err) != nil {
		return nil, nil, err
	}
	fix = withService(sts, name, labels, 300)
	anew := first + fix.Text()
	switch {
	case unnamed != nil:
		remedy, fix = Remedy{"the headless Service that selects the Pods", ", or " + anew}, nil
	case first != "":
		remedy, fix = Remedy{anew}, nil // labels come first
	default:
		remedy = Remedy{anew}
	}
	return remedy, fix, cmp.Or(unknown, unnamed, err)
}

// selectsThese says why a Service that is there is proposed.
const selectsThese = " (headless, selects these Pods)"
