package fastjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"sync"
	"unsafe"

	"k8s.io/apimachinery/pkg/api/resource"

	"stayput.dev/internal/bytype"
)

// A plan decodes the JSON value at index i into a zero value of the plan's type,
// and returns the index behind it, or -1 if it cannot. Into points to that zero
// value: the type was checked by reflection when the plan was made.
type plan func(d *decoder, i int, into unsafe.Pointer) int

// plans caches the plans that were made, by reflect.Type.
var plans sync.Map

// planOf returns the plan of a type.
func planOf(t reflect.Type) plan {
	return bytype.Once(&plans, t, func(made func() plan) plan {
		return func(d *decoder, i int, into unsafe.Pointer) int { return made()(d, i, into) }
	}, makePlan)
}

func makePlan(t reflect.Type) plan {
	if p := knownPlan(t); p != nil {
		return p
	}
	pointer := reflect.PointerTo(t)
	switch {
	case t.Kind() == reflect.Pointer:
		return pointerPlan(t)
	case t.Kind() == reflect.Interface:
		return unknown
	case pointer.Implements(reflect.TypeFor[json.Unmarshaler]()):
		return ownPlan(t)
	case pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return unknown
	}
	switch t.Kind() {
	case reflect.String:
		return decodeString
	case reflect.Bool:
		return decodeBool
	case reflect.Int32:
		return decodeInt32
	case reflect.Int64:
		return decodeInt64
	case reflect.Slice:
		return slicePlan(t)
	case reflect.Map:
		return mapPlan(t)
	case reflect.Struct:
		return structPlan(t)
	}
	return unknown
}

// unknown is the plan of types that this package does not decode.
func unknown(*decoder, int, unsafe.Pointer) int { return -1 }

// ownPlan returns the plan of a type with an UnmarshalJSON method, which it calls.
func ownPlan(t reflect.Type) plan {
	return func(d *decoder, i int, into unsafe.Pointer) int {
		end := d.skip(i)
		if end < 0 || reflect.NewAt(t, into).Interface().(json.Unmarshaler).UnmarshalJSON(d.data[i:end]) != nil {
			return -1
		}
		return end
	}
}

func pointerPlan(t reflect.Type) plan {
	elem, place := planOf(t.Elem()), placeOf(t.Elem())
	return func(d *decoder, i int, into unsafe.Pointer) int {
		if d.at(i) == 'n' {
			return d.null(i)
		}
		at := place(d)
		*(*unsafe.Pointer)(into) = at
		return elem(d, i, at)
	}
}

// slabs hold the scalars that pointers in objects point to. An object has many of
// them, and each allocation serves several.
type slabs struct {
	bools   []bool
	int32s  []int32
	int64s  []int64
	strings []string

	// The value that decodeMap copies into a map next.
	label    string
	quantity resource.Quantity
}

// placeOf returns a function that allocates a zero value of a type.
func placeOf(t reflect.Type) func(d *decoder) unsafe.Pointer {
	switch t.Kind() {
	case reflect.Bool:
		return func(d *decoder) unsafe.Pointer { return place(&d.bools) }
	case reflect.Int32:
		return func(d *decoder) unsafe.Pointer { return place(&d.int32s) }
	case reflect.Int64:
		return func(d *decoder) unsafe.Pointer { return place(&d.int64s) }
	case reflect.String:
		return func(d *decoder) unsafe.Pointer { return place(&d.strings) }
	}
	return func(*decoder) unsafe.Pointer { return reflect.New(t).UnsafePointer() }
}

func place[T any](slab *[]T) unsafe.Pointer {
	n := len(*slab)
	if n == cap(*slab) {
		*slab, n = make([]T, 0, 8), 0
	}
	*slab = (*slab)[:n+1]
	return unsafe.Pointer(&(*slab)[n])
}

// A sliceHeader has the memory layout of a slice of any type.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// firstBytes is the number of bytes that are first allocated for a slice, or one
// element if that is larger.
const firstBytes = 256

func slicePlan(t reflect.Type) plan {
	if t.Elem().Kind() == reflect.Uint8 {
		return unknown // base64
	}
	elem, size := planOf(t.Elem()), t.Elem().Size()
	begin := max(1, firstBytes/int(max(1, size)))
	return func(d *decoder, i int, into unsafe.Pointer) int {
		if d.at(i) != '[' {
			return d.null(i)
		}
		i, more := d.first(i+1, ']')
		if !more && i >= 0 {
			reflect.NewAt(t, into).Elem().Set(reflect.MakeSlice(t, 0, 0))
		}
		slice := (*sliceHeader)(into)
		for more {
			switch {
			case slice.cap == 0:
				reflect.NewAt(t, into).Elem().Grow(begin)
			case slice.len == slice.cap:
				reflect.NewAt(t, into).Elem().Grow(1)
			}
			at := unsafe.Add(slice.data, uintptr(slice.len)*size)
			slice.len++
			if i = elem(d, i, at); i < 0 {
				return -1
			}
			i, more = d.next(i, ']')
		}
		return i
	}
}

func mapPlan(t reflect.Type) plan {
	if t.Key().Kind() != reflect.String ||
		reflect.PointerTo(t.Key()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return unknown
	}
	elem := planOf(t.Elem())
	return func(d *decoder, i int, into unsafe.Pointer) int {
		if d.at(i) != '{' {
			return d.null(i)
		}
		m := reflect.MakeMap(t)
		reflect.NewAt(t, into).Elem().Set(m)
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()) // the map copies them
		return d.members(i, func(name string, i int) int {
			key.SetString(name)
			value.Elem().SetZero()
			if i = elem(d, i, value.UnsafePointer()); i >= 0 {
				m.SetMapIndex(key, value.Elem())
			}
			return i
		}, m.Len)
	}
}

// decodeMap decodes the members of an object into a map. It decodes each value
// into *value, and copies it from there.
func decodeMap[K ~string, V any](d *decoder, i int, into unsafe.Pointer, value *V, elem plan) int {
	if d.at(i) != '{' {
		return d.null(i)
	}
	m := map[K]V{}
	*(*map[K]V)(into) = m
	return d.members(i, func(name string, i int) int {
		var zero V
		*value = zero
		if i = elem(d, i, unsafe.Pointer(value)); i >= 0 {
			m[K(name)] = *value
		}
		return i
	}, func() int { return len(m) })
}

// members calls member with each key of the object at i, and the index of its
// value. Kept returns the number of different keys.
func (d *decoder) members(i int, member func(name string, i int) int, kept func() int) int {
	i, more := d.first(i+1, '}')
	n := 0
	for ; more; n++ {
		name, weighs, value := d.key(i)
		if value < 0 {
			return -1
		}
		if i = member(name, value); i < 0 {
			return -1
		}
		d.weighed(weighs)
		i, more = d.next(i, '}')
	}
	if n != kept() { // a key occurs twice
		return -1
	}
	return i
}
