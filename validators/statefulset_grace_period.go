package validators

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statefulsetGracePeriod = &Rule{
	Name:  "statefulset-grace-period",
	Level: Deny,
	Loses: LosesData,
	Runs: aPod(func(_ *appsv1.StatefulSet, r remnant) bool {
		seconds := r.spec.TerminationGracePeriodSeconds
		return seconds != nil && *seconds == 0
	}),
	Doc: `the Pods of a StatefulSet must have time to shut down

With terminationGracePeriodSeconds: 0 every deletion of a Pod is a forced
deletion: the API server removes the Pod at once, without waiting for the node,
and the StatefulSet starts another of the same name while the first may still be
running. Both write to one volume. A negative number counts as 1, and a few
seconds are rarely enough to flush and hand over.

Leave the field out, which means 30 seconds, or set it to what a clean shutdown
takes under load. The rule denies 0 and warns below 10.`,

	Exempt: "the application writes nothing, or survives being killed at any moment and starts faster for it",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		const fair = 10
		seconds := sts.Spec.Template.Spec.TerminationGracePeriodSeconds
		if seconds == nil || *seconds >= fair {
			return nil // nil means 30
		}
		path := podSpecPath.Child("terminationGracePeriodSeconds")
		fix := setting(path, corev1.DefaultTerminationGracePeriodSeconds, 1)
		remedy := fix.Text() + " or more"
		switch {
		case *seconds == 0:
			p.Report(field.Invalid(path, *seconds,
				"must not be 0, a force delete: a second Pod of the same name may start while the first writes the volume"), remedy)
		case *seconds < 0:
			p.Warn(field.Invalid(path, *seconds,
				"must not be negative, which counts as 1; the Pod is killed before it has saved its data"), remedy)
		default:
			p.Warn(field.Invalid(path, *seconds, "must be at least 10; the Pod may be killed before it has saved its data"),
				remedy)
		}
		p.Fix(fix)
		return nil
	}).Of("spec.template.spec.terminationGracePeriodSeconds")},
}
