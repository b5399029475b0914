package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetDisruptionBudget = &Rule{
	Name:      "statefulset-disruption-budget",
	Level:     Warn,
	Loses:     LosesTime,
	Style:     true,
	Companion: true,
	Reads:     []cluster.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &policyv1.PodDisruptionBudget{}},
	Doc: `a StatefulSet with replicas must have a PodDisruptionBudget that lets one go

Without a budget, a drain of several nodes evicts all their Pods at once, and a
database loses its majority during maintenance. If the budget never allows an
eviction (maxUnavailable 0, minAvailable equal to all replicas, a percentage
that is rounded up to all, neither field, or two budgets for one Pod), no node
with such a Pod can be drained until somebody deletes the budget.

Create one budget with maxUnavailable: 1, which is right for any number of
replicas. One replica needs no budget; a budget that never allows its eviction,
such as minAvailable: 1, also prevents the drain of its node.

The rule is silent where a budget may select the Pods although the template does
not show it: where the budget's selector has more labels than the template,
because an application may add them at run time, such as the role of a database
member; and where the operator that owns the StatefulSet also has a budget. With
a second budget, a Pod that both select could never be evicted.`,

	Exempt: "losing all members at once costs nothing, or an operator moves them before a node is drained",

	// One check is whether a budget exists, another whether it lets a Pod go:
	// the first need not be reported again with each change of replicas.
	Checks: []Check{
		On(oneBudget).Of("spec.replicas > 0", "spec.replicas > 1", "spec.template.metadata.labels"),
		On(budgetAllows).Of("spec.replicas", "spec.template.metadata.labels"),
	},
}

func oneBudget(p *Pass, sts *appsv1.StatefulSet) error {
	replicas := replicasOf(sts.Spec.Replicas)
	if replicas == 0 {
		return nil
	}
	budgets, err := budgetsFor(p.Cluster, sts)
	switch {
	case err != nil:
		return err
	case len(budgets) == 0:
		if replicas == 1 {
			return nil // a budget could do no more than keep a node from being drained
		}
		if meant, err := meantFor(p.Cluster, sts); meant || err != nil {
			return err
		}
		p.ReportMend(field.Invalid(replicasPath, replicas,
			"must come with a PodDisruptionBudget, or draining nodes may evict all Pods at once"),
			func() *Fix { return adding(budgetOf(sts)) },
			func() string {
				return fmt.Sprintf("kubectl create pdb %s -n %s --selector=%s --max-unavailable=1", sts.Name, sts.Namespace,
					labels.FormatLabels(memberLabels(sts)))
			})
	case len(budgets) > 1:
		p.Report(field.Invalid(replicasPath, replicas,
			fmt.Sprintf("must come with one PodDisruptionBudget; with both %s and %s no Pod can be evicted", budgets[0].Name,
				budgets[1].Name)),
			p.Mend("remove PodDisruptionBudget "+budgets[1].Name, fmt.Sprintf("kubectl delete pdb %s -n %s", budgets[1].Name,
				sts.Namespace)))
	}
	return nil
}

func budgetAllows(p *Pass, sts *appsv1.StatefulSet) error {
	replicas := replicasOf(sts.Spec.Replicas)
	if replicas == 0 {
		return nil
	}
	budgets, err := budgetsFor(p.Cluster, sts)
	if err != nil || len(budgets) != 1 {
		return err
	}
	pdb := budgets[0]
	stuck, err := neverAllows(p.Cluster, pdb, sts)
	if !p.presumed(err) || stuck == "" {
		return err
	}
	unset, without := "", ""
	if pdb.Spec.MinAvailable != nil {
		unset, without = `"minAvailable":null,`, ", without minAvailable" // either field excludes the other
	}
	fix := setting(specPath.Child("maxUnavailable"), 1, 1).
		in(cluster.KindOf[*policyv1.PodDisruptionBudget](), pdb).
		without("spec.minAvailable")
	p.Report(field.Invalid(replicasPath, replicas,
		fmt.Sprintf("must let a Pod go: budget %s has %s, so their nodes cannot be drained", pdb.Name, stuck)),
		p.Mend(fix.Text()+without,
			fmt.Sprintf(`kubectl patch pdb %s -n %s -p '{"spec":{%s"maxUnavailable":1}}'`, pdb.Name, sts.Namespace, unset)))
	p.Fix(fix)
	return nil
}

// budgetOf returns a budget for the Pods of a StatefulSet.
func budgetOf(sts *appsv1.StatefulSet) map[string]any {
	return map[string]any{
		"apiVersion": "policy/v1",
		"kind":       "PodDisruptionBudget",
		"metadata":   map[string]any{"name": sts.Name, "namespace": sts.Namespace},
		"spec":       map[string]any{"maxUnavailable": 1, "selector": map[string]any{"matchLabels": memberLabels(sts)}},
	}
}
