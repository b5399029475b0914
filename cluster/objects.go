package cluster

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// An objects is a [Store] that holds the objects of a kind as they were added,
// by namespace and in that order.
type objects struct {
	kind        schema.GroupVersionKind
	byKey       map[types.NamespacedName]Object
	byNamespace map[string][]types.NamespacedName
	all         []types.NamespacedName
	unplaced    map[types.NamespacedName]bool // those whose manifest names no namespace

	mu      sync.Mutex
	byIndex map[indexKey][]Object
	indexed map[string]bool // the indexes that exist
}

// An indexKey is a key of an index in a namespace.
type indexKey struct{ index, namespace, key string }

func newObjects(kind schema.GroupVersionKind) *objects {
	return &objects{
		kind:        kind,
		byKey:       make(map[types.NamespacedName]Object),
		byNamespace: make(map[string][]types.NamespacedName),
		unplaced:    make(map[types.NamespacedName]bool),
	}
}

// Add implements [Store].
func (o *objects) Add(obj Object) error {
	key := KeyOf(obj)
	if o.byKey[key] == nil {
		o.byNamespace[key.Namespace] = append(o.byNamespace[key.Namespace], key)
		o.all = append(o.all, key)
	}
	o.byKey[key] = obj
	o.byIndex, o.indexed = nil, nil
	return nil
}

// Get implements [Store].
func (o *objects) Get(key types.NamespacedName) (Object, error) { return o.byKey[key], nil }

// List implements [Store].
func (o *objects) List(namespace string) ([]Object, error) {
	keys := o.all
	if namespace != "" {
		keys = o.byNamespace[namespace]
	}
	found := make([]Object, len(keys))
	for i, key := range keys {
		found[i] = o.byKey[key]
	}
	return found, nil
}

// Each implements [Store].
func (o *objects) Each(visit func(Object)) {
	for _, key := range o.all {
		visit(o.byKey[key])
	}
}

// Find implements [Store]. The first lookup makes the index.
func (o *objects) Find(index, namespace, key string) ([]Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.indexed[index] {
		if err := o.index(index); err != nil {
			return nil, err
		}
	}
	return o.byIndex[indexKey{index, namespace, key}], nil
}

func (o *objects) index(name string) error {
	keys := Keys(o.kind, false)[name]
	if keys == nil {
		return fmt.Errorf("find %s: no index is called %q", o.kind.Kind, name)
	}
	if o.byIndex == nil {
		o.byIndex, o.indexed = map[indexKey][]Object{}, map[string]bool{}
	}
	o.indexed[name] = true
	for _, key := range o.all {
		obj := o.byKey[key]
		for _, k := range keys(obj) {
			at := indexKey{name, key.Namespace, k}
			o.byIndex[at] = append(o.byIndex[at], obj)
		}
	}
	return nil
}

// elsewhere returns the object that a key may mean although the namespaces
// differ, because one of the two has none. If several are possible, it returns
// nil.
func (o *objects) elsewhere(key types.NamespacedName) Object {
	if key.Namespace != DefaultNamespace {
		key.Namespace = DefaultNamespace
		if !o.unplaced[key] {
			return nil
		}
		return o.byKey[key]
	}
	var found Object
	for key.Namespace = range o.byNamespace {
		if obj := o.byKey[key]; obj != nil && found != nil {
			return nil
		} else if obj != nil {
			found = obj
		}
	}
	return found
}

// findElsewhere is elsewhere for an index, which Find has made.
func (o *objects) findElsewhere(index, namespace, key string) (found []Object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if namespace != DefaultNamespace {
		for _, obj := range o.byIndex[indexKey{index, DefaultNamespace, key}] {
			if o.unplaced[KeyOf(obj)] {
				found = append(found, obj)
			}
		}
		return found
	}
	if len(o.byNamespace) == 1 { // or it is not known which of them
		for only := range o.byNamespace {
			found = o.byIndex[indexKey{index, only, key}]
		}
	}
	return found
}
