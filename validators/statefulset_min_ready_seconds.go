package validators

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statefulsetMinReadySeconds = &Rule{
	Name:  "statefulset-min-ready-seconds",
	Level: Off,
	Loses: LosesTime,
	Style: true,
	Doc: `an update should wait until the Pod it has replaced stays ready

A rolling update replaces the next Pod when the last is available: ready for
minReadySeconds. With 0, the default, a Pod is available as soon as its probe
succeeds once, even if it fails a second later, and a bad update replaces the
whole set. Set minReadySeconds to a time after which a member is known to work.

The rule is off by default: 125 of 131 replicated StatefulSets in public charts
leave the field out, and a readinessProbe that succeeds only when the member
takes part gives most of the protection. With one replica, or another update
strategy, the field is not needed.`,

	Exempt: "the readinessProbe itself answers only once the member stays",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		if !rolling(sts) || replicasOf(sts.Spec.Replicas) <= 1 || sts.Spec.MinReadySeconds > 0 {
			return nil
		}
		path := specPath.Child("minReadySeconds")
		p.ReportFix(field.Invalid(path, sts.Spec.MinReadySeconds,
			"must be over 0, or an update replaces the next Pod the moment that the last is ready, even if it fails at once"),
			setting(path, 10, 1))
		return nil
	}).Of("spec.replicas > 1", "spec.updateStrategy.type", "spec.minReadySeconds")},
}
