package mutators

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A shape is how a Go value is written in JSON, as far as a patch can reach
// into it.
type shape int

const (
	leaf shape = iota // scalars, nulls, and what has a notation of its own
	structure
	mapping
	list
)

func shapeOf(v reflect.Value) shape {
	t := v.Type()
	switch k := t.Kind(); {
	case k != reflect.Struct && k != reflect.Map && k != reflect.Slice, marshals(t), marshals(reflect.PointerTo(t)):
		return leaf
	case k == reflect.Struct:
		return structure
	case v.IsNil():
		return leaf
	case k == reflect.Map && t.Key().Kind() == reflect.String && !marshals(t.Key()):
		return mapping
	case k == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		return list
	}
	return leaf
}

// marshals says whether a type has a notation of its own in JSON.
func marshals(t reflect.Type) bool {
	if known, ok := marshalers.Load(t); ok {
		return known.(bool)
	}
	own := implementsMarshaler(t)
	marshalers.Store(t, own)
	return own
}

// marshalers remembers what was asked, for reflection takes its time.
var marshalers sync.Map

func implementsMarshaler(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// A field is a field of a struct as encoding/json sees it.
type field struct {
	name      string // empty if it is not written
	inline    bool   // its own fields are written in its place
	omitempty bool
	omitzero  bool
}

func fieldOf(f reflect.StructField) field {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return field{}
	}
	name, rest, _ := strings.Cut(tag, ",")
	if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
		return field{inline: true}
	}
	if name == "" {
		name = f.Name
	}
	options := strings.Split(rest, ",")
	return field{name, false, slices.Contains(options, "omitempty"), slices.Contains(options, "omitzero")}
}

// written returns the value of the field, invalid if it is left out. Null
// counts as left out: it decodes to the same.
func (f field) written(v reflect.Value) reflect.Value {
	empty := false
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		empty = v.IsNil()
	case reflect.Map, reflect.Slice:
		empty = v.IsNil() || f.omitempty && v.Len() == 0
	case reflect.Struct:
		empty = f.omitzero && v.IsZero() && shapeOf(v) == leaf
	default:
		empty = (f.omitempty || f.omitzero) && v.IsZero()
	}
	if empty {
		return reflect.Value{}
	}
	return v
}

// deref returns what a pointer points to. A nil pointer is returned as it is.
func deref(v reflect.Value) reflect.Value {
	for v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v
}

// same says whether two values are equal. Most are, and share their memory: to
// compare those is what it is quick at.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return a.Int() == b.Int()
	case reflect.Pointer, reflect.Map:
		if a.UnsafePointer() == b.UnsafePointer() {
			return true
		}
	case reflect.Slice:
		if a.UnsafePointer() == b.UnsafePointer() && a.Len() == b.Len() {
			return true
		}
	case reflect.Struct:
		return sameFields(a, b)
	}
	return equal(a, b)
}

// sameFields is same for structs.
func sameFields(a, b reflect.Value) bool {
	for n := range a.NumField() {
		field := a.Field(n)
		if !field.CanInterface() {
			return equal(a, b)
		}
		if !same(field, b.Field(n)) {
			return false
		}
	}
	return true
}

// equal says whether two values are equal, through their addresses if they have
// any: so they need not be copied.
func equal(a, b reflect.Value) bool {
	if a.CanAddr() && b.CanAddr() {
		if labels, ok := a.Addr().Interface().(*map[string]string); ok {
			other := *b.Addr().Interface().(*map[string]string)
			return (*labels == nil) == (other == nil) && maps.Equal(*labels, other)
		}
		return reflect.DeepEqual(a.Addr().Interface(), b.Addr().Interface())
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// encode returns the JSON of a value.
func encode(v reflect.Value) (json.RawMessage, error) {
	if v.CanAddr() {
		return json.Marshal(v.Addr().Interface())
	}
	return json.Marshal(v.Interface())
}
