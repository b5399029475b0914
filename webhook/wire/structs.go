package wire

import (
	"reflect"
	"strings"
)

// A field is one of a struct, or of what it embeds.
type field struct {
	name  string
	index []int
	plan  plan
}

// most is how many fields a struct may have: a word has a bit for each.
const most = 64

func structPlan(t reflect.Type) plan {
	fields, ok := fieldsOf(t, nil)
	if !ok || len(fields) > most {
		return unknown
	}
	byName := make(map[string]int, len(fields))
	for i, f := range fields {
		if _, twice := byName[f.name]; twice {
			return unknown
		}
		byName[f.name] = i
	}
	return func(d *decoder, v reflect.Value) bool {
		if d.null() {
			return true
		}
		if !d.enter('{') {
			return false
		}
		var seen uint64
		next := 0
		for first := true; ; first = false {
			more, ok := d.more(first, '}')
			if !ok {
				return false
			}
			if !more {
				return true
			}
			name, ok := d.key()
			if !ok {
				return false
			}
			i := find(fields, byName, name, next)
			if i < 0 { // of a newer version
				if !d.skip() {
					return false
				}
				continue
			}
			if seen&(1<<i) != 0 {
				return false
			}
			seen |= 1 << i
			next = i + 1
			f := &fields[i]
			at := v.Field(f.index[0])
			if len(f.index) > 1 {
				at = at.FieldByIndex(f.index[1:])
			}
			if !f.plan(d, at) {
				return false
			}
		}
	}
}

// find returns the index of a field, or -1. An API server writes most of them
// in their order, so that it is one of the next.
func find(fields []field, byName map[string]int, name string, next int) int {
	for i := next; i < len(fields); i++ {
		if fields[i].name == name {
			return i
		}
	}
	if i, ok := byName[name]; ok {
		return i
	}
	return -1
}

// fieldsOf returns the fields of a struct as encoding/json sees them. It knows
// neither options that change what is written, nor embedded pointers.
func fieldsOf(t reflect.Type, index []int) (fields []field, ok bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		at := append(append([]int{}, index...), i)
		switch {
		case f.Anonymous && (name == "" || !f.IsExported()):
			if f.Type.Kind() != reflect.Struct || !f.IsExported() {
				return nil, false
			}
			inner, ok := fieldsOf(f.Type, at)
			if !ok {
				return nil, false
			}
			fields = append(fields, inner...)
			continue
		case strings.Contains(options, "string"):
			return nil, false
		case name == "":
			name = f.Name
		}
		fields = append(fields, field{name, at, planOf(f.Type)})
	}
	return fields, true
}
