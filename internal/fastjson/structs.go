package fastjson

import (
	"reflect"
	"strings"
	"unsafe"
)

// A field is a field of a struct, or of a struct that it embeds.
type field struct {
	name   string
	offset uintptr
	plan   plan
}

// maxFields is the largest number of fields of a struct: a word has a bit for each.
const maxFields = 64

func structPlan(t reflect.Type) plan {
	fields, ok := fieldsOf(t, 0)
	if !ok || len(fields) > maxFields {
		return unknown
	}
	byName := make(map[string]int, len(fields))
	for i, f := range fields {
		if _, twice := byName[f.name]; twice {
			return unknown
		}
		byName[f.name] = i
	}
	return func(d *decoder, i int, into unsafe.Pointer) int {
		if d.at(i) != '{' {
			return d.null(i)
		}
		var seen uint64
		next := 0
		i, more := d.first(i+1, '}')
		for more {
			name, weighs, value := d.key(i)
			if value < 0 {
				return -1
			}
			if n := find(fields, byName, name, next); n < 0 { // a field of a newer version
				if d.doc.budget.Exact {
					return -1
				}
				i = d.skip(value)
			} else {
				if seen&(1<<n) != 0 {
					return -1
				}
				seen |= 1 << n
				next = n + 1
				f := &fields[n]
				i = f.plan(d, value, unsafe.Add(into, f.offset))
			}
			if i < 0 {
				return -1
			}
			d.weighed(weighs)
			i, more = d.next(i, '}')
		}
		return i
	}
}

// find returns the index of a field, or -1. It tries the fields from next on first,
// because an API server writes most fields in the order of the struct.
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

// fieldsOf returns the fields of a struct as encoding/json sees them. It supports
// neither tag options that change the encoding, nor embedded pointers.
func fieldsOf(t reflect.Type, offset uintptr) (fields []field, ok bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		at := offset + f.Offset
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
