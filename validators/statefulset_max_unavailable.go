package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statefulsetMaxUnavailable = &Rule{
	Name:  "statefulset-max-unavailable",
	Level: Warn,
	Doc: `an update must not take down all Pods of a StatefulSet at once

Since Kubernetes 1.37 maxUnavailable is honoured by default: a rolling update
deletes that many Pods before it waits for any of the new ones. Where it covers
the whole set, no member is left to answer, and a database that is a majority of
its members has lost it.

Leave the field out, which means 1, or keep it below half of the replicas. A
percentage is rounded down, to 1 at least.`,

	Exempt: "all members must be of one version, so that an outage at each update is wanted",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		update, replicas := sts.Spec.UpdateStrategy.RollingUpdate, replicasOf(sts.Spec.Replicas)
		if !rolling(sts) || update == nil || update.MaxUnavailable == nil || replicas <= 1 {
			return nil
		}
		if update.Partition != nil && *update.Partition > 0 {
			return nil // the first Pods are never updated
		}
		down, ok := maxUnavailable(*update.MaxUnavailable, replicas)
		if !ok || down < replicas {
			return nil
		}
		p.Report(field.Invalid(field.NewPath("spec", "updateStrategy", "rollingUpdate", "maxUnavailable"),
			update.MaxUnavailable.String(),
			fmt.Sprintf("must be less than all Pods; an update takes down all %d at once, and with them their quorum",
				replicas)),
			"rollingUpdate: {maxUnavailable: 1}")
		return nil
	}).Of("spec.replicas", "spec.updateStrategy")},
}

// maxUnavailable returns how many of the replicas may be down, rounded as the
// StatefulSet controller does, or false if the API server refuses the value.
// Source: k8s.io/kubernetes@v1.37.1 pkg/controller/statefulset/stateful_set_utils.go,
// getStatefulSetMaxUnavailable.
func maxUnavailable(value intstr.IntOrString, replicas int) (int, bool) {
	n, err := intstr.GetScaledValueFromIntOrPercent(&value, replicas, false)
	return max(n, 1), err == nil
}
