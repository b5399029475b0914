package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var recreateStrategy = &cluster.Feature{
	With: "the strategy is taken", Without: "the API server refuses it",
	Gate: "StatefulSetRecreateStrategy", Gated: cluster.Version{Minor: 37},
	On: []cluster.Span{{From: cluster.Version{Minor: 38}}},
}

var statefulsetRecreate = &Rule{
	Name:  "statefulset-recreate",
	Level: Warn,
	Loses: LosesTime,
	Style: true,
	Doc: `a StatefulSet should not stop all its Pods for an update

With the update strategy Recreate every change of the template deletes all Pods
at once, and the first new one is made only when the last old one is gone: until
then no member answers, and a database that needs a majority of its members
stops. Neither a partition nor maxUnavailable holds any of them back.

Use RollingUpdate, which replaces one Pod after the other and waits for each. A
single replica is stopped in either case, and the rule ignores it.`,

	Versions: []*cluster.Feature{recreateStrategy},

	Exempt: "members of two versions must never run beside each other, so that an outage at each update is wanted",

	Checks: []Check{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			if recreates(sts) {
				reportRecreate(p)
			}
			return nil
		}),
		OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
			switch {
			case !recreates(sts):
			case recreates(old) && equality.Semantic.DeepEqual(old.Spec.Template, sts.Spec.Template):
			case replicasOf(old.Spec.Replicas) <= 1 || equality.Semantic.DeepEqual(old.Spec.Template, sts.Spec.Template):
				reportRecreate(p) // nothing is stopped yet
			default:
				p.ReportFix(field.Invalid(strategyPath, "Recreate", fmt.Sprintf(
					"must be RollingUpdate; with this template %s stop at once", ordinals(old).pods(sts.Name))), rollingStrategy())
			}
			return nil
		}),
	},
}

// rollingStrategy returns the fix of another strategy.
func rollingStrategy() *Fix {
	return setting(strategyPath, string(appsv1.RollingUpdateStatefulSetStrategyType), 2)
}

func reportRecreate(p *Pass) {
	what := "must be RollingUpdate, or each change of the template stops all Pods at once, and with them their quorum"
	if p.Cluster.Manifests() {
		switch p.has(recreateStrategy) {
		case cluster.Absent:
			what = "must be RollingUpdate: this version refuses Recreate, which since Kubernetes 1.38 stops all Pods at once"
		case cluster.OffByDefault:
			what = "must be RollingUpdate: the API server refuses Recreate, or with its gate on each change stops all Pods " +
				"at once"
		}
	}
	p.ReportFix(field.Invalid(strategyPath, "Recreate", what), rollingStrategy())
}

// recreates says whether an update of a StatefulSet stops several Pods at once,
// as the strategy Recreate has it.
func recreates(sts *appsv1.StatefulSet) bool {
	return sts.Spec.UpdateStrategy.Type == appsv1.RecreateStatefulSetStrategyType && replicasOf(sts.Spec.Replicas) > 1
}
