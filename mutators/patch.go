package mutators

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An Operation is one of a JSON patch (RFC 6902): replace where there is a value
// that is not empty, else add, which replaces an empty one, too.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"` // a JSON pointer
	Value any    `json:"value"`
}

// An assignment is a value that a mutator set.
type assignment struct {
	path    []string // the names that lead to it in JSON
	value   any
	replace bool // there was a value
	inside  bool // what holds it is known to be there
}

// set assigns a value to a field of the object, and records it: path is the names
// that lead to the field in JSON. A value that the field has already is none. Of
// a pointer, the address counts.
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

// Patch returns the operations that make to raw, which the object was decoded
// from, what the mutators set. What raw holds otherwise, which includes fields that
// our types do not know, is in none of them. An error means that raw is no JSON of
// an object.
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

// has says whether there is an object at a path of raw, or is once the operations
// at some paths are done. That a Go value is not zero says that it was decoded
// from something: raw is only read where one is.
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

// fieldSet says whether the field of an object that has a name in JSON is not zero.
func fieldSet(obj client.Object, name string) bool {
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
