package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var workloadSelectorOverlap = &Rule{
	Name:  "workload-selector-overlap",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}},
	Doc: `the selector of a StatefulSet or Deployment must match its own Pods only

Tools that use the selector cannot distinguish the Pods of the two workloads: an
autoscaler averages over all of them, kubectl logs and kubectl exec choose any
Pod, and after a deletion with --cascade=orphan one controller adopts the Pods
of the other. The selector cannot be changed later.

Give the selector and the template one more label that no other workload of the
namespace has, such as app.kubernetes.io/component. A label that the Pods have
already keeps its value, for Services select by it.`,

	Exempt: "no autoscaler, budget or command uses the selector, and it cannot be changed any more",

	Checks: []Check{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			return overlaps(p, sts, sts.Spec.Selector, sts.Spec.Template.Labels)
		}),
		OnCreate(func(p *Pass, d *appsv1.Deployment) error {
			return overlaps(p, d, d.Spec.Selector, d.Spec.Template.Labels)
		}),
	},
}

func overlaps(p *Pass, obj cluster.Object, selector *metav1.LabelSelector, podLabels map[string]string) error {
	sel, err := selectorOf(selector)
	if err != nil || sel.Empty() || selector == nil {
		return nil // the API server refuses it
	}
	taken, err := workloadsBeside(p.Cluster, obj.GetNamespace(), sel, obj)
	if len(taken) > 0 {
		if _, bad := metav1.LabelSelectorAsSelector(selector); bad != nil {
			return nil // the API server refuses this, too
		}
		p.Report(field.Invalid(field.NewPath("spec", "selector"), short(formatSelector(selector)),
			fmt.Sprintf("must not match Pods of %s; autoscalers and kubectl take them for one; cannot be changed later",
				fewWorkloads(taken, 5))),
			fmt.Sprintf("add %s: %s to selector and template", distinctKey(podLabels, taken, obj.GetName()), obj.GetName()))
	}
	return err
}

// distinctKey returns the key of a label that can hold the workload's name, to
// tell its Pods from those of others. The Pods do not have the key yet, because
// a Service may select them by its present value.
func distinctKey(podLabels map[string]string, others []workload, name string) string {
	fits := func(key string) bool {
		_, used := podLabels[key]
		return !used && !slices.ContainsFunc(others, func(w workload) bool {
			value, has := w.template.Labels[key]
			return has && value == name // a name that is still to be generated is empty
		})
	}
	for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/component"} {
		if fits(key) {
			return key
		}
	}
	key := "workload"
	for n := 2; !fits(key); n++ {
		key = fmt.Sprintf("workload-%d", n)
	}
	return key
}
