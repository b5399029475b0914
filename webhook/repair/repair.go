// Package repair brings volumes to the reclaim policy that admission would have
// given them, had a webhook answered when they were made.
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
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// A Mode says which volumes are brought to the reclaim policy that they should
// have, when no webhook answered at the moment they were made.
type Mode string

const (
	Off    Mode = "off"    // none
	Report Mode = "report" // none; what would be done is reported
	New    Mode = "new"    // those made since Stayput's first start
	All    Mode = "all"    // those from before, too
)

// A Controller applies the mutators that may be repaired later to volumes that
// are there. It obeys each word once: it sets a volume, marks it with whose
// word it was, and then leaves it to whoever changes it, until an annotation
// says something else. Only the leader of the replicas works.
type Controller struct {
	Mode        Mode
	Environment cluster.Environment // of cached objects; Live is asked before a volume is let go
	Policy      *validators.Policy
	Mutators    []*mutators.Mutator // those with Repair
	Cluster     client.Client       // cached reads, and writes
	Events      events.EventRecorder
	Limit       flowcontrol.RateLimiter // of writes and reports
	Metrics     *Metrics
	Log         *slog.Logger

	// Lead decides which replica works. Nil where there is only one.
	Lead *Leadership

	volumes chan event.GenericEvent   // to look at again
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
		// Whoever was faster causes another look.
		r.Metrics.seen(req.Name)
		return reconcile.Result{}, nil
	case ctx.Err() != nil:
		return reconcile.Result{}, nil
	}
	r.Metrics.failed(req.Name)
	return reconcile.Result{}, fmt.Errorf("repair PersistentVolume %s: %w", req.Name, err)
}

// see looks at a volume and does what is to be done.
func (r *Controller) see(ctx context.Context, since time.Time, pv *corev1.PersistentVolume) error {
	world := r.Environment
	world.Live = nil // what the cache does not hold yet causes another look when it does
	p, err := r.plan(world.View(ctx, cluster.Request{}), since, pv)
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
		// What is let go may be gone at once: the cache's word is not enough.
		world.Source, world.Finder = live, nil
		again, err := r.plan(world.View(ctx, cluster.Request{}), since, pv)
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

// A plan is what should become of a volume.
type plan struct {
	want      cluster.Reclaim
	claim     *corev1.PersistentVolumeClaim // nil if it is gone
	after     *corev1.PersistentVolume      // nil if nothing is to change
	overruled bool                          // somebody changed the policy after it was set
}

// changes says whether the plan changes the reclaim policy, and not only what
// is recorded about it.
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
		pvc = nil // another one, which has taken its name
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
		// What the claim wanted nobody knows any more, and what was done about
		// it stands: the volume is kept by now, or on its way out.
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
	if err != nil || made.Object == client.Object(pv) {
		return plan{}, err
	}
	return plan{want: want, claim: pvc, after: made.Object.(*corev1.PersistentVolume)}, nil
}

// Of returns the mutators whose edits may be made up for later.
func Of(ms []*mutators.Mutator) []*mutators.Mutator {
	return slices.DeleteFunc(slices.Clone(ms), func(m *mutators.Mutator) bool { return !m.Repair })
}
