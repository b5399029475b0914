package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var workloadSelectorOverlap = &Rule{
	Name:  "workload-selector-overlap",
	Level: Warn,
	Reads: []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}},
	Doc: `the selector of a StatefulSet or Deployment must match its own Pods only

Whatever goes by the selector takes the Pods of both workloads for one: an
autoscaler averages over them, kubectl logs and kubectl exec pick any, and after
a deletion with --cascade=orphan one controller adopts what the other has left.
The selector cannot be changed later.

Give the selector and the template a label that no other workload of the
namespace has, such as app.kubernetes.io/name or app.kubernetes.io/component.`,

	Exempt: "no autoscaler, budget or command goes by the selector, and it cannot be changed any more",

	Checks: []Check{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			return overlaps(p, sts, sts.Spec.Selector)
		}),
		OnCreate(func(p *Pass, d *appsv1.Deployment) error {
			return overlaps(p, d, d.Spec.Selector)
		}),
	},
}

func overlaps(p *Pass, obj client.Object, selector *metav1.LabelSelector) error {
	sel, err := selectorOf(selector)
	if err != nil || sel.Empty() || selector == nil {
		return nil // the API server refuses it
	}
	taken, err := workloadsBeside(p.Cluster, obj, sel)
	if len(taken) > 0 {
		if _, bad := metav1.LabelSelectorAsSelector(selector); bad != nil {
			return nil // so it does
		}
		key := "app.kubernetes.io/name"
		if slices.ContainsFunc(taken, func(w workload) bool { return w.labels[key] == obj.GetName() }) {
			key = "app.kubernetes.io/component" // parts of one application share its name
		}
		p.Report(field.Invalid(field.NewPath("spec", "selector"), short(formatSelector(selector)),
			fmt.Sprintf("must not match Pods of %s; autoscalers and kubectl take them for one; cannot be changed later", fewWorkloads(taken))),
			fmt.Sprintf("add %s: %s to selector and template", key, obj.GetName()))
	}
	return err
}
