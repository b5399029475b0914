package cluster

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// KindOf returns the kind of a typed object. It panics for a type that
// Kubernetes does not have, which a test of any rule shows.
func KindOf[T client.Object]() schema.GroupVersionKind {
	obj := reflect.New(reflect.TypeFor[T]().Elem()).Interface().(client.Object)
	gvk, err := apiutil.GVKForObject(obj, scheme.Scheme)
	if err != nil {
		panic(fmt.Sprintf("%T is not in the scheme: %v", obj, err))
	}
	return gvk
}
