package repair

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"stayput.dev/cluster"
)

// orphaned says whether a claim belongs to a StatefulSet that is being deleted
// without its Pods, or to a Pod that such a StatefulSet has left behind. The
// StatefulSet may be created again with a policy that deletes claims, and by
// then none of its volumes must be in danger.
func orphaned(v *cluster.View, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if pvc == nil {
		return false, nil
	}
	of, err := cluster.ClaimsOf(v, pvc)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(of, func(c cluster.ClaimOf) bool { return leavesOrphans(c.StatefulSet) }) {
		return true, nil
	}
	pods, err := cluster.Find(v, cluster.PodsByClaim, pvc.Namespace, pvc.Name)
	if err != nil {
		return false, fmt.Errorf("list Pods: %w", err)
	}
	return slices.ContainsFunc(pods, func(pod *corev1.Pod) bool {
		lives := pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded &&
			pod.Status.Phase != corev1.PodFailed
		return lives && cluster.Orphaned(&pod.ObjectMeta, pod.Spec.Hostname, pvc)
	}), nil
}

// leavesOrphans says whether an object is being deleted without its dependents.
func leavesOrphans(obj cluster.Object) bool {
	return obj.GetDeletionTimestamp() != nil && slices.Contains(obj.GetFinalizers(), metav1.FinalizerOrphanDependents)
}

// createdOrChanged selects the StatefulSets that are new, those that mount
// other claims by their names, and those whose deletion without their Pods
// begins.
func createdOrChanged() predicate.Predicate {
	p := created().(predicate.Funcs)
	p.UpdateFunc = func(e event.UpdateEvent) bool {
		return leavesOrphans(e.ObjectNew) && !leavesOrphans(e.ObjectOld) ||
			!slices.Equal(mountedBy(e.ObjectOld), mountedBy(e.ObjectNew))
	}
	return p
}

// mountedBy returns the claims that a StatefulSet mounts by their names.
func mountedBy(obj cluster.Object) []string {
	return cluster.ClaimsNamed(&obj.(*appsv1.StatefulSet).Spec.Template.Spec)
}

// left selects the Pods that lose their controller. Their StatefulSet may be
// gone by then, and the event of its deletion does not suffice: one cache may
// hold a change that another does not hold yet.
func left() predicate.Predicate {
	p := changed().(predicate.Funcs)
	p.UpdateFunc = func(e event.UpdateEvent) bool {
		return metav1.GetControllerOfNoCopy(e.ObjectOld) != nil && metav1.GetControllerOfNoCopy(e.ObjectNew) == nil
	}
	return p
}
