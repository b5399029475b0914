package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"stayput.dev/cluster"
)

// budgetsFor returns the PodDisruptionBudgets that select the Pods of a
// StatefulSet, by name.
func budgetsFor(v *cluster.View, sts *appsv1.StatefulSet) (budgets []*policyv1.PodDisruptionBudget, err error) {
	selecting, err := cluster.Find(v, cluster.BudgetsBySelector, sts.Namespace,
		cluster.LabelKeys(sts.Spec.Template.Labels)...)
	if err != nil {
		return nil, fmt.Errorf("list PodDisruptionBudgets: %w", err)
	}
	for _, pdb := range selecting {
		if pdb.DeletionTimestamp == nil && matchesLabels(pdb.Spec.Selector, sts.Spec.Template.Labels) {
			budgets = append(budgets, pdb)
		}
	}
	slices.SortFunc(budgets, func(a, b *policyv1.PodDisruptionBudget) int { return strings.Compare(a.Name, b.Name) })
	return budgets, nil
}

// meantFor says whether a budget may be meant for the Pods of a StatefulSet
// although it does not select its template: its labels may be added to the Pods
// at run time, or it belongs to the operator that owns the StatefulSet.
func meantFor(v *cluster.View, sts *appsv1.StatefulSet) (bool, error) {
	// The budget may be indexed by a label that the template does not have yet.
	all, err := cluster.List[policyv1.PodDisruptionBudgetList](v, cluster.InNamespace(sts.Namespace))
	if err != nil {
		return false, fmt.Errorf("list PodDisruptionBudgets: %w", err)
	}
	owner := cluster.ForeignController(sts)
	for i := range all.Items {
		pdb := &all.Items[i]
		if pdb.DeletionTimestamp == nil && (owner != nil && ownedToo(pdb, owner) ||
			mayMatch(pdb.Spec.Selector, sts.Spec.Template.Labels)) {
			return true, nil
		}
	}
	return false, nil
}

// ownedToo says whether owner owns an object too. Manifests do not know its
// uid.
func ownedToo(obj cluster.Object, owner *metav1.OwnerReference) bool {
	return slices.ContainsFunc(obj.GetOwnerReferences(), func(o metav1.OwnerReference) bool {
		return o.UID == owner.UID && o.Kind == owner.Kind && o.Name == owner.Name
	})
}

// mayMatch says whether a selector may match once labels are added to on: on
// has at least one label that the selector requires, and contradicts none.
func mayMatch(sel *metav1.LabelSelector, on map[string]string) bool {
	wanted, err := selectorOf(sel)
	if err != nil {
		return false
	}
	requirements, selectable := wanted.Requirements()
	known := 0
	for _, r := range requirements {
		if _, there := on[r.Key()]; !there {
			continue
		}
		if !r.Matches(labels.Set(on)) {
			return false
		}
		known++
	}
	return selectable && known > 0
}

// neverAllows returns the reason why a budget can never allow an eviction, even
// with all Pods of a StatefulSet healthy, or "". If one kind of workload is not
// known, the other decides, and the error is [cluster.ErrUnknown].
func neverAllows(v *cluster.View, pdb *policyv1.PodDisruptionBudget, sts *appsv1.StatefulSet) (string, error) {
	own := replicasOf(sts.Spec.Replicas)
	field, value := "minAvailable", pdb.Spec.MinAvailable
	if pdb.Spec.MaxUnavailable != nil {
		field, value = "maxUnavailable", pdb.Spec.MaxUnavailable
	}
	if value == nil {
		return "neither minAvailable nor maxUnavailable", nil
	}
	if disruptionsAllowed(pdb.Spec, own) {
		return "", nil
	}
	// The budget may count Pods of other workloads as well.
	sel, err := selectorOf(pdb.Spec.Selector)
	if err != nil {
		return "", nil // it matched
	}
	others, unknown := workloadsBeside(v, sts.Namespace, sel, sts)
	if known(unknown) != nil {
		return "", unknown
	}
	for _, w := range others {
		own += w.replicas
	}
	if disruptionsAllowed(pdb.Spec, own) {
		return "", nil
	}
	return fmt.Sprintf("%s %s", field, value), unknown
}

// disruptionsAllowed says whether a budget allows an eviction while all of that
// many Pods are healthy. Source: k8s.io/kubernetes@v1.37.1
// pkg/controller/disruption/disruption.go, getExpectedPodCount and
// updatePdbStatus: percentages of both fields are rounded up.
func disruptionsAllowed(spec policyv1.PodDisruptionBudgetSpec, pods int) bool {
	desired := 0
	switch {
	case spec.MaxUnavailable != nil:
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, pods, true)
		if err != nil {
			return true // the API server refuses it
		}
		desired = max(pods-n, 0)
	case spec.MinAvailable != nil:
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, pods, true)
		if err != nil {
			return true
		}
		desired = n
	default:
		return false // no Pods are expected, so none may be evicted
	}
	return pods > desired
}
