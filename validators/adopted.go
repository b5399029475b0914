package validators

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
)

// A remnant is left from a workload that was deleted without its dependents,
// and is adopted by the new workload of that name: a Pod of a StatefulSet, or
// the ReplicaSet of a Deployment.
type remnant struct {
	pods int                // number of Pods that it stands for
	meta *metav1.ObjectMeta // of the Pod, or of the template of the ReplicaSet
	spec *corev1.PodSpec    // likewise
}

// Remnants are all that is left from one workload: at least one.
type remnants struct {
	all      []remnant
	mounting map[string]int  // how many of their Pods mount a claim, by the claim's name
	own      map[string]bool // volumes that are the claims of the Pod's own ordinal, by name
	ordinals map[int]bool    // of the Pods of a StatefulSet
}

func (rs *remnants) add(r remnant) {
	rs.all = append(rs.all, r)
	seen := map[string]bool{} // two volumes may be one claim
	for _, v := range r.spec.Volumes {
		if src := v.PersistentVolumeClaim; src != nil && !seen[src.ClaimName] {
			seen[src.ClaimName] = true
			rs.mounting[src.ClaimName] += r.pods
		}
	}
}

// any says whether holds is true for at least one remnant.
func (rs *remnants) any(holds func(remnant) bool) bool { return slices.ContainsFunc(rs.all, holds) }

// hasOwnName says whether the Pod has the hostname that a StatefulSet gives it.
func (r remnant) hasOwnName() bool { return r.spec.Hostname == r.meta.Name }

// A shown returns a function that says whether a denial of the creation of obj
// concerns something that the remnants show already.
type shown func(v *cluster.View, obj cluster.Object, left *remnants) (func(denial *Finding) bool, error)

// aPod is true where shows is true for at least one Pod of the StatefulSet.
func aPod(shows func(sts *appsv1.StatefulSet, r remnant) bool) shown {
	return func(_ *cluster.View, obj cluster.Object, left *remnants) (func(*Finding) bool, error) {
		sts := obj.(*appsv1.StatefulSet)
		return func(*Finding) bool { return left.any(func(r remnant) bool { return shows(sts, r) }) }, nil
	}
}

// severalMount is true where at least two Pods mount the claim of the finding.
func severalMount(_ *cluster.View, _ cluster.Object, left *remnants) (func(*Finding) bool, error) {
	return func(denial *Finding) bool { return left.mounting[fmt.Sprint(denial.BadValue)] > 1 }, nil
}

// haveClaim is true where a Pod has the claim of the finding's claim template.
func haveClaim(_ *cluster.View, _ cluster.Object, left *remnants) (func(*Finding) bool, error) {
	return func(denial *Finding) bool { return left.own[fmt.Sprint(denial.BadValue)] }, nil
}

// adopts returns the kinds of remnants that must be listed before the rule
// denies a creation.
func (r *Rule) adopts() (kinds []cluster.Object) {
	if r.Level != Deny && r.Refusal == nil {
		return nil
	}
	for gvk, kind := range map[schema.GroupVersionKind]cluster.Object{
		cluster.KindOf[*appsv1.StatefulSet](): &corev1.Pod{},
		cluster.KindOf[*appsv1.Deployment]():  &appsv1.ReplicaSet{},
	} {
		created := func(c Check) bool { return c.Kind == gvk && (c.When == Stored || c.When == Created) }
		if slices.ContainsFunc(r.Checks, created) {
			kinds = append(kinds, kind)
		}
	}
	slices.SortFunc(kinds, byType)
	return kinds
}

// Adopted returns, sorted, the kinds that are listed at the API server itself
// before one of the rules denies the creation of a workload, because remnants
// of the old workload must keep a controller. They need no informer.
func Adopted(rules []*Rule) (kinds []cluster.Object) {
	for _, r := range rules {
		for _, kind := range r.adopts() {
			if !slices.ContainsFunc(kinds, func(k cluster.Object) bool { return byType(k, kind) == 0 }) {
				kinds = append(kinds, kind)
			}
		}
	}
	slices.SortFunc(kinds, byType)
	return kinds
}

// byType compares objects by the names of their types.
func byType(a, b cluster.Object) int { return cmp.Compare(fmt.Sprintf("%T", a), fmt.Sprintf("%T", b)) }

// letRun lowers denials of a workload's creation to warnings if its Pods run
// already and show the problem: to refuse the workload would mend nothing, and
// would leave the Pods without a controller. A rule that saves data is lowered
// only as its Runs says. Where the source does not know what runs, denials
// stand.
func (r *Rule) letRun(v *cluster.View, kind schema.GroupVersionKind, old, obj cluster.Object,
	found []Finding) ([]Finding, error) {
	if !isNew(old, obj) || !slices.ContainsFunc(found, denies) {
		return found, nil
	}
	left, err := remnantsOf(v, obj)
	if err == nil && len(left.all) > 0 {
		found, err = r.afterWaiting(v, kind, obj, found, left)
	}
	if errors.Is(err, cluster.ErrUnknown) {
		return found, nil
	}
	return found, err
}

