package cluster

import (
	"fmt"
	"reflect"
	"strings"

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

// Namespaced says whether objects of a kind live in a namespace, for the kinds
// that some convention is about.
func Namespaced(kind schema.GroupKind) bool {
	switch kind.Group + "/" + kind.Kind {
	case "/Namespace", "/Node", "/PersistentVolume", "storage.k8s.io/StorageClass", "storage.k8s.io/CSIDriver",
		"rbac.authorization.k8s.io/ClusterRole", "rbac.authorization.k8s.io/ClusterRoleBinding",
		"scheduling.k8s.io/PriorityClass", "node.k8s.io/RuntimeClass":
		return false
	}
	return !strings.HasPrefix(kind.Group, "admissionregistration.") && !strings.HasPrefix(kind.Group, "apiextensions.")
}

// DefaultNamespace is the namespace of what names none, as for kubectl.
const DefaultNamespace = "default"
