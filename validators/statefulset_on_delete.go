package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statefulsetOnDelete = &Rule{
	Name:  "statefulset-on-delete",
	Level: Warn,
	Loses: LosesTime,
	Style: true,
	Doc: `a StatefulSet should replace its Pods by itself when its template changes

With the update strategy OnDelete nothing happens when the template changes:
each Pod keeps the old one until somebody deletes it. When a node fails months
later, its Pod comes back with another version than the rest of the set.

Use RollingUpdate, which replaces one Pod after the other and waits for each, and
its partition to hold some of them back. Where an operator deletes the Pods,
exempt the StatefulSet.`,

	Exempt: "somebody or an operator decides which member is next, as where each must be unsealed",

	Checks: []Check{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			if onDelete(sts) {
				p.Report(field.Invalid(strategyPath, "OnDelete",
					"must be RollingUpdate, or Pods keep an old template until somebody deletes them, or a node fails"),
					"updateStrategy: {type: RollingUpdate}")
			}
			return nil
		}),
		OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
			if !onDelete(sts) || equality.Semantic.DeepEqual(old.Spec.Template, sts.Spec.Template) {
				return nil // the Pods match the template
			}
			all := ordinals(sts)
			if all.n == 0 {
				return nil // no Pod is left with the old template
			}
			p.Report(field.Invalid(strategyPath, "OnDelete",
				fmt.Sprintf("cannot bring the new template to %s until somebody deletes each", all.pods(sts.Name))),
				"updateStrategy: {type: RollingUpdate}",
				fmt.Sprintf(", or kubectl delete pod %s-%d -n %s, then the next", sts.Name, all.end()-1, sts.Namespace))
			return nil
		}),
	},
}

var strategyPath = field.NewPath("spec", "updateStrategy", "type")

func onDelete(sts *appsv1.StatefulSet) bool {
	return sts.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
}
