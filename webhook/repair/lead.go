package repair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// A Leadership is the Lease for which replicas compete, and the ConfigMap of
// the same name in which the leader keeps its permanent records.
type Leadership struct {
	Leases     coordinationclient.LeasesGetter
	ConfigMaps coreclient.ConfigMapsGetter
	Namespace  string // of Stayput
	Identity   string // of this replica
	Log        *slog.Logger
}

// LeaseName is the name of the Lease, and of the ConfigMap.
const LeaseName = "stayput"

// sinceKey in the ConfigMap is the time when Stayput was first started. With an
// earlier time there, older volumes are repaired, too.
const sinceKey = "repair-since"

// NeedLeaderElection tells the manager to run the controller on every replica:
// the controller elects its own leader.
func (*Controller) NeedLeaderElection() bool { return false }

// Start repairs whenever this replica leads, until ctx is done.
func (r *Controller) Start(ctx context.Context) error {
	if r.Lead == nil {
		r.Log.Warn("repair: without a namespace of its own Stayput can neither elect a leader nor record its first start; " +
			"volumes made before this start are old to it")
		r.repair(ctx, time.Now())
		return nil
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: r.Lead.Namespace, Name: LeaseName},
		Client:     r.Lead.Leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: r.Lead.Identity},
	}
	for ctx.Err() == nil {
		ended := make(chan struct{})
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Name: LeaseName, Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					defer close(ended)
					if since, err := r.Lead.firstStart(ctx); err == nil {
						r.repair(ctx, since)
					}
				},
				OnStoppedLeading: func() { r.since.Store(nil) },
			},
		})
		if err != nil {
			return fmt.Errorf("prepare to repair: %w", err)
		}
		elector.Run(ctx)
		if ctx.Err() == nil { // it was the leader, and no longer is
			<-ended
		}
	}
	return nil
}

// repair works until ctx is done, first on all the volumes there are.
func (r *Controller) repair(ctx context.Context, since time.Time) {
	r.since.Store(&since)
	defer r.since.Store(nil)
	r.Metrics.leading.Set(1)
	defer r.Metrics.leading.Set(0)
	defer r.Metrics.forgetAll()
	volumes := new(corev1.PersistentVolumeList)
	if err := r.Cluster.List(ctx, volumes); err != nil {
		r.Log.Error("repair: list volumes", "error", err.Error())
		return
	}
	r.Log.Info("repair: leading", "mode", r.Mode, "volumes", len(volumes.Items), "new since", since.Format(time.RFC3339))
	for i := range volumes.Items {
		r.Metrics.wait(volumes.Items[i].Name)
	}
	go r.progress(ctx)
	for i := range volumes.Items {
		select {
		case r.volumes <- event.GenericEvent{Object: &volumes.Items[i]}:
		case <-ctx.Done():
			return
		}
	}
	<-ctx.Done()
}

// progress logs the progress of repair while there is anything to do.
func (r *Controller) progress(ctx context.Context) {
	const interval = 5 * time.Second
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	busy := true
	for {
		left := r.Metrics.left()
		if left > 0 {
			r.Log.Info("repair: progress", "volumes left", left)
		} else if busy {
			r.Log.Info("repair: every volume has been looked at")
		}
		busy = left > 0
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// firstStart returns when Stayput was first started, and records the time if
// this is the first start. It asks the API server until it gets an answer.
func (l *Leadership) firstStart(ctx context.Context) (time.Time, error) {
	for {
		since, err := l.recorded(ctx)
		if err == nil || ctx.Err() != nil {
			return since, errors.Join(err, ctx.Err())
		}
		l.Log.Error("repair: waiting, for it is not known which volumes are new", "error", err.Error())
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

func (l *Leadership) recorded(ctx context.Context) (time.Time, error) {
	maps := l.ConfigMaps.ConfigMaps(l.Namespace)
	m, err := maps.Get(ctx, LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		m, err = maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: LeaseName, Labels: map[string]string{"app.kubernetes.io/name": "stayput"}},
			Data:       map[string]string{sinceKey: time.Now().UTC().Format(time.RFC3339)},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("record the first start in ConfigMap %s/%s: %w", l.Namespace, LeaseName, err)
	}
	since, err := time.Parse(time.RFC3339, m.Data[sinceKey])
	if err != nil {
		return time.Time{}, fmt.Errorf("ConfigMap %s/%s: %s: %q: must be a time such as 2006-01-02T15:04:05Z", l.Namespace,
			LeaseName, sinceKey, m.Data[sinceKey])
	}
	return since, nil
}
