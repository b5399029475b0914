// Package operator is a small operator of databases with the habits by which
// real ones have got into trouble with admission: it deletes StatefulSets with
// orphans and makes them anew, deletes claims before their Pods, and leaves
// marks that look like mistakes. What a Database asks for, it gets.
package operator

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Definition is the CustomResourceDefinition of Database.
//
//go:embed crd.yaml
var Definition string

var kind = schema.GroupVersionKind{Group: "e2e.stayput.dev", Version: "v1", Kind: "Database"}

// Services that a Database may be governed by.
const (
	Headless    = "headless"
	Ordinary    = "ordinary"    // with a cluster IP
	Unselecting = "unselecting" // with a cluster IP; somebody else writes its endpoints
)

// A Spec is that of a Database.
type Spec struct {
	Replicas int32  `json:"replicas"`
	Image    string `json:"image"`
	Class    string `json:"class"`   // StorageClass
	Storage  string `json:"storage"` // of each replica; grown by deleting the StatefulSet with orphans
	Service  string `json:"service"`

	WhenDeleted string `json:"whenDeleted,omitempty"` // the StatefulSet's retention policy
	Placeholder bool   `json:"placeholder,omitempty"` // a volume stands where the claim template's will be
	ClaimsFirst bool   `json:"claimsFirst,omitempty"` // a finalizer deletes the claims while the Pods run
	Late        bool   `json:"late,omitempty"`        // Service and budget come a second after the StatefulSet
	Restless    bool   `json:"restless,omitempty"`    // the StatefulSet is updated, to what it is, again and again
}

// New returns a Database.
func New(namespace, name string, spec Spec) (client.Object, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	if err != nil {
		return nil, err
	}
	db := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	db.SetGroupVersionKind(kind)
	db.SetNamespace(namespace)
	db.SetName(name)
	return db, nil
}

// Run is the operator of a namespace, until ctx ends.
func Run(ctx context.Context, config *rest.Config, namespace string) error {
	m, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme.Scheme,
		Logger:  logr.Discard(),
		Metrics: metrics.Options{BindAddress: "0"},
		Cache:   cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		// What it decides on is what is there, not what was.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{
			&appsv1.StatefulSet{}, &corev1.PersistentVolumeClaim{}, &corev1.Service{}, &policyv1.PodDisruptionBudget{},
		}}},
	})
	if err != nil {
		return fmt.Errorf("make the operator: %w", err)
	}
	db := &unstructured.Unstructured{}
	db.SetGroupVersionKind(kind)
	skip := true // several run in one process
	if err := ctrl.NewControllerManagedBy(m).Named("database").For(db).Owns(&appsv1.StatefulSet{}).
		WithOptions(controller.Options{
			SkipNameValidation: &skip,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond,
				time.Second),
		}).Complete(&operator{m.GetClient()}); err != nil {
		return fmt.Errorf("make the operator: %w", err)
	}
	return m.Start(ctx)
}

type operator struct{ client.Client }

// finalizer is that of a Database whose claims go first.
const finalizer = "e2e.stayput.dev/claims"

// Reconcile does one thing at a time; what remains is found at the next call.
func (o *operator) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var done reconcile.Result
	raw := &unstructured.Unstructured{}
	raw.SetGroupVersionKind(kind)
	if err := o.Get(ctx, req.NamespacedName, raw); err != nil {
		return done, client.IgnoreNotFound(err)
	}
	db := &database{Unstructured: raw, scheme: o.Scheme()}
	fields, _, err := unstructured.NestedMap(raw.Object, "spec")
	if err != nil {
		return done, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &db.spec); err != nil {
		return done, err
	}
	if db.GetDeletionTimestamp() != nil {
		return done, o.finish(ctx, db)
	}
	if db.spec.ClaimsFirst && controllerutil.AddFinalizer(raw, finalizer) {
		return done, o.Update(ctx, raw)
	}
	if !db.spec.Late {
		if err := o.companions(ctx, db); err != nil {
			return done, err
		}
	}
	return o.statefulSet(ctx, db)
}

