package mutators

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

// An Operation is one of a JSON patch (RFC 6902): replace if there is a value
// that is not empty, or else add, which also replaces an empty one.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"` // a JSON pointer
	Value any    `json:"value"`
}

// An assignment is a value that a mutator set.
type assignment struct {
	path    []string // the JSON names that lead to it
	value   any
	replace bool // there was a value
	inside  bool // its parent is known to exist
}

// set assigns a value to a field of the object and records that, unless the
// field has the value already. Path is the JSON names that lead to the field.
// Pointers are compared by address.
func set[T comparable](p *Pass, field *T, value T, path ...string) {
	if *field == value {
		return
	}
	var empty T
	p.assigned = append(p.assigned, assignment{path: path, value: value, replace: *field != empty})
	*field = value
}

// annotate sets an annotation of the object, and records it, as [set] does.
func (p *Pass) annotate(meta *metav1.ObjectMeta, key, value string) {
	old, has := meta.Annotations[key]
	if has && old == value {
		return
	}
	a := assignment{path: []string{"metadata", "annotations", key}, value: value, replace: has, inside: true}
	if meta.Annotations == nil {
		a = assignment{path: a.path[:2], value: map[string]string{key: value}}
	}
	p.assigned = append(p.assigned, a)
	metav1.SetMetaDataAnnotation(meta, key, value)
}

// Patch returns the operations that apply the mutators' assignments to raw, the
// JSON that the object was decoded from. They touch nothing else in raw, such
// as fields that our types do not know. An error means that raw is not a JSON
// object.
func (r *Result) Patch(raw []byte) ([]Operation, error) {
	var made [][]string // paths of operations
	var ops []Operation
	for _, a := range r.assigned {
		path, op := a.path, Operation{Op: "add", Value: a.value}
		if a.replace {
			op.Op = "replace"
		}
		for n := 1; n < len(path) && !a.inside; n++ {
			there, err := r.has(raw, path[:n], made)
			if err != nil {
				return nil, fmt.Errorf("decode %s: %w", pointer(path[:n]), err)
			}
			if there {
				continue
			}
			for _, name := range slices.Backward(path[n:]) {
				op.Value = map[string]any{name: op.Value}
			}
			path = path[:n]
		}
		op.Path = pointer(path)
		made, ops = append(made, path), append(ops, op)
	}
	return ops, nil
}

// has says whether raw has an object at a path, or will have one after the
// operations at the paths in made. A field that is not zero in Go was decoded
// from JSON, so raw is read only if it is zero.
func (r *Result) has(raw []byte, path []string, made [][]string) (bool, error) {
	for _, m := range made {
		if len(m) >= len(path) && slices.Equal(m[:len(path)], path) {
			return true, nil
		}
	}
	if len(path) == 1 && fieldSet(r.before, path[0]) {
		return true, nil
	}
	for _, name := range path {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			return false, err
		}
		if raw = members[name]; raw == nil || bytes.Equal(raw, []byte("null")) {
			return false, nil
		}
	}
	return true, nil
}

// fieldSet says whether the field of an object with a JSON name is not zero.
func fieldSet(obj cluster.Object, name string) bool {
	v := reflect.ValueOf(obj).Elem()
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == name {
			return !v.Field(i).IsZero()
		}
	}
	return false
}

// pointer returns the JSON pointer of a path.
func pointer(path []string) string {
	var b strings.Builder
	for _, name := range path {
		b.WriteByte('/')
		b.WriteString(escape.Replace(name))
	}
	return b.String()
}

// escape escapes an element of a JSON pointer.
var escape = strings.NewReplacer("~", "~0", "/", "~1")
