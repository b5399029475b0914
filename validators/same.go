package validators

import (
	"bytes"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	quantityType = reflect.TypeFor[resource.Quantity]()
	timeType     = reflect.TypeFor[metav1.Time]()
	fieldsType   = reflect.TypeFor[metav1.FieldsV1]()
)

// same says whether two values of one type mean the same, as
// equality.Semantic.DeepEqual of apimachinery has it: 1000m is 1, and an empty
// list is none. That one makes maps of what it has visited; this one is on the
// way of every update, takes no memory, and visits what API objects hold: no
// cycles.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return a.UnsafePointer() == b.UnsafePointer() || same(a.Elem(), b.Elem())
	case reflect.Struct:
		return sameStruct(a, b)
	case reflect.Slice:
		return sameSlice(a, b)
	case reflect.Map:
		return sameMap(a, b)
	case reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return a.Elem().Type() == b.Elem().Type() && same(a.Elem(), b.Elem())
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return a.Int() == b.Int()
	default:
		return a.Equal(b)
	}
}

func sameStruct(a, b reflect.Value) bool {
	switch a.Type() {
	case quantityType:
		x, y := pointer[resource.Quantity](a), pointer[resource.Quantity](b)
		return x.Cmp(*y) == 0
	case timeType:
		return pointer[metav1.Time](a).Equal(pointer[metav1.Time](b))
	case fieldsType:
		return pointer[metav1.FieldsV1](a).Equal(*pointer[metav1.FieldsV1](b))
	}
	for i := range a.NumField() {
		if !same(a.Field(i), b.Field(i)) {
			return false
		}
	}
	return true
}

// pointer returns a pointer to a struct, or to a copy of one that has no
// address.
func pointer[T any](v reflect.Value) *T {
	if v.CanAddr() {
		return v.Addr().Interface().(*T)
	}
	copied := v.Interface().(T)
	return &copied
}

func sameSlice(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	if a.UnsafePointer() == b.UnsafePointer() {
		return true
	}
	if a.Type().Elem().Kind() == reflect.Uint8 {
		return bytes.Equal(a.Bytes(), b.Bytes())
	}
	for i := range a.Len() {
		if !same(a.Index(i), b.Index(i)) {
			return false
		}
	}
	return true
}

func sameMap(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	if a.Len() == 0 || a.UnsafePointer() == b.UnsafePointer() {
		return true
	}
	switch x := a.Interface().(type) { // nearly all; the general way takes memory
	case map[string]string:
		y := b.Interface().(map[string]string)
		for k, v := range x {
			if w, ok := y[k]; !ok || w != v {
				return false
			}
		}
		return true
	case corev1.ResourceList:
		y := b.Interface().(corev1.ResourceList)
		for k, v := range x {
			if w, ok := y[k]; !ok || v.Cmp(w) != 0 {
				return false
			}
		}
		return true
	}
	for all := a.MapRange(); all.Next(); {
		if w := b.MapIndex(all.Key()); !w.IsValid() || !same(all.Value(), w) {
			return false
		}
	}
	return true
}

// sameOrEmpty is same for values of which one may not be there, which is then
// an empty one.
func sameOrEmpty(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() {
		return empty(a) && empty(b)
	}
	return same(a, b)
}

// empty says whether there is no value, or one that would not be written.
func empty(v reflect.Value) bool {
	if !v.IsValid() {
		return true
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}
