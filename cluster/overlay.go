package cluster

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// An Overlay is a cluster that differs in some objects from the one below it,
// as it was at another time. Nothing may be changed while it is read.
type Overlay struct {
	// Below is the cluster, which stays as it is.
	Below interface {
		Reader
		Finder
	}

	changed map[schema.GroupVersionKind]map[types.NamespacedName]Object // nil for an object that was removed
}

var (
	_ Reader = (*Overlay)(nil)
	_ Finder = (*Overlay)(nil)
)

// Put puts an object into the cluster. It replaces the one of the same name.
func (o *Overlay) Put(obj Object) error {
	kind, err := GVK(obj)
	if err == nil {
		o.change(kind, KeyOf(obj), obj)
	}
	return err
}

// Remove removes the object with a name, if there is one.
func (o *Overlay) Remove(kind schema.GroupVersionKind, key types.NamespacedName) {
	o.change(kind, key, nil)
}

// Changed says whether an object was put or removed.
func (o *Overlay) Changed(kind schema.GroupVersionKind, key types.NamespacedName) bool {
	_, changed := o.changed[kind][key]
	return changed
}

// Tidy forgets removals, all or those of some objects, that the cluster below
// does not have either. An object that was put and removed again leaves no
// trace.
func (o *Overlay) Tidy(ctx context.Context, objs ...Object) {
	forget := func(kind schema.GroupVersionKind, key types.NamespacedName) {
		if obj, changed := o.changed[kind][key]; !changed || obj != nil {
			return
		}
		made, err := Scheme().New(kind)
		if err != nil {
			return
		}
		if obj, ok := made.(Object); ok && apierrors.IsNotFound(o.Below.Get(ctx, key, obj)) {
			delete(o.changed[kind], key)
		}
	}
	for _, obj := range objs {
		if kind, err := GVK(obj); err == nil {
			forget(kind, KeyOf(obj))
		}
	}
	if len(objs) > 0 {
		return
	}
	for kind, changed := range o.changed {
		for key := range changed {
			forget(kind, key)
		}
	}
}

func (o *Overlay) change(kind schema.GroupVersionKind, key types.NamespacedName, obj Object) {
	if o.changed == nil {
		o.changed = map[schema.GroupVersionKind]map[types.NamespacedName]Object{}
	}
	if o.changed[kind] == nil {
		o.changed[kind] = map[types.NamespacedName]Object{}
	}
	o.changed[kind][key] = obj
}

// Get implements [Reader].
func (o *Overlay) Get(ctx context.Context, key types.NamespacedName, into Object) error {
	kind, err := GVK(into)
	if err != nil {
		return err
	}
	obj, changed := o.changed[kind][key]
	if !changed {
		return o.Below.Get(ctx, key, into)
	}
	return setObject(into, obj, kind, key)
}

// List implements [Reader].
func (o *Overlay) List(ctx context.Context, into ObjectList, selected Selection) error {
	kind, err := Listed(into)
	if err != nil {
		return err
	}
	if err := o.Below.List(ctx, into, selected); err != nil || len(o.changed[kind]) == 0 {
		return err
	}
	all, err := meta.ExtractList(into)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(item runtime.Object) bool {
		return o.Changed(kind, KeyOf(item.(Object)))
	})
	for key, obj := range o.changed[kind] {
		if obj != nil && (selected.Namespace == "" || selected.Namespace == key.Namespace) && selected.Has(obj) {
			all = append(all, obj)
		}
	}
	return meta.SetList(into, all)
}

// Find implements [Finder].
func (o *Overlay) Find(kind schema.GroupVersionKind, index, namespace, key string) ([]Object, error) {
	below, err := o.Below.Find(kind, index, namespace, key)
	if err != nil || len(o.changed[kind]) == 0 {
		return below, err
	}
	var found []Object
	for _, obj := range below {
		if !o.Changed(kind, KeyOf(obj)) {
			found = append(found, obj)
		}
	}
	keys := Keys(kind, false)[index]
	for at, obj := range o.changed[kind] {
		if obj != nil && at.Namespace == namespace && keys != nil && slices.Contains(keys(obj), key) {
			found = append(found, obj)
		}
	}
	return found, nil
}
