// Package quantity protects against quantities that take hours to parse or to
// compare: every decoder of foreign JSON must use it.
package quantity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"

	"stayput.dev/internal/jsonscan"
)

// The limits of a quantity that does not count as heavy. The largest that
// Kubernetes can use is 2^63.
const (
	mostDigits         = 100
	mostExponentDigits = 3
)

// Heavy says whether it could take long to read a text as a quantity, or to
// compare with what was read: k8s.io/apimachinery 0.37 takes hours and gigabytes
// for some exponents, and seconds for very many digits. Tests stay just beyond
// the limits, where every parser answers at once.
func Heavy[T string | []byte](text T) bool {
	i := 0
	for i < len(text) && (text[i] <= ' ' || text[i] >= 0x80) { // white space
		i++
	}
	digits := i
	for i < len(text) && ('0' <= text[i] && text[i] <= '9' || text[i] == '.' || text[i] == '+' || text[i] == '-') {
		i++
	}
	if i == digits {
		return false // no quantity
	}
	if i-digits > mostDigits {
		return true
	}
	if i == len(text) || text[i] != 'e' && text[i] != 'E' {
		return false
	}
	for i++; i < len(text) && (text[i] == '+' || text[i] == '-' || text[i] == '0'); i++ {
	}
	exponent := i
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	return i-exponent > mostExponentDigits
}

// Check returns an [Error] if JSON has a [Heavy] quantity in a field where the
// type that like points to has a quantity. Call it before decoding JSON with
// quantities, or call Heavy for each of them. It does not validate.
func Check(data []byte, like any) error {
	w := walk{data: data}
	w.value(0, reflect.TypeOf(like))
	if w.found == nil {
		return nil
	}
	slices.Reverse(w.found)
	return &Error{strings.TrimPrefix(strings.Join(w.found, ""), ".")}
}

// An Error says which field is a quantity that could take hours to read.
type Error struct{ Field string }

func (e *Error) Error() string {
	return fmt.Sprintf("%s: a quantity must have at most %d digits, and %d in its exponent", e.Field, mostDigits,
		mostExponentDigits)
}

// A walk goes through unknown JSON together with a type. Its methods return the
// end of the value, or the end of the text if it is malformed.
type walk struct {
	data  []byte
	found []string // the steps to a heavy quantity, the last first
}

// at returns the byte at i, 0 at the end.
func (w *walk) at(i int) byte {
	if i < len(w.data) {
		return w.data[i]
	}
	return 0
}

// value goes through the value at i, of a type.
func (w *walk) value(i int, t reflect.Type) int {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	i = jsonscan.SpaceEnd(w.data, i)
	switch {
	case !holdsQuantity(t):
	case t == reflect.TypeFor[resource.Quantity]():
		end := jsonscan.ValueEnd(w.data, i)
		if Heavy(bytes.Trim(w.data[i:end], `"`)) {
			w.found = []string{}
			return len(w.data)
		}
		return end
	case t.Kind() == reflect.Struct && w.at(i) == '{':
		types := typesOf(t)
		return w.elements(i, '}', func(name string, _, i int) (int, string) {
			if of := types[name]; of != nil {
				return w.value(i, of), "." + name
			}
			return jsonscan.ValueEnd(w.data, i), ""
		})
	case t.Kind() == reflect.Map && w.at(i) == '{':
		return w.elements(i, '}', func(name string, _, i int) (int, string) { return w.value(i, t.Elem()), "[" + name + "]" })
	case t.Kind() == reflect.Slice && w.at(i) == '[':
		return w.elements(i, ']', func(_ string, n, i int) (int, string) {
			return w.value(i, t.Elem()),
				fmt.Sprintf("[%d]", n)
		})
	}
	return jsonscan.ValueEnd(w.data, i)
}

// elements goes through those of the object or the array at i, until something
// is found. Each says where it ends, and what leads to it.
func (w *walk) elements(i int, end byte, each func(name string, n, i int) (int, string)) int {
	i++
	for n := 0; ; n++ {
		if i = jsonscan.SpaceEnd(w.data, i); w.at(i) == ',' {
			i = jsonscan.SpaceEnd(w.data, i+1)
		}
		if w.at(i) == end {
			return i + 1
		}
		name := ""
		if end == '}' {
			if w.at(i) != '"' {
				return len(w.data)
			}
			quote := jsonscan.StringEnd(w.data, i+1)
			colon := jsonscan.SpaceEnd(w.data, quote+1)
			if w.at(colon) != ':' {
				return len(w.data)
			}
			if name = string(w.data[i+1 : quote]); strings.Contains(name, `\`) {
				_ = json.Unmarshal(w.data[i:quote+1], &name) // or it is no known one
			}
			i = jsonscan.SpaceEnd(w.data, colon+1)
		}
		before := i
		var step string
		if i, step = each(name, n, i); w.found != nil {
			w.found = append(w.found, step)
			return len(w.data)
		}
		if i <= before {
			return len(w.data)
		}
	}
}

// quantities says of types whether they hold any, and structs of fields by name:
// reflection takes its time.
var quantities, fieldTypes sync.Map

// holdsQuantity says whether a value of a type may hold a quantity.
func holdsQuantity(t reflect.Type) bool {
	if known, ok := quantities.Load(t); ok {
		return known.(bool)
	}
	holds := reaches(t, map[reflect.Type]bool{})
	quantities.Store(t, holds)
	return holds
}

// reaches is holdsQuantity for a new type, found within another one.
func reaches(t reflect.Type, asked map[reflect.Type]bool) bool {
	if t == reflect.TypeFor[resource.Quantity]() {
		return true
	}
	if asked[t] {
		return false
	}
	asked[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return reaches(t.Elem(), asked)
	case reflect.Struct:
		for i := range t.NumField() {
			if reaches(t.Field(i).Type, asked) {
				return true
			}
		}
	}
	return false
}

// typesOf returns the types of a struct's fields, by their names in JSON.
func typesOf(t reflect.Type) map[string]reflect.Type {
	if known, ok := fieldTypes.Load(t); ok {
		return known.(map[string]reflect.Type)
	}
	types := map[string]reflect.Type{}
	for f := range t.Fields() {
		switch name, _, _ := strings.Cut(f.Tag.Get("json"), ","); {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			maps.Copy(types, typesOf(f.Type))
		case name != "":
			types[name] = f.Type
		case f.IsExported():
			types[f.Name] = f.Type
		}
	}
	fieldTypes.Store(t, types)
	return types
}