// soon is when it looks again where no event tells of a change.
var soon = reconcile.Result{RequeueAfter: 50 * time.Millisecond}

func (o *operator) statefulSet(ctx context.Context, db *database) (reconcile.Result, error) {
	want, err := db.statefulSet()
	if err != nil {
		return reconcile.Result{}, err
	}
	var set appsv1.StatefulSet
	switch err := o.Get(ctx, client.ObjectKeyFromObject(want), &set); {
	case apierrors.IsNotFound(err):
		return soon, o.Create(ctx, want)
	case err != nil:
		return reconcile.Result{}, err
	case set.DeletionTimestamp != nil:
		return soon, nil
	}
	if storageOf(&set) != storageOf(want) {
		if err := o.growClaims(ctx, db); err != nil {
			return reconcile.Result{}, err
		}
		return soon, client.IgnoreNotFound(o.Delete(ctx, &set, client.PropagationPolicy(metav1.DeletePropagationOrphan)))
	}
	changed := *set.Spec.Replicas != db.spec.Replicas || set.Spec.Template.Spec.Containers[0].Image != db.spec.Image
	if changed || db.spec.Restless {
		set.Spec.Replicas = &db.spec.Replicas
		set.Spec.Template.Spec.Containers[0].Image = db.spec.Image
		if err := o.Update(ctx, &set); err != nil {
			return reconcile.Result{}, err
		}
	}
	if db.spec.Late {
		if left := time.Second - time.Since(set.CreationTimestamp.Time); left > 0 {
			return reconcile.Result{RequeueAfter: left}, nil
		}
		if err := o.companions(ctx, db); err != nil {
			return reconcile.Result{}, err
		}
	}
	if db.spec.Restless {
		return soon, nil
	}
	return reconcile.Result{}, nil
}

// companions makes the Service and the budget, unless they are there.
func (o *operator) companions(ctx context.Context, db *database) error {
	for _, object := range []client.Object{db.service(), db.budget()} {
		if err := db.own(object); err != nil {
			return err
		}
		found := object.DeepCopyObject().(client.Object)
		err := o.Get(ctx, client.ObjectKeyFromObject(object), found)
		if apierrors.IsNotFound(err) {
			err = o.Create(ctx, object)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// growClaims asks for what the new template asks for.
func (o *operator) growClaims(ctx context.Context, db *database) error {
	requests, err := db.requests()
	if err != nil {
		return err
	}
	claims, err := o.claims(ctx, db)
	if err != nil {
		return err
	}
	for _, pvc := range claims {
		before := pvc.DeepCopy()
		pvc.Spec.Resources.Requests = requests
		if err := o.Patch(ctx, &pvc, client.MergeFrom(before)); err != nil {
			return err
		}
	}
	return nil
}

// finish deletes the claims, then lets the Database go, and with it all that it
// owns. Where one claim cannot be deleted it fails, and begins again.
func (o *operator) finish(ctx context.Context, db *database) error {
	if !controllerutil.ContainsFinalizer(db.Unstructured, finalizer) {
		return nil
	}
	claims, err := o.claims(ctx, db)
	if err != nil {
		return err
	}
	for _, pvc := range claims {
		if err := o.Delete(ctx, &pvc); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	controllerutil.RemoveFinalizer(db.Unstructured, finalizer)
	return client.IgnoreNotFound(o.Update(ctx, db.Unstructured))
}

func (o *operator) claims(ctx context.Context, db *database) ([]corev1.PersistentVolumeClaim, error) {
	var list corev1.PersistentVolumeClaimList
	err := o.List(ctx, &list, client.InNamespace(db.GetNamespace()), client.MatchingLabels(db.labels()))
	return list.Items, err
}
