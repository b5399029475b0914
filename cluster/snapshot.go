package cluster

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// A Snapshot is a cluster held in memory. Lint fills one from manifests and
// from the objects beside them in a cluster. It is a [client.Reader]. It
// returns objects without a deep copy; they must not be edited.
//
// A manifest without a namespace ([Snapshot.AddUnplaced]) will get its
// namespace from the command that applies it, perhaps the namespace of its
// neighbours. So a lookup in a namespace that finds nothing is repeated among
// such manifests, and the other way round.
type Snapshot struct {
	// Complete says that the objects are the whole cluster, so that a kind
	// without objects is empty. Otherwise it is unknown.
	Complete bool

	kinds map[schema.GroupVersionKind]*kindIndex

	unplaced bool // whether any object was added without a namespace

	mu    sync.Mutex
	lists map[listKey]reflect.Value // earlier results
}

// A listKey identifies a list without selectors.
type listKey struct {
	list      reflect.Type
	namespace string
}

// A kindIndex holds the objects of one kind, by namespace and in the order in
// which they were added.
type kindIndex struct {
	byKey       map[client.ObjectKey]client.Object
	byNamespace map[string][]client.ObjectKey
	all         []client.ObjectKey
	byIndex     map[indexKey][]client.Object
	indexed     map[string]bool // the indexes that exist
	unplaced    map[client.ObjectKey]bool
}

var (
	_ client.Reader = (*Snapshot)(nil)
	_ Walker        = (*Snapshot)(nil)
)

// Add puts objects into the snapshot. Each replaces the one of the same name. A
// kind is known once it has an object.
func (s *Snapshot) Add(objs ...client.Object) error {
	for _, obj := range objs {
		gvk, err := apiutil.GVKForObject(obj, scheme.Scheme)
		if err != nil {
			return err
		}
		kind := s.know(gvk)
		key := client.ObjectKeyFromObject(obj)
		if kind.byKey[key] == nil {
			kind.byNamespace[key.Namespace] = append(kind.byNamespace[key.Namespace], key)
			kind.all = append(kind.all, key)
		}
		kind.byKey[key] = obj
		kind.byIndex, kind.indexed = nil, nil
	}
	return nil
}

// AddUnplaced is Add for an object whose manifest names no namespace. It is
// stored in [DefaultNamespace].
func (s *Snapshot) AddUnplaced(obj client.Object) error {
	if err := s.Add(obj); err != nil {
		return err
	}
	gvk, err := apiutil.GVKForObject(obj, scheme.Scheme)
	if err != nil {
		return err
	}
	kind := s.know(gvk)
	if kind.unplaced == nil {
		kind.unplaced = map[client.ObjectKey]bool{}
	}
	kind.unplaced[client.ObjectKeyFromObject(obj)] = true
	s.unplaced = true
	return nil
}

// Know says that the snapshot has, or will have, all objects of a kind, even if
// there are none.
func (s *Snapshot) Know(gvk schema.GroupVersionKind) { s.know(gvk) }

func (s *Snapshot) know(gvk schema.GroupVersionKind) *kindIndex {
	s.mu.Lock()
	s.lists = nil
	s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = make(map[schema.GroupVersionKind]*kindIndex)
	}
	kind := s.kinds[gvk]
	if kind == nil {
		kind = &kindIndex{
			byKey:       make(map[client.ObjectKey]client.Object),
			byNamespace: make(map[string][]client.ObjectKey),
		}
		s.kinds[gvk] = kind
	}
	return kind
}

func (s *Snapshot) kind(gvk schema.GroupVersionKind) (*kindIndex, error) {
	switch kind := s.kinds[gvk]; {
	case kind != nil:
		return kind, nil
	case s.Complete:
		return &kindIndex{}, nil
	default:
		return nil, fmt.Errorf("%s: %w", gvk.Kind, ErrUnknown)
	}
}

// Get implements [client.Reader].
func (s *Snapshot) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(into, scheme.Scheme)
	if err != nil {
		return err
	}
	kind, err := s.kind(gvk)
	if err != nil {
		return err
	}
	obj, found := kind.byKey[key]
	if !found && s.unplaced {
		obj, found = kind.elsewhere(key)
	}
	if !found {
		return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, key.Name)
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(obj).Elem())
	return nil
}

// elsewhere returns the object that a key may mean although the namespaces
// differ, because one of the two has none. If several are possible, it returns
// none.
func (kind *kindIndex) elsewhere(key client.ObjectKey) (found client.Object, ok bool) {
	if key.Namespace != DefaultNamespace {
		key.Namespace = DefaultNamespace
		return kind.byKey[key], kind.unplaced[key]
	}
	for key.Namespace = range kind.byNamespace {
		if obj, there := kind.byKey[key]; there && ok {
			return nil, false
		} else if there {
			found, ok = obj, true
		}
	}
	return found, ok
}