// isNew says whether an object is being created. One that exists is not: audit reviews
// it.
func isNew(old, obj cluster.Object) bool {
	return old == nil && obj != nil && obj.GetResourceVersion() == ""
}

// foreseeRemnants lets what letRun will list be listed together with what else is
// looked up again.
func foreseeRemnants(v *cluster.View, old, obj cluster.Object) {
	if !isNew(old, obj) {
		return
	}
	switch obj := obj.(type) {
	case *appsv1.StatefulSet:
		if match, ok := selectedBy(obj.Namespace, obj.Spec.Selector); ok {
			cluster.ForeseeList[corev1.PodList](v, match)
		}
	case *appsv1.Deployment:
		if match, ok := selectedBy(obj.Namespace, obj.Spec.Selector); ok {
			cluster.ForeseeList[appsv1.ReplicaSetList](v, match)
		}
	}
}

// afterWaiting waits, if the rule has Awaits, and lowers the denials that
// remain.
func (r *Rule) afterWaiting(v *cluster.View, kind schema.GroupVersionKind, obj cluster.Object, found []Finding,
	left *remnants) ([]Finding, error) {
	if r.Awaits != nil {
		now, err := r.Awaits(v, obj, left)
		if err != nil {
			return found, err
		}
		if now != nil {
			if found, err = r.run(&Pass{Cluster: now}, nil, obj); err != nil {
				return nil, err
			}
			v = now
		}
	}
	return found, r.lowerShown(v, obj, found, left)
}

func (r *Rule) lowerShown(v *cluster.View, obj cluster.Object, found []Finding, left *remnants) error {
	runs := func(*Finding) bool { return !r.SavesData }
	if r.Runs != nil {
		var err error
		if runs, err = r.Runs(v, obj, left); err != nil {
			return err
		}
	}
	for i := range found {
		if f := &found[i]; f.Level == Deny && runs(f) {
			f.Level = Warn
		}
	}
	return nil
}

// remnantsOf returns what a new workload will adopt.
func remnantsOf(v *cluster.View, obj cluster.Object) (*remnants, error) {
	left := &remnants{mounting: map[string]int{}, own: map[string]bool{}, ordinals: map[int]bool{}}
	var err error
	switch obj := obj.(type) {
	case *appsv1.StatefulSet:
		err = left.addPods(v, obj)
	case *appsv1.Deployment:
		err = left.addReplicaSets(v, obj)
	}
	return left, err
}

func (rs *remnants) addPods(v *cluster.View, sts *appsv1.StatefulSet) error {
	match, ok := selectedBy(sts.Namespace, sts.Spec.Selector)
	if !ok {
		return nil
	}
	pods, err := cluster.List[corev1.PodList](v, match)
	if err != nil {
		return fmt.Errorf("list Pods: %w", err)
	}
	wanted := ordinals(sts)
	for i := range pods.Items {
		pod := &pods.Items[i]
		n, ok := cluster.OrdinalOf(sts, pod.Name)
		if !ok || !wanted.has(n) || !ownPod(sts, pod) {
			continue
		}
		rs.add(remnant{1, &pod.ObjectMeta, &pod.Spec})
		rs.ordinals[n] = true
		for _, v := range pod.Spec.Volumes {
			if src := v.PersistentVolumeClaim; src != nil && src.ClaimName == cluster.ClaimName(sts, v.Name, n) {
				rs.own[v.Name] = true
			}
		}
	}
	return nil
}

func (rs *remnants) addReplicaSets(v *cluster.View, d *appsv1.Deployment) error {
	match, ok := selectedBy(d.Namespace, d.Spec.Selector)
	if !ok {
		return nil
	}
	sets, err := cluster.List[appsv1.ReplicaSetList](v, match)
	if err != nil {
		return fmt.Errorf("list ReplicaSets: %w", err)
	}
	for i := range sets.Items {
		set := &sets.Items[i]
		if set.DeletionTimestamp == nil && set.Status.Replicas > 0 && own(set, "Deployment", d.Name) {
			rs.add(remnant{int(set.Status.Replicas), &set.Spec.Template.ObjectMeta, &set.Spec.Template.Spec})
		}
	}
	return nil
}

// selectedBy returns what a selector selects in a namespace, and whether the API
// server accepts the selector.
func selectedBy(namespace string, selector *metav1.LabelSelector) (cluster.Selection, bool) {
	sel, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil || selector == nil {
		return cluster.Selection{}, false
	}
	return cluster.Selection{Namespace: namespace, Labels: sel}, true
}

// ownPod says whether a Pod with the name of a StatefulSet's Pod is alive and
// controlled by nobody else. A Pod that a StatefulSet of the same name controls
// counts as its own: when a StatefulSet is created, the old one is gone, or
// else the API server refuses the name.
func ownPod(sts *appsv1.StatefulSet, pod *corev1.Pod) bool {
	return live(pod) && own(pod, "StatefulSet", sts.Name)
}

func own(obj cluster.Object, kind, name string) bool {
	owner := metav1.GetControllerOfNoCopy(obj)
	if owner == nil {
		return true
	}
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	return err == nil && gv.Group == appsv1.GroupName && owner.Kind == kind && owner.Name == name
}
