package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var percentOfUpdated = &cluster.Feature{
	With: "a percentage of maxUnavailable is one of the replicas above the partition", Without: "it is one of all",
	On: []cluster.Span{{From: cluster.Version{Minor: 38}}},
}

var statefulsetMaxUnavailable = &Rule{
	Name:  "statefulset-max-unavailable",
	Level: Warn,
	Loses: LosesTime,
	Doc: `an update must leave more than half of a StatefulSet's Pods at work

Where Kubernetes supports maxUnavailable, a rolling update deletes that many
Pods before it waits for any of the new ones. If that is half of the replicas, a
database that needs a majority of its members stops; if it is all of them, no
member is left to answer.

Leave the field out, which means 1, or keep it below half of the replicas. A
percentage is rounded down, to 1 at least. The Pods below a partition are not
updated, and stay.`,

	Versions: []*cluster.Feature{maxUnavailables, percentOfUpdated},

	Exempt: "all members must be of one version, so that an outage at each update is wanted",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		update, replicas := sts.Spec.UpdateStrategy.RollingUpdate, replicasOf(sts.Spec.Replicas)
		if !rolling(sts) || update == nil || update.MaxUnavailable == nil || replicas <= 1 ||
			!p.keeps(maxUnavailables) {
			return nil
		}
		updated := replicas
		if update.Partition != nil { // the first Pods are never updated
			updated -= int(min(max(*update.Partition, 0), int32(replicas)))
		}
		ofAll, ok := maxUnavailable(*update.MaxUnavailable, replicas)
		ofUpdated, _ := maxUnavailable(*update.MaxUnavailable, updated) // as Kubernetes 1.38 counts
		down, since := min(ofAll, updated), min(ofUpdated, updated)
		switch p.has(percentOfUpdated) {
		case cluster.Always:
			down = since
		case cluster.Absent:
			since = down
		}
		if !ok || down <= 1 || 2*down < replicas {
			return nil
		}
		what := fmt.Sprintf("must be less than half of the Pods; an update takes down %d of %d at once, and with them their "+
			"quorum", down, replicas)
		switch { // short where it says more, to fit into a warning
		case down == replicas:
			what = fmt.Sprintf("must be less than all Pods; an update takes down all %d at once, and with them their quorum",
				replicas)
		case 2*since < replicas:
			what = fmt.Sprintf("must be less than half; up to Kubernetes 1.37 it takes down %d of %d at once, and their quorum",
				down, replicas)
		case since != down:
			what = fmt.Sprintf("must be less than half; it takes down %d of %d at once (%d since Kubernetes 1.38), and their "+
				"quorum", down, replicas, since)
		}
		path := field.NewPath("spec", "updateStrategy", "rollingUpdate", "maxUnavailable")
		p.ReportFix(field.Invalid(path, update.MaxUnavailable.String(), what), setting(path, 1, 2))
		return nil
	}).Of("spec.replicas", "spec.updateStrategy")},
}

// maxUnavailable returns how many of the replicas may be unavailable, rounded
// as by the StatefulSet controller, or false if the API server refuses the
// value. Source: k8s.io/kubernetes@v1.37.1
// pkg/controller/statefulset/stateful_set_utils.go,
// getStatefulSetMaxUnavailable.
func maxUnavailable(value intstr.IntOrString, replicas int) (int, bool) {
	n, err := intstr.GetScaledValueFromIntOrPercent(&value, replicas, false)
	return max(n, 1), err == nil
}