// findElsewhere is elsewhere for an index.
func (kind *kindIndex) findElsewhere(index, namespace, key string) (found []client.Object) {
	if namespace != DefaultNamespace {
		for _, obj := range kind.byIndex[indexKey{index, DefaultNamespace, key}] {
			if kind.unplaced[client.ObjectKeyFromObject(obj)] {
				found = append(found, obj)
			}
		}
		return found
	}
	if len(kind.byNamespace) == 1 { // or it is not known which of them
		for only := range kind.byNamespace {
			found = kind.byIndex[indexKey{index, only, key}]
		}
	}
	return found
}

// List implements [client.Reader] for the namespace and label options. It
// refuses field selectors.
func (s *Snapshot) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	gvk, o, err := Listed(into, opts)
	if err != nil {
		return err
	}
	kind, err := s.kind(gvk)
	if err != nil {
		return err
	}
	if o.LabelSelector == nil || o.LabelSelector.Empty() {
		return s.listAll(kind, into, o.Namespace)
	}
	return kind.list(into, o.Namespace, o.LabelSelector)
}

// Listed returns the kind of the objects to list, and the options.
func Listed(into client.ObjectList, opts []client.ListOption) (gvk schema.GroupVersionKind, o client.ListOptions,
	err error) {
	if gvk, err = apiutil.GVKForObject(into, scheme.Scheme); err != nil {
		return gvk, o, err
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	o.ApplyOptions(opts)
	if o.FieldSelector != nil && !o.FieldSelector.Empty() {
		return gvk, o, fmt.Errorf("list %s: a snapshot knows no field selectors", gvk.Kind)
	}
	return gvk, o, nil
}

// Walk implements [Walker].
func (s *Snapshot) Walk(gvk schema.GroupVersionKind, visit func(client.Object)) error {
	kind, err := s.kind(gvk)
	if err != nil {
		return err
	}
	for _, key := range kind.all {
		visit(kind.byKey[key])
	}
	return nil
}

// An indexKey is a key of an index in a namespace.
type indexKey struct{ index, namespace, key string }

// Find implements [Finder]. The first lookup makes the index.
func (s *Snapshot) Find(gvk schema.GroupVersionKind, index, namespace, key string) ([]client.Object, error) {
	kind, err := s.kind(gvk)
	if err != nil || len(kind.all) == 0 { // or an index would be made again each time
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !kind.indexed[index] {
		if err := kind.index(gvk, index); err != nil {
			return nil, err
		}
	}
	found := kind.byIndex[indexKey{index, namespace, key}]
	if len(found) == 0 && s.unplaced {
		found = kind.findElsewhere(index, namespace, key)
	}
	return found, nil
}

func (kind *kindIndex) index(gvk schema.GroupVersionKind, name string) error {
	keys := Keys(gvk)[name]
	if keys == nil {
		return fmt.Errorf("find %s: no index is called %q", gvk.Kind, name)
	}
	if kind.byIndex == nil {
		kind.byIndex, kind.indexed = map[indexKey][]client.Object{}, map[string]bool{}
	}
	kind.indexed[name] = true
	for _, key := range kind.all {
		obj := kind.byKey[key]
		for _, k := range keys(obj) {
			at := indexKey{name, key.Namespace, k}
			kind.byIndex[at] = append(kind.byIndex[at], obj)
		}
	}
	return nil
}

// listAll answers a list without selectors. The rules repeat it for every
// object of a namespace, so each is made once.
func (s *Snapshot) listAll(kind *kindIndex, into client.ObjectList, namespace string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := listKey{reflect.TypeOf(into), namespace}
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	if !items.IsValid() || items.Kind() != reflect.Slice {
		return kind.list(into, namespace, labels.Everything())
	}
	if known, ok := s.lists[key]; ok {
		items.Set(known)
		return nil
	}
	if err := kind.list(into, namespace, labels.Everything()); err != nil {
		return err
	}
	if s.lists == nil {
		s.lists = make(map[listKey]reflect.Value)
	}
	// a caller must not append in place
	s.lists[key] = reflect.ValueOf(items.Slice3(0, items.Len(), items.Len()).Interface())
	return nil
}

func (kind *kindIndex) list(into client.ObjectList, namespace string, selector labels.Selector) error {
	keys := kind.all
	if namespace != "" {
		keys = kind.byNamespace[namespace]
	}
	var items []runtime.Object
	for _, key := range keys {
		obj := kind.byKey[key]
		if selector.Matches(labels.Set(obj.GetLabels())) {
			items = append(items, obj)
		}
	}
	return meta.SetList(into, items)
}
