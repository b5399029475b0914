package cluster

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// A Snapshot is a cluster held in memory. Lint fills one from manifests and
// from the objects beside them in a cluster, audit from a whole cluster. It is a
// [Reader]. It returns objects without a deep copy; they must not be
// edited.
//
// A manifest without a namespace ([Snapshot.AddUnplaced]) will get its
// namespace from the command that applies it, perhaps the namespace of its
// neighbours. So a lookup in a namespace that finds nothing is repeated among
// such manifests, and the other way round.
type Snapshot struct {
	// Complete says that the objects are the whole cluster, so that a kind
	// without objects is empty. Otherwise it is unknown.
	Complete bool

	// NewStore makes the store of a kind, given an object of it. Nil means that
	// objects are held as they were added, and are listed in that order.
	// Manifests without a namespace need that.
	NewStore func(kind schema.GroupVersionKind, like Object) (Store, error)

	stores map[schema.GroupVersionKind]Store // nil for a kind that is known to be empty

	unplaced bool // whether any object was added without a namespace

	mu    sync.Mutex
	lists map[listKey]reflect.Value // earlier results
}

// A Store holds the objects of one kind for a [Snapshot]. Nothing is added while
// it is read.
type Store interface {
	// Add puts an object into the store. It replaces the one of the same name.
	Add(obj Object) error

	// Get returns the object with a name, or nil.
	Get(key types.NamespacedName) (Object, error)

	// List returns the objects in a namespace, or all if that is empty.
	List(namespace string) ([]Object, error)

	// Find is [Finder.Find] for the kind of the store.
	Find(index, namespace, key string) ([]Object, error)

	// Each calls visit with each object, which it must not keep.
	Each(visit func(Object))
}

// A listKey identifies a list without selectors.
type listKey struct {
	list      reflect.Type
	namespace string
}

var (
	_ Reader = (*Snapshot)(nil)
	_ Finder = (*Snapshot)(nil)
	_ Walker = (*Snapshot)(nil)
)

// Add puts objects into the snapshot. Each replaces the one of the same name. A
// kind is known once it has an object.
func (s *Snapshot) Add(objs ...Object) error {
	for _, obj := range objs {
		gvk, err := GVK(obj)
		if err != nil {
			return err
		}
		s.Know(gvk)
		if s.stores[gvk] == nil {
			if s.stores[gvk], err = s.newStore(gvk, obj); err != nil {
				return err
			}
		}
		if err := s.stores[gvk].Add(obj); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) newStore(gvk schema.GroupVersionKind, like Object) (Store, error) {
	if s.NewStore != nil {
		return s.NewStore(gvk, like)
	}
	return newObjects(gvk), nil
}

// AddUnplaced is Add for an object whose manifest names no namespace. It is
// stored in [DefaultNamespace].
func (s *Snapshot) AddUnplaced(obj Object) error {
	if err := s.Add(obj); err != nil {
		return err
	}
	gvk, err := GVK(obj)
	if err != nil {
		return err
	}
	held, ok := s.stores[gvk].(*objects)
	if !ok {
		return fmt.Errorf("add %s %s: this snapshot has no place for objects without a namespace", gvk.Kind, obj.GetName())
	}
	held.unplaced[KeyOf(obj)] = true
	s.unplaced = true
	return nil
}

// Know says that the snapshot has, or will have, all objects of a kind, even if
// there are none.
func (s *Snapshot) Know(gvk schema.GroupVersionKind) {
	s.mu.Lock()
	s.lists = nil
	s.mu.Unlock()
	if s.stores == nil {
		s.stores = make(map[schema.GroupVersionKind]Store)
	}
	if _, known := s.stores[gvk]; !known {
		s.stores[gvk] = nil
	}
}

// Forget removes the objects of a kind, which is unknown from then on.
func (s *Snapshot) Forget(gvk schema.GroupVersionKind) {
	s.mu.Lock()
	s.lists = nil
	s.mu.Unlock()
	delete(s.stores, gvk)
}

// store returns the store of a kind, nil if it is empty.
func (s *Snapshot) store(gvk schema.GroupVersionKind) (Store, error) {
	store, known := s.stores[gvk]
	if !known && !s.Complete {
		return nil, fmt.Errorf("%s: %w", gvk.Kind, ErrUnknown)
	}
	return store, nil
}

// Get implements [Reader].
func (s *Snapshot) Get(_ context.Context, key types.NamespacedName, into Object) error {
	gvk, err := GVK(into)
	if err != nil {
		return err
	}
	store, err := s.store(gvk)
	if err != nil {
		return err
	}
	var obj Object
	if store != nil {
		if obj, err = store.Get(key); err != nil {
			return err
		}
	}
	if held, ok := store.(*objects); ok && obj == nil && s.unplaced {
		obj = held.elsewhere(key)
	}
	return setObject(into, obj, gvk, key)
}

// setObject copies an object of a kind into another, or returns an error that says
// that there is none: obj is nil.
func setObject(into, obj Object, kind schema.GroupVersionKind, key types.NamespacedName) error {
	if obj == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, key.Name)
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(obj).Elem())
	return nil
}

// List implements [Reader].
func (s *Snapshot) List(_ context.Context, into ObjectList, selected Selection) error {
	gvk, err := Listed(into)
	if err != nil {
		return err
	}
	store, err := s.store(gvk)
	if err != nil || store == nil {
		return err
	}
	if _, held := store.(*objects); held && (selected.Labels == nil || selected.Labels.Empty()) {
		return s.listAll(store, into, selected.Namespace)
	}
	return list(store, into, selected)
}

// Listed returns the kind of the objects of a list.
func Listed(into ObjectList) (schema.GroupVersionKind, error) {
	gvk, err := GVK(into)
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	return gvk, err
}

// Walk implements [Walker].
func (s *Snapshot) Walk(gvk schema.GroupVersionKind, visit func(Object)) error {
	store, err := s.store(gvk)
	if err != nil || store == nil {
		return err
	}
	store.Each(visit)
	return nil
}

// Find implements [Finder].
func (s *Snapshot) Find(gvk schema.GroupVersionKind, index, namespace, key string) ([]Object, error) {
	store, err := s.store(gvk)
	if err != nil || store == nil {
		return nil, err
	}
	found, err := store.Find(index, namespace, key)
	if held, ok := store.(*objects); ok && err == nil && len(found) == 0 && s.unplaced {
		found = held.findElsewhere(index, namespace, key)
	}
	return found, err
}

// listAll answers a list without selectors from a store whose objects are not
// copied. The rules repeat it for every object of a namespace, so each is made
// once.
func (s *Snapshot) listAll(store Store, into ObjectList, namespace string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := listKey{reflect.TypeOf(into), namespace}
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	if !items.IsValid() || items.Kind() != reflect.Slice {
		return list(store, into, InNamespace(namespace))
	}
	if known, ok := s.lists[key]; ok {
		items.Set(known)
		return nil
	}
	if err := list(store, into, InNamespace(namespace)); err != nil {
		return err
	}
	if s.lists == nil {
		s.lists = make(map[listKey]reflect.Value)
	}
	// a caller must not append in place
	s.lists[key] = reflect.ValueOf(items.Slice3(0, items.Len(), items.Len()).Interface())
	return nil
}

// list sets the items of a list to the objects of a store that are selected.
func list(store Store, into ObjectList, selected Selection) error {
	found, err := store.List(selected.Namespace)
	if err != nil {
		return err
	}
	var items []runtime.Object
	for _, obj := range found {
		if selected.Has(obj) {
			items = append(items, obj)
		}
	}
	return meta.SetList(into, items)
}
