// Package same says whether two API objects mean the same, as
// equality.Semantic.DeepEqual of apimachinery does: 1000m is 1, and an empty
// list is the same as none. DeepEqual makes maps of the values that it has
// visited, and uses reflection for each value; this package is called for every
// update, and uses reflection once for each type.
package same

import (
	"bytes"
	"reflect"
	"sync"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/internal/bytype"
)

// A Func says whether two values of one type mean the same. It gets pointers to
// them, neither of them nil, and takes no memory. What it is shown must hold no
// cycles, as API objects do not.
type Func func(a, b unsafe.Pointer) bool

// funcs are those that were made, by their reflect.Type.
var funcs sync.Map

// Of returns the Func of a type.
func Of(t reflect.Type) Func {
	return bytype.Once(&funcs, t, func(made func() Func) Func {
		return func(a, b unsafe.Pointer) bool { return made()(a, b) }
	}, makeFunc)
}

func makeFunc(t reflect.Type) Func {
	switch t {
	case reflect.TypeFor[resource.Quantity]():
		return func(a, b unsafe.Pointer) bool { return (*resource.Quantity)(a).Cmp(*(*resource.Quantity)(b)) == 0 }
	case reflect.TypeFor[metav1.Time]():
		return func(a, b unsafe.Pointer) bool { return (*metav1.Time)(a).Equal((*metav1.Time)(b)) }
	case reflect.TypeFor[metav1.MicroTime]():
		return func(a, b unsafe.Pointer) bool { return (*metav1.MicroTime)(a).Equal((*metav1.MicroTime)(b)) }
	case reflect.TypeFor[metav1.FieldsV1]():
		return func(a, b unsafe.Pointer) bool { return (*metav1.FieldsV1)(a).Equal(*(*metav1.FieldsV1)(b)) }
	}
	switch t.Kind() {
	case reflect.Pointer:
		return pointers(Of(t.Elem()))
	case reflect.Struct:
		return structs(t)
	case reflect.Slice:
		return slices(t.Elem())
	case reflect.Map:
		return maps(t)
	case reflect.String:
		return values[string]
	case reflect.Bool:
		return values[bool]
	case reflect.Int32:
		return values[int32]
	case reflect.Int64:
		return values[int64]
	}
	return func(a, b unsafe.Pointer) bool { // rarely anything, in API objects
		return reflected(reflect.NewAt(t, a).Elem(), reflect.NewAt(t, b).Elem())
	}
}

func values[T comparable](a, b unsafe.Pointer) bool { return *(*T)(a) == *(*T)(b) }

func pointers(elem Func) Func {
	return func(a, b unsafe.Pointer) bool {
		a, b = *(*unsafe.Pointer)(a), *(*unsafe.Pointer)(b)
		return a == b || a != nil && b != nil && elem(a, b)
	}
}

func structs(t reflect.Type) Func {
	type field struct {
		offset uintptr
		// Most fields of most objects are pointers that are nil.
		pointer bool
		same    Func
	}
	fields := make([]field, t.NumField())
	for i := range fields {
		f := t.Field(i)
		fields[i] = field{f.Offset, f.Type.Kind() == reflect.Pointer, Of(f.Type)}
	}
	return func(a, b unsafe.Pointer) bool {
		for i := range fields {
			f := &fields[i]
			x, y := unsafe.Add(a, f.offset), unsafe.Add(b, f.offset)
			if f.pointer && *(*unsafe.Pointer)(x) == *(*unsafe.Pointer)(y) {
				continue
			}
			if !f.same(x, y) {
				return false
			}
		}
		return true
	}
}

func slices(elem reflect.Type) Func {
	if elem.Kind() == reflect.Uint8 {
		return func(a, b unsafe.Pointer) bool { return bytes.Equal(*(*[]byte)(a), *(*[]byte)(b)) }
	}
	same, size := Of(elem), elem.Size()
	return func(a, b unsafe.Pointer) bool {
		// The header of a slice is the same for any element type.
		x, y := *(*[]struct{})(a), *(*[]struct{})(b)
		if len(x) != len(y) {
			return false
		}
		first, second := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(y))
		if first == second {
			return true
		}
		for i := range uintptr(len(x)) {
			if !same(unsafe.Add(first, i*size), unsafe.Add(second, i*size)) {
				return false
			}
		}
		return true
	}
}

func maps(t reflect.Type) Func {
	if t.Key().Kind() == reflect.String && t.Elem().Kind() == reflect.String { // nearly all
		return func(a, b unsafe.Pointer) bool {
			x, y := *(*map[string]string)(a), *(*map[string]string)(b)
			if len(x) != len(y) {
				return false
			}
			for k, v := range x {
				if w, ok := y[k]; !ok || w != v {
					return false
				}
			}
			return true
		}
	}
	if t == reflect.TypeFor[corev1.ResourceList]() {
		return func(a, b unsafe.Pointer) bool {
			x, y := *(*corev1.ResourceList)(a), *(*corev1.ResourceList)(b)
			if len(x) != len(y) {
				return false
			}
			for k, v := range x {
				if w, ok := y[k]; !ok || v.Cmp(w) != 0 {
					return false
				}
			}
			return true
		}
	}
	return func(a, b unsafe.Pointer) bool {
		x, y := reflect.NewAt(t, a).Elem(), reflect.NewAt(t, b).Elem()
		if x.Len() != y.Len() {
			return false
		}
		for all := x.MapRange(); all.Next(); {
			if w := y.MapIndex(all.Key()); !w.IsValid() || !reflected(all.Value(), w) {
				return false
			}
		}
		return true
	}
}

// reflected compares copies of values that have no address.
func reflected(a, b reflect.Value) bool {
	if a.Kind() == reflect.Interface {
		a, b = a.Elem(), b.Elem()
	}
	if !a.IsValid() || !b.IsValid() || a.Type() != b.Type() {
		return !a.IsValid() && !b.IsValid()
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Map:
		x, y := reflect.New(a.Type()), reflect.New(b.Type())
		x.Elem().Set(a)
		y.Elem().Set(b)
		return Of(a.Type())(x.UnsafePointer(), y.UnsafePointer())
	}
	return a.Equal(b)
}
