package wire

import (
	"encoding"
	"encoding/json"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// A plan decodes the next value into one of a type, which is zero.
type plan func(d *decoder, v reflect.Value) bool

// plans are those that were made, by their reflect.Type.
var plans sync.Map

// planOf returns the plan of a type.
func planOf(t reflect.Type) plan {
	if p, ok := plans.Load(t); ok {
		return p.(plan)
	}
	// A type may hold others of itself: they find this, and wait.
	var made plan
	var once sync.WaitGroup
	once.Add(1)
	first, loaded := plans.LoadOrStore(t, plan(func(d *decoder, v reflect.Value) bool {
		once.Wait()
		return made(d, v)
	}))
	if loaded {
		return first.(plan)
	}
	made = makePlan(t)
	once.Done()
	plans.Store(t, made)
	return made
}

func makePlan(t reflect.Type) plan {
	pointer := reflect.PointerTo(t)
	switch {
	case t == reflect.TypeFor[runtime.RawExtension]():
		return decodeRaw
	case t == reflect.TypeFor[[]metav1.ManagedFieldsEntry]():
		return managedFieldsPlan(t)
	case t.Kind() == reflect.Pointer:
		return pointerPlan(t)
	case t.Kind() == reflect.Interface:
		return unknown
	case pointer.Implements(reflect.TypeFor[json.Unmarshaler]()):
		return decodeOwn
	case pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return unknown
	}
	switch t.Kind() {
	case reflect.String:
		return decodeString
	case reflect.Bool:
		return decodeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return decodeInt
	case reflect.Slice:
		return slicePlan(t)
	case reflect.Map:
		return mapPlan(t)
	case reflect.Struct:
		return structPlan(t)
	}
	return unknown
}

// unknown is the plan of types that are left to others.
func unknown(*decoder, reflect.Value) bool { return false }

func decodeString(d *decoder, v reflect.Value) bool {
	if d.peek() != '"' {
		return d.null()
	}
	s, ok := d.string()
	if ok {
		v.SetString(s)
	}
	return ok
}

func decodeBool(d *decoder, v reflect.Value) bool {
	switch d.peek() {
	case 't':
		v.SetBool(true)
		return d.literal("true")
	case 'f':
		return d.literal("false")
	}
	return d.null()
}

func decodeInt(d *decoder, v reflect.Value) bool {
	if d.peek() == 'n' {
		return d.literal("null")
	}
	n, ok := d.integer()
	if !ok || v.OverflowInt(n) {
		return false
	}
	v.SetInt(n)
	return true
}

// decodeOwn is the plan of types that decode themselves: times, quantities,
// managed fields.
func decodeOwn(d *decoder, v reflect.Value) bool {
	d.peek()
	start := d.pos
	return d.skip() && v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(d.data[start:d.pos]) == nil
}

// decodeRaw takes a part of the document as it stands.
func decodeRaw(d *decoder, v reflect.Value) bool {
	if d.null() {
		return true
	}
	start := d.pos
	if !d.skip() {
		return false
	}
	v.Addr().Interface().(*runtime.RawExtension).Raw = d.data[start:d.pos:d.pos]
	d.parts = append(d.parts, part{start, d.pos})
	return true
}

func managedFieldsPlan(t reflect.Type) plan {
	wanted := slicePlan(t)
	return func(d *decoder, v reflect.Value) bool {
		if d.noManagedFields {
			return d.skip()
		}
		return wanted(d, v)
	}
}

func pointerPlan(t reflect.Type) plan {
	elem := planOf(t.Elem())
	return func(d *decoder, v reflect.Value) bool {
		if d.null() {
			return true
		}
		v.Set(reflect.New(t.Elem()))
		return elem(d, v.Elem())
	}
}

func slicePlan(t reflect.Type) plan {
	if t.Elem().Kind() == reflect.Uint8 {
		return unknown // base64
	}
	elem := planOf(t.Elem())
	return func(d *decoder, v reflect.Value) bool {
		if d.null() {
			return true
		}
		if !d.enter('[') {
			return false
		}
		for i := 0; ; i++ {
			more, ok := d.more(i == 0, ']')
			if !ok {
				return false
			}
			if !more {
				if i == 0 {
					v.Set(reflect.MakeSlice(t, 0, 0))
				}
				return true
			}
			if i == v.Cap() {
				v.Grow(1)
			}
			v.SetLen(i + 1)
			if !elem(d, v.Index(i)) {
				return false
			}
		}
	}
}

func mapPlan(t reflect.Type) plan {
	if t == reflect.TypeFor[map[string]string]() {
		return decodeStrings
	}
	if t.Key().Kind() != reflect.String || reflect.PointerTo(t.Key()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return unknown
	}
	elem := planOf(t.Elem())
	return func(d *decoder, v reflect.Value) bool {
		if d.null() {
			return true
		}
		if !d.enter('{') {
			return false
		}
		m := reflect.MakeMap(t)
		v.Set(m)
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem() // of which the map has copies
		for n := 0; ; n++ {
			more, ok := d.more(n == 0, '}')
			if !ok {
				return false
			}
			if !more {
				return m.Len() == n // or a key occurs twice
			}
			name, ok := d.key()
			if !ok {
				return false
			}
			key.SetString(name)
			value.SetZero()
			if !elem(d, value) {
				return false
			}
			m.SetMapIndex(key, value)
		}
	}
}

// decodeStrings is the plan of labels and annotations.
func decodeStrings(d *decoder, v reflect.Value) bool {
	if d.null() {
		return true
	}
	if !d.enter('{') {
		return false
	}
	m := map[string]string{}
	*v.Addr().Interface().(*map[string]string) = m
	for n := 0; ; n++ {
		more, ok := d.more(n == 0, '}')
		if !ok {
			return false
		}
		if !more {
			return len(m) == n // or a key occurs twice
		}
		name, ok := d.key()
		if !ok {
			return false
		}
		value := ""
		if !d.null() {
			if d.peek() != '"' {
				return false
			}
			if value, ok = d.string(); !ok {
				return false
			}
		}
		m[name] = value
	}
}
