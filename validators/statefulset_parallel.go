package validators

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// parallelUpdates is the same gate as maxUnavailables.
var parallelUpdates = &cluster.Feature{
	With:    "a rolling update of such a StatefulSet, too, replaces at once all Pods that are not available",
	Without: "it replaces one after the other",
	Gate:    maxUnavailables.Gate, Gated: maxUnavailables.Gated, On: maxUnavailables.On,
}

var statefulsetParallel = &Rule{
	Name:  "statefulset-parallel",
	Level: Warn,
	Loses: LosesData,
	Style: true,
	Reads: []cluster.Object{&corev1.Service{}},
	Doc: `the Pods of a StatefulSet should start and stop one after the other

With podManagementPolicy: Parallel all Pods start and stop at once, and none
waits for the one before it. If the first member of a database creates the
cluster that the others join, several clusters may be created instead of one.
The field cannot be changed later.

Leave it out, which means OrderedReady, unless the application forms its cluster
by itself and members must meet to become ready. Such members need a governing
Service with publishNotReadyAddresses: true, and the rule is silent where there
is one. Where the Pods have a readinessProbe and the headless Service lacks that
field, the missing field is the mistake, and
statefulset-service-not-ready-addresses reports it.`,

	Versions: []*cluster.Feature{parallelUpdates},

	Exempt: "members elect their leader without DNS, or are independent of each other, as runners are",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		if sts.Spec.PodManagementPolicy != appsv1.ParallelPodManagement || replicasOf(sts.Spec.Replicas) <= 1 {
			return nil
		}
		svc, err := governingService(p.Cluster, sts)
		if err != nil || svc != nil && (svc.Spec.PublishNotReadyAddresses || meets(sts) && cluster.Headless(svc)) {
			return err // meant, or statefulset-service-not-ready-addresses reports it
		}
		path, others := specPath.Child("podManagementPolicy"), published(svc)
		fix := setting(path, string(appsv1.OrderedReadyPodManagement), 1)
		p.Report(field.Invalid(path, string(sts.Spec.PodManagementPolicy),
			"must be OrderedReady, or each Pod may begin a cluster; cannot be changed later"),
			fix.Text(), others)
		if others == "" { // or else its author knows which of the two is meant
			p.Fix(fix)
		}
		return nil
	})},
}

// published returns the other remedy: the field for members that must find each
// other before they are ready.
func published(svc *corev1.Service) string {
	if svc == nil || !cluster.Headless(svc) {
		return ""
	}
	return "; or, if they must meet to be ready, publishNotReadyAddresses: true in Service " + svc.Name
}
