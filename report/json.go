package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
)

// JSON writes the report as a document of the schema docs/report.schema.json.
func (r *Report) JSON(w io.Writer) error {
	if err := writeJSON(w, r, nil, Inventory{}); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// writeJSON writes a struct as encoding/json does with an indent of two spaces,
// but encodes one item of a list at a time: encoding/json makes the whole text
// twice before it writes any, which is 500 MiB for a large cluster.
//
// Document points to the struct. It is written member by member, and so are
// structs in it of the same types as the values in open. These types must not have
// embedded fields. Streams replace lists that are too large for memory; the key is
// the address of the field.
func writeJSON(w io.Writer, document any, streams map[any]iter.Seq[any], open ...any) error {
	e := encoder{w: bufio.NewWriter(w), streams: streams}
	root := reflect.ValueOf(document).Elem()
	e.open = []reflect.Type{root.Type()}
	for _, example := range open {
		e.open = append(e.open, reflect.TypeOf(example))
	}
	e.value(root, "")
	e.write("\n")
	if e.err != nil {
		return e.err
	}
	return e.w.Flush()
}

type encoder struct {
	w       *bufio.Writer
	open    []reflect.Type
	streams map[any]iter.Seq[any]
	err     error // the first error
}

func (e *encoder) write(texts ...string) {
	for _, text := range texts {
		_, err := e.w.WriteString(text)
		e.fail(err)
	}
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// value writes a value. Indent is the indent of the line on which it begins.
func (e *encoder) value(v reflect.Value, indent string) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case v.CanAddr() && e.streams[v.Addr().Interface()] != nil:
		e.list(e.streams[v.Addr().Interface()], indent)
	case v.Kind() == reflect.Slice && v.Len() > 0:
		e.list(func(yield func(any) bool) {
			for i := 0; i < v.Len() && yield(v.Index(i).Addr().Interface()); i++ {
			}
		}, indent)
	case slices.Contains(e.open, v.Type()):
		e.members(v, indent)
	default:
		if v.CanAddr() { // a copy lacks methods of the pointer
			v = v.Addr()
		}
		text, err := json.MarshalIndent(v.Interface(), indent, "  ")
		e.fail(err)
		e.write(string(text))
	}
}

// list writes a list from pointers to its items.
func (e *encoder) list(items iter.Seq[any], indent string) {
	separator := "["
	for item := range items {
		e.write(separator, "\n", indent, "  ")
		e.value(reflect.ValueOf(item), indent+"  ")
		separator = ","
	}
	if separator == "[" {
		e.write("[]")
		return
	}
	e.write("\n", indent, "]")
}

// members writes a struct.
func (e *encoder) members(v reflect.Value, indent string) {
	separator := "{"
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name == "-" || strings.Contains(options, "omitempty") && empty(v.Field(i)) {
			continue
		}
		e.write(separator, "\n", indent, `  "`, name, `": `)
		e.value(v.Field(i), indent+"  ")
		separator = ","
	}
	e.write("\n", indent, "}")
}

// empty says whether the option omitempty leaves a value out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}
