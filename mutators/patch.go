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

	"stayput.dev/webhook/wire"
)

// Patch returns the operations that make to raw, the wire form of before, the
// change from before to after. It is a three-way merge: what did not change,
// which includes every field of raw that our types do not know, is in no
// operation, and stays with its list item wherever the item goes. The order of
// the operations depends on nothing but the arguments.
//
// The Go values are compared, and of raw only what encloses a change is
// decoded: generic diffs cost more than all else that a webhook does.
func Patch(raw []byte, before, after client.Object) ([]jsonpatch.Operation, error) {
	if before == after {
		return nil, nil
	}
	was, is := reflect.ValueOf(before), reflect.ValueOf(after)
	if was.Type() != is.Type() || was.Kind() != reflect.Pointer || was.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("patch a %T to a %T: not one Go type of a Kubernetes object", before, after)
	}
	d := &differ{}
	if err := d.fields("", &object{raw: raw}, was.Elem(), is.Elem()); err != nil {
		return nil, err
	}
	return d.ops, nil
}

// A differ collects the operations of one patch. In its methods, path is where
// something is, raw is what the wire has there (nil if nothing), and was and is
// are the Go values before and after.
type differ struct {
	ops []jsonpatch.Operation
}

// value compares what may have come or gone: was or is may be invalid.
func (d *differ) value(path string, raw json.RawMessage, was, is reflect.Value) error {
	was, is = deref(was), deref(is)
	switch {
	case !is.IsValid():
		if was.IsValid() && raw != nil {
			d.ops = append(d.ops, jsonpatch.NewOperation("remove", path, nil))
		}
		return nil
	case shapeOf(is) == leaf || was.IsValid() && shapeOf(was) == leaf:
		return d.put(path, raw, was, is)
	case shapeOf(is) == list && starts(raw, '['):
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return fmt.Errorf("decode raw%s: %w", path, err)
		}
		return d.items(path, items, orZero(was, is), is)
	case shapeOf(is) == mapping && starts(raw, '{'):
		return d.keys(path, &object{raw: raw}, orZero(was, is), is)
	case shapeOf(is) == structure && starts(raw, '{'):
		return d.fields(path, &object{raw: raw}, orZero(was, is), is)
	}
	return d.put(path, raw, was, is)
}

// put writes a value as a whole, unless it is what it was.
func (d *differ) put(path string, raw json.RawMessage, was, is reflect.Value) error {
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
	if raw != nil {
		op.Operation = "replace"
	}
	d.ops = append(d.ops, op)
	return nil
}

// fields compares two structs that the wire has as an object.
func (d *differ) fields(path string, on *object, was, is reflect.Value) error {
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
		raw, err := on.member(f.name)
		if err != nil {
			return fmt.Errorf("decode raw%s: %w", path, err)
		}
		if err := d.value(path+"/"+escape.Replace(f.name), raw, f.written(w), f.written(i)); err != nil {
			return err
		}
	}
	return nil
}

// keys compares two maps that the wire has as an object.
func (d *differ) keys(path string, on *object, was, is reflect.Value) error {
	keys := map[string]reflect.Value{}
	for _, m := range []reflect.Value{was, is} {
		for _, k := range m.MapKeys() {
			keys[k.String()] = k
		}
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		raw, err := on.member(name)
		if err != nil {
			return fmt.Errorf("decode raw%s: %w", path, err)
		}
		if err := d.value(path+"/"+escape.Replace(name), raw, was.MapIndex(keys[name]), is.MapIndex(keys[name])); err != nil {
			return err
		}
	}
	return nil
}

// An object is a JSON object of the wire, decoded if somebody asks.
type object struct {
	raw     json.RawMessage
	members map[string]json.RawMessage
}

// member returns a member, nil if there is none.
func (o *object) member(name string) (json.RawMessage, error) {
	if o.members == nil {
		members, ok := wire.Members(o.raw)
		if !ok {
			if err := json.Unmarshal(o.raw, &members); err != nil {
				return nil, err
			}
		}
		o.members = members
	}
	return o.members[name], nil
}

// escape escapes an element of a JSON pointer.
var escape = strings.NewReplacer("~", "~0", "/", "~1")

func starts(raw json.RawMessage, c byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == c
}
