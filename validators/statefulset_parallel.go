package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/webhook/cluster"
)

var statefulsetParallel = &Rule{
	Name:  "statefulset-parallel",
	Level: Warn,
	Style: true,
	Doc: `the Pods of a StatefulSet should start and stop one after the other

With podManagementPolicy Parallel all Pods start and stop at once, none waits
for the one before it, and since Kubernetes 1.37 a rolling update, too, replaces
all Pods that are not available at once. A database whose first member makes the
cluster that the others join may so begin as several. The field cannot be
changed later.

Leave it out, which means OrderedReady, unless the application forms its cluster
by itself and members must meet to become ready. In that case write so:
exempt.stayput.dev/statefulset-parallel: "members elect their leader". A Service
that publishes not-ready addresses, as such members need, does not silence the
warning: that updates no longer wait either is news to most who wrote Parallel,
and a creation is the last moment to choose.`,

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		if sts.Spec.PodManagementPolicy != appsv1.ParallelPodManagement || replicasOf(sts.Spec.Replicas) <= 1 {
			return nil
		}
		p.Report(field.Invalid(field.NewPath("spec", "podManagementPolicy"), string(sts.Spec.PodManagementPolicy),
			"must be OrderedReady, or no member waits for another: each may begin a cluster of its own; cannot be changed later"),
			fmt.Sprintf("podManagementPolicy: OrderedReady; or, for a quorum, annotation %s: \"<why>\"", cluster.ExemptPrefix+p.rule.Name))
		return nil
	})},
}
