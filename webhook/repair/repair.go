// Package repair sets volumes to the reclaim policy that admission would have
// given them if a webhook had answered when they were created.
package repair

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"stayput.dev/cluster"
	"stayput.dev/internal/config"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// A Mode says which volumes are repaired: see [config.Repair].
type Mode = config.Repair

const (
	Off    = config.RepairOff
	Report = config.RepairReport
	New    = config.RepairNew
	All    = config.RepairAll
)

// A Controller applies the mutators with Repair to existing volumes. It sets
// each wanted policy once: it marks the volume with the source of the policy,
// and then accepts later changes by others until an annotation asks for another
// policy. Only the leader of the replicas works.
type Controller struct {
	Mode        Mode
	Environment cluster.Environment // of cached objects; Live is asked before a volume is set to Delete
	Policy      *validators.Policy
	Mutators    []*mutators.Mutator // those with Repair
	Cluster     client.Client       // cached reads, and writes
	Events      events.EventRecorder
	Limit       flowcontrol.RateLimiter // of writes and reports
	Metrics     *Metrics
	Log         *slog.Logger

	// Lead decides which replica works. Nil where there is only one.
	Lead *Leadership

	volumes chan event.GenericEvent   // volumes to reconcile again
	since   atomic.Pointer[time.Time] // when Stayput was first started; nil unless this replica leads
}

// Reconcile brings one volume to its policy.
func (r *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	since := r.since.Load()
	if since == nil {
		return reconcile.Result{}, nil
	}
	pv := new(corev1.PersistentVolume)
	err := r.Cluster.Get(ctx, req.NamespacedName, pv)
	if apierrors.IsNotFound(err) {
		r.Metrics.forget(req.Name)
		return reconcile.Result{}, nil
	}
	if err == nil {
		err = r.see(ctx, *since, pv)
	}
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
		// A conflicting change by somebody else triggers another
		// reconciliation.
		r.Metrics.seen(req.Name)
		return reconcile.Result{}, nil
	case ctx.Err() != nil:
		return reconcile.Result{}, nil
	}
	r.Metrics.failed(req.Name)
	return reconcile.Result{}, fmt.Errorf("repair PersistentVolume %s: %w", req.Name, err)
}

// see reads a volume and makes the changes that it needs.
func (r *Controller) see(ctx context.Context, since time.Time, pv *corev1.PersistentVolume) error {
	environment := r.Environment
	environment.Live = nil // an object that the cache lacks triggers another reconciliation when it arrives
	p, err := r.plan(environment.View(ctx, cluster.Request{}), since, pv)
	if err != nil {
		return err
	}
	switch {
	case p.overruled:
		return r.reportOverruled(ctx, pv, p)
	case p.after == nil:
		r.Metrics.settled(pv.Name)
		return nil
	case r.Mode == Report:
		return r.reportMissed(ctx, pv, p)
	}
	letsGo := p.changes(pv) && p.want.Policy == corev1.PersistentVolumeReclaimDelete
	if live := r.Environment.Live; letsGo && live != nil {
		// A volume set to Delete may be gone at once, so the cache is not
		// enough.
		environment.Source, environment.Finder = live, nil
		again, err := r.plan(environment.View(ctx, cluster.Request{}), since, pv)
		if err != nil {
			return err
		}
		if again.after == nil || again.want != p.want {
			return apierrors.NewConflict(corev1.Resource("persistentvolumes"), pv.Name, fmt.Errorf("its claim has changed"))
		}
	}
	if err := r.Limit.Wait(ctx); err != nil {
		return err
	}
	lock := client.MergeFromWithOptions(pv, client.MergeFromWithOptimisticLock{})
	if err := r.Cluster.Patch(ctx, p.after.DeepCopy(), lock, client.FieldOwner("stayput")); err != nil {
		return err
	}
	r.Metrics.settled(pv.Name)
	if p.changes(pv) {
		r.reportRepaired(pv, p)
	}
	return nil
}

// A plan is what should be done to a volume.
type plan struct {
	want      cluster.Reclaim
	claim     *corev1.PersistentVolumeClaim // nil if it is gone
	after     *corev1.PersistentVolume      // nil if nothing must change
	overruled bool                          // somebody changed the policy after it was set
}

// changes says whether the plan changes the reclaim policy itself, not only the
// records about it.
func (p plan) changes(pv *corev1.PersistentVolume) bool {
	return p.after.Spec.PersistentVolumeReclaimPolicy != pv.Spec.PersistentVolumeReclaimPolicy
}

func (r *Controller) plan(v *cluster.View, since time.Time, pv *corev1.PersistentVolume) (plan, error) {
	ref := pv.Spec.ClaimRef
	if pv.DeletionTimestamp != nil || pv.Annotations[cluster.AnnotationProvisionedBy] == "" || ref == nil ||
		ref.UID == "" {
		return plan{}, nil
	}
	pvc, err := cluster.Get[corev1.PersistentVolumeClaim](v, ref.Namespace, ref.Name)
	if err != nil {
		return plan{}, fmt.Errorf("get PersistentVolumeClaim %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	if pvc != nil && pvc.UID != ref.UID {
		pvc = nil // a later claim of the same name
	}
	mode, err := r.Policy.ModeFor(v, pv)
	if err != nil || mode == validators.ModeOff {
		return plan{}, err
	}
	want, err := cluster.WantedReclaim(v, pv, pvc)
	if err != nil || want.Policy == "" {
		return plan{}, err
	}
	mark := pv.Annotations[cluster.AnnotationReclaimSet]
	switch {
	case pvc == nil && want.From != cluster.FromVolume:
		// The claim's annotations are no longer known, and an earlier repair
		// stands: the volume is retained by now, or being deleted.
		return plan{}, nil
	case mark == want.Mark() && pv.Spec.PersistentVolumeReclaimPolicy != want.Policy:
		return plan{want: want, claim: pvc, overruled: true}, nil
	case !want.Own() && mark == "" && r.Mode == New && pv.CreationTimestamp.Time.Before(since):
		if want.Policy != corev1.PersistentVolumeReclaimRetain {
			return plan{}, nil
		}
		if alone, err := orphaned(v, pvc); err != nil || !alone {
			return plan{}, err
		}
	}
	made, err := mutators.Apply(v, r.Mutators, nil, pv)
	if err != nil || made.Object == cluster.Object(pv) {
		return plan{}, err
	}
	return plan{want: want, claim: pvc, after: made.Object.(*corev1.PersistentVolume)}, nil
}

// Of returns the mutators whose edits may be applied later.
func Of(ms []*mutators.Mutator) []*mutators.Mutator {
	return slices.DeleteFunc(slices.Clone(ms), func(m *mutators.Mutator) bool { return !m.Repair })
}
