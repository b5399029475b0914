package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statefulsetPartition = &Rule{
	Name:  "statefulset-partition",
	Level: Warn,
	Loses: LosesTime,
	Style: true,
	Doc: `a partition should be lowered again when a rollout is meant for all Pods

A rolling update does not update the first Pods, as many as the partition says.
A partition is useful to try a new version on the last Pod first. If it is
forgotten, the set runs two versions, and a Pod below the partition that is
replaced after a failure comes back with the old one. With a partition of as
many as there are replicas, no change of the template ever reaches any Pod.

Lower the partition step by step, to 0 in the end. It counts Pods, not ordinals:
where the ordinals start at 5, partition 1 holds back the Pod with ordinal 5.`,

	Exempt: "the partition is part of a staged rollout that a tool brings to its end",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		strategy, all := sts.Spec.UpdateStrategy, ordinals(sts)
		if !rolling(sts) || strategy.RollingUpdate == nil || strategy.RollingUpdate.Partition == nil || all.n == 0 {
			return nil
		}
		partition := *strategy.RollingUpdate.Partition
		if partition <= 0 {
			return nil
		}
		what := fmt.Sprintf("must be less than replicas, %d, or no Pod is ever updated", all.n)
		if int(partition) < all.n {
			held := span{all.start, int(partition)}
			what = fmt.Sprintf("must be 0 to update all Pods; it holds %s at the old template", held.pods(sts.Name))
		}
		p.Report(field.Invalid(field.NewPath("spec", "updateStrategy", "rollingUpdate", "partition"), partition, what),
			"rollingUpdate: {partition: 0}")
		return nil
	}).Of("spec.replicas", "spec.ordinals", "spec.updateStrategy")},
}

// rolling says whether a StatefulSet replaces its Pods in a rolling update,
// which is the default.
func rolling(sts *appsv1.StatefulSet) bool {
	t := sts.Spec.UpdateStrategy.Type
	return t == appsv1.RollingUpdateStatefulSetStrategyType || t == ""
}
