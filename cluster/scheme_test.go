package cluster

import (
	"reflect"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"
)

// TestScheme holds the list of API groups to that of client-go, which a newer
// release may lengthen.
func TestScheme(t *testing.T) {
	ours, theirs := Scheme().AllKnownTypes(), scheme.Scheme.AllKnownTypes()
	for kind, typ := range theirs {
		if ours[kind] != typ {
			t.Errorf("%s is %v, and %v for client-go: add its group to Scheme", kind, ours[kind], typ)
		}
	}
	for i := range Kinds {
		if got := ours[Kinds[i].GVK()]; got != reflect.TypeOf(Kinds[i].Object).Elem() {
			t.Errorf("the scheme has %v for %s", got, Kinds[i].GVK())
		}
	}
	for kind, typ := range ours {
		if typ.PkgPath() != reflect.TypeFor[Kind]().PkgPath() && theirs[kind] == nil &&
			kind.Group != "apiextensions.k8s.io" {
			t.Errorf("client-go has no %s", kind)
		}
	}
}
