package mutators

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gomodules.xyz/jsonpatch/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Patch returns the operations that make to raw, the wire form of before, the
// change from before to after. It is a three-way merge: what did not change,
// which includes every field of raw that our types do not know, is in no
// operation, and stays with its list item wherever the item goes. The order of
// the operations depends on nothing but the arguments.
//
// The Go values are compared, and of raw only what they cannot tell is decoded:
// generic diffs cost more than all else that a webhook does.
func Patch(raw []byte, before, after client.Object) ([]jsonpatch.Operation, error) {
	if before == after {
		return nil, nil
	}
	was, is := reflect.ValueOf(before), reflect.ValueOf(after)
	if was.Type() != is.Type() || was.Kind() != reflect.Pointer || was.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("patch a %T to a %T: not one Go type of a Kubernetes object", before, after)
	}
	d := &differ{}
	if err := d.fields("", &place{raw: raw}, was.Elem(), is.Elem()); err != nil {
		return nil, err
	}
	return d.ops, nil
}

// A differ collects the operations of one patch. In its methods, path is where
// something is, on is that place of the wire, and was and is are the Go values
// before and after.
type differ struct {
	ops []jsonpatch.Operation
}

// value compares what may have come or gone: was or is may be invalid.
func (d *differ) value(path string, on *place, was, is reflect.Value) error {
	was, is = deref(was), deref(is)
	there, err := on.has(was)
	if err != nil {
		return fmt.Errorf("decode raw%s: %w", path, err)
	}
	switch {
	case !is.IsValid():
		if there {
			d.ops = append(d.ops, jsonpatch.NewOperation("remove", path, nil))
		}
		return nil
	case !was.IsValid() || shapeOf(was) == leaf || shapeOf(is) == leaf:
		return d.put(path, there, was, is)
	}
	shape := shapeOf(is)
	var items []json.RawMessage // of a list
	var open bool               // a struct or a map
	if shape == list {
		items, err = on.items()
	} else {
		open, err = on.opens(was)
	}
	switch {
	case err != nil:
		return fmt.Errorf("decode raw%s: %w", path, err)
	case items != nil:
		return d.items(path, items, was, is)
	case open && shape == mapping:
		return d.keys(path, on, was, is)
	case open:
		return d.fields(path, on, was, is)
	}
	return d.put(path, there, was, is)
}

// put writes a value as a whole, unless it is what it was.
func (d *differ) put(path string, there bool, was, is reflect.Value) error {
	value, err := encode(is)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if was.IsValid() {
		if old, err := encode(was); err == nil && bytes.Equal(old, value) {
			return nil
		}
	}
	op := jsonpatch.NewOperation("add", path, value)
	if there {
		op.Operation = "replace"
	}
	d.ops = append(d.ops, op)
	return nil
}

// fields compares two structs that the wire has as an object.
func (d *differ) fields(path string, on *place, was, is reflect.Value) error {
	t := is.Type()
	for n := range t.NumField() {
		w, i := was.Field(n), is.Field(n)
		if !i.CanInterface() || same(w, i) {
			continue
		}
		f := fieldOf(t.Field(n))
		if f.inline {
			if err := d.fields(path, on, w, i); err != nil {
				return err
			}
			continue
		}
		if f.name == "" {
			continue
		}
		if err := d.value(path+"/"+escape.Replace(f.name), on.member(f.name), f.written(w), f.written(i)); err != nil {
			return err
		}
	}
	return nil
}

// keys compares two maps that the wire has as an object.
func (d *differ) keys(path string, on *place, was, is reflect.Value) error {
	keys := map[string]reflect.Value{}
	for _, m := range []reflect.Value{was, is} {
		for _, k := range m.MapKeys() {
			keys[k.String()] = k
		}
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		w, i := was.MapIndex(keys[name]), is.MapIndex(keys[name])
		if w.IsValid() && i.IsValid() && same(w, i) {
			continue
		}
		if err := d.value(path+"/"+escape.Replace(name), on.member(name), w, i); err != nil {
			return err
		}
	}
	return nil
}

// escape escapes an element of a JSON pointer.
var escape = strings.NewReplacer("~", "~0", "/", "~1")
