package cache

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache/packed"
)

// An Archive is a [cluster.Snapshot] of a large cluster, for audit. It holds
// objects as the webhook's caches do, but with all fields that rules read of an
// object under review. Nothing may be added while it is read.
type Archive struct {
	known   map[schema.GroupVersionKind]bool
	stores  map[schema.GroupVersionKind]toolscache.Indexer
	indexes Caches
}

var (
	_ client.Reader  = (*Archive)(nil)
	_ cluster.Finder = (*Archive)(nil)
	_ cluster.Walker = (*Archive)(nil)
)

// Know says that all objects of a kind were added, even if there are none.
func (a *Archive) Know(kind schema.GroupVersionKind) {
	if a.known == nil {
		a.known = map[schema.GroupVersionKind]bool{}
	}
	a.known[kind] = true
}

// Add puts objects into the archive. Each replaces the one of the same name.
// Add edits the objects.
func (a *Archive) Add(objs ...client.Object) error {
	for _, obj := range objs {
		kind, err := apiutil.GVKForObject(obj, scheme.Scheme)
		if err != nil {
			return err
		}
		if a.stores[kind] == nil {
			if err := a.open(kind, obj); err != nil {
				return err
			}
		}
		lean(obj)
		if err := a.stores[kind].Add(obj); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) open(kind schema.GroupVersionKind, obj client.Object) error {
	if a.stores == nil {
		a.stores, a.indexes = map[schema.GroupVersionKind]toolscache.Indexer{}, Caches{}
	}
	informer := NewInformer(nil, obj, 0, toolscache.Indexers{toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc})
	a.stores[kind] = informer.GetIndexer()
	return a.indexes.Add(obj, informer)
}

// Forget frees the memory of a kind, which is unknown from then on.
func (a *Archive) Forget(kind schema.GroupVersionKind) {
	delete(a.known, kind)
	delete(a.stores, kind)
	for id := range a.indexes {
		if id.kind == kind {
			delete(a.indexes, id)
		}
	}
}

// lean removes the fields that no rule reads, even of an object under review.
func lean(obj client.Object) {
	cluster.StripManagedFields(obj)
	switch obj := obj.(type) {
	case *corev1.Pod:
		leanPod(obj)
	case *corev1.PersistentVolumeClaim:
		stripClaim(obj)
	case *corev1.PersistentVolume:
		stripVolume(obj)
	}
}

// leanPod keeps the names, claims and labels of a Pod that a controller made:
// its containers and constraints are in the template. Rules review any other Pod
// by itself, and there are few of these: their containers stay.
func leanPod(pod *corev1.Pod) {
	pod.Status = corev1.PodStatus{Phase: pod.Status.Phase}
	pod.Annotations = keep(pod.Annotations, func(name string) bool {
		return name == cluster.AnnotationMirror || strings.Contains(name, "stayput.dev/")
	})
	if metav1.GetControllerOf(pod) != nil {
		pod.Spec.Containers, pod.Spec.InitContainers = nil, nil
		pod.Spec.Affinity, pod.Spec.Tolerations, pod.Spec.SecurityContext = nil, nil, nil
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes,
			func(v corev1.Volume) bool { return v.PersistentVolumeClaim == nil })
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		v.Projected, v.ConfigMap, v.Secret, v.DownwardAPI = nil, nil, nil, nil
	}
}

// of returns the objects of a kind, nil if it has none.
func (a *Archive) of(kind schema.GroupVersionKind) (toolscache.Indexer, error) {
	if !a.known[kind] {
		return nil, fmt.Errorf("%s: %w", kind.Kind, cluster.ErrUnknown)
	}
	return a.stores[kind], nil
}

// Get implements [client.Reader].
func (a *Archive) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind, err := apiutil.GVKForObject(into, scheme.Scheme)
	if err != nil {
		return err
	}
	store, err := a.of(kind)
	if err != nil {
		return err
	}
	var obj any
	found := false
	if store != nil {
		if obj, found, err = store.GetByKey(strings.TrimPrefix(key.String(), "/")); err != nil {
			return err
		}
	}
	if !found {
		return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, key.Name)
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(obj).Elem())
	return nil
}

// List implements [client.Reader] for the namespace and label options. It
// refuses field selectors.
func (a *Archive) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	kind, o, err := cluster.Listed(into, opts)
	if err != nil {
		return err
	}
	store, err := a.of(kind)
	if err != nil || store == nil {
		return err
	}
	var found []any
	if o.Namespace == "" {
		found = store.List()
	} else if found, err = store.ByIndex(toolscache.NamespaceIndex, o.Namespace); err != nil {
		return err
	}
	var items []runtime.Object
	for _, item := range found {
		obj := item.(client.Object)
		if o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(obj.GetLabels())) {
			items = append(items, obj)
		}
	}
	return meta.SetList(into, items)
}

// Find implements [cluster.Finder].
func (a *Archive) Find(kind schema.GroupVersionKind, index, namespace, key string) ([]client.Object, error) {
	store, err := a.of(kind)
	if err != nil || store == nil {
		return nil, err
	}
	return a.indexes.Find(kind, index, namespace, key)
}

// Walk implements [cluster.Walker].
func (a *Archive) Walk(kind schema.GroupVersionKind, visit func(client.Object)) error {
	store, err := a.of(kind)
	if err != nil || store == nil {
		return err
	}
	if one, ok := store.(interface{ Each(func(packed.Object)) }); ok {
		one.Each(func(obj packed.Object) { visit(obj) })
		return nil
	}
	for _, obj := range store.List() {
		visit(obj.(client.Object))
	}
	return nil
}
