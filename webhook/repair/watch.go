package repair

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"stayput.dev/cluster"
)

// SetUp adds the controller to a manager on every replica: the leader works,
// and the empty queues of the others cost nothing. The manager's own leader
// election cannot be used, because it ends the process of a replica that ceases
// to lead, and the webhook with it.
func (r *Controller) SetUp(mgr ctrl.Manager) error {
	r.volumes = make(chan event.GenericEvent)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("repair").
		For(&corev1.PersistentVolume{}).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(volumeOf)).
		// A StatefulSet may be seen before its claim, and its claim needs it.
		Watches(&appsv1.StatefulSet{}, handler.EnqueueRequestsFromMapFunc(r.volumesOfStatefulSet),
			builder.WithPredicates(createdOrChanged())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.volumesOfPod), builder.WithPredicates(left())).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.volumesOfNamespace),
			builder.WithPredicates(changed())).
		WatchesRawSource(source.Channel(r.volumes, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			NeedLeaderElection:      new(false),
			MaxConcurrentReconciles: 4,
			// The API server may be unavailable for minutes; long delays are of
			// no use once it is back.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond,
				30*time.Second),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("prepare to repair: %w", err)
	}
	return mgr.Add(r)
}

func volumeOf(_ context.Context, obj client.Object) []reconcile.Request {
	pvc := obj.(*corev1.PersistentVolumeClaim)
	if pvc.Spec.VolumeName == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: pvc.Spec.VolumeName}}}
}

func (r *Controller) volumesOfStatefulSet(ctx context.Context, obj client.Object) []reconcile.Request {
	sts := obj.(*appsv1.StatefulSet)
	names := cluster.ClaimsNamed(&sts.Spec.Template.Spec)
	start, replicas := cluster.Ordinals(sts)
	for _, t := range sts.Spec.VolumeClaimTemplates {
		for i := range replicas {
			names = append(names, cluster.ClaimName(sts, t.Name, start+i))
		}
	}
	return r.volumesOfClaims(ctx, sts.Namespace, names)
}

// volumesOfClaims returns the volumes of those claims that exist.
func (r *Controller) volumesOfClaims(ctx context.Context, namespace string, names []string) (all []reconcile.Request) {
	for _, name := range names {
		pvc := new(corev1.PersistentVolumeClaim)
		if err := r.Cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pvc); err == nil {
			all = append(all, volumeOf(ctx, pvc)...)
		}
	}
	return all
}

func (r *Controller) volumesOfPod(ctx context.Context, obj client.Object) []reconcile.Request {
	pod := obj.(*corev1.Pod)
	return r.volumesOfClaims(ctx, pod.Namespace, cluster.ClaimsNamed(&pod.Spec))
}

func (r *Controller) volumesOfNamespace(ctx context.Context, obj client.Object) (all []reconcile.Request) {
	claims := new(corev1.PersistentVolumeClaimList)
	if err := r.Cluster.List(ctx, claims, client.InNamespace(obj.GetName())); err != nil {
		r.Log.Error("list the claims of a namespace that changed", "namespace", obj.GetName(), "error", err.Error())
		return nil
	}
	for i := range claims.Items {
		all = append(all, volumeOf(ctx, &claims.Items[i])...)
	}
	return all
}

func created() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// changed selects the updates that change which policy a Namespace wants for
// its volumes.
func changed() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()
			return before[cluster.AnnotationReclaim] != after[cluster.AnnotationReclaim] ||
				e.ObjectOld.GetLabels()[cluster.LabelMode] != e.ObjectNew.GetLabels()[cluster.LabelMode]
		},
	}
}
