package cluster

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// An Object is an object of any kind.
type Object interface {
	metav1.Object
	runtime.Object
}

// An ObjectList is a list of objects of one kind.
type ObjectList interface {
	metav1.ListInterface
	runtime.Object
}

// KeyOf returns the namespace and the name of an object.
func KeyOf(obj metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// A Reader looks up objects. What links no client of an API server reads a cluster
// through it: [Snapshot] and [Overlay] in memory, readers of package cache otherwise.
type Reader interface {
	// Get writes the object with a name into another of its kind. If there is none,
	// the error is one of apierrors.IsNotFound.
	Get(ctx context.Context, key types.NamespacedName, into Object) error

	// List writes the selected objects of a kind into a list.
	List(ctx context.Context, into ObjectList, selected Selection) error
}

// A Selection says which objects of a kind a list has. The zero value selects all.
type Selection struct {
	Namespace string          // empty for those of all namespaces
	Labels    labels.Selector // nil for those with any labels
}

// InNamespace selects the objects of a namespace.
func InNamespace(namespace string) Selection { return Selection{Namespace: namespace} }

// Text returns the labels as text, empty for any, and whether that text stands for them
// alone. A selector that selects nothing has the text of one that selects everything.
func (s Selection) Text() (text string, ok bool) {
	if s.Labels == nil {
		return "", true
	}
	if _, selectable := s.Labels.Requirements(); !selectable {
		return "", false
	}
	return s.Labels.String(), true
}

// Has says whether the labels of an object are selected.
func (s Selection) Has(obj metav1.Object) bool {
	return s.Labels == nil || s.Labels.Matches(labels.Set(obj.GetLabels()))
}

// GVK returns the group, version and kind of an object, or of a list.
func GVK(obj runtime.Object) (schema.GroupVersionKind, error) {
	t := reflect.TypeOf(obj)
	if gvk, known := gvks.Load(t); known {
		return gvk.(schema.GroupVersionKind), nil
	}
	if partial, ok := obj.(*metav1.PartialObjectMetadata); ok {
		return partial.GroupVersionKind(), nil
	}
	kinds, _, err := Scheme().ObjectKinds(obj)
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	if len(kinds) != 1 {
		return schema.GroupVersionKind{}, fmt.Errorf("a %T may be of %d kinds", obj, len(kinds))
	}
	if _, varies := obj.(runtime.Unstructured); !varies {
		gvks.Store(t, kinds[0])
	}
	return kinds[0], nil
}

// gvks are the kinds of types, by reflect.Type: those of [Kinds] from the start, for
// which no scheme is needed.
var gvks = func() *sync.Map {
	known := new(sync.Map)
	for i := range Kinds {
		known.Store(reflect.TypeOf(Kinds[i].Object), Kinds[i].GVK())
	}
	return known
}()
