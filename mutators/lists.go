package mutators

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"gomodules.xyz/jsonpatch/v2"
)

// items compares two lists. It first removes what is gone, last first, and then
// goes through the list from its beginning, inserting what is new and fetching
// what has moved, as it stood on the wire.
func (d *differ) items(path string, raw []json.RawMessage, was, is reflect.Value) error {
	if len(raw) != was.Len() {
		return fmt.Errorf("%s: has %d items, and %d on the wire: before was not decoded from raw", path, was.Len(), len(raw))
	}
	at := func(i int) string { return path + "/" + strconv.Itoa(i) }
	from := counterparts(was, is)
	var now []int // the items that the list holds at this point, by their first place
	for j := range raw {
		if slices.Contains(from, j) {
			now = append(now, j)
		}
	}
	for j := len(raw) - 1; j >= 0; j-- {
		if !slices.Contains(from, j) {
			d.ops = append(d.ops, jsonpatch.NewOperation("remove", at(j), nil))
		}
	}
	for i, j := range from {
		if j < 0 {
			if err := d.put(at(i), false, reflect.Value{}, is.Index(i)); err != nil {
				return err
			}
			now = slices.Insert(now, i, -1)
			continue
		}
		if k := slices.Index(now, j); k != i {
			d.ops = append(d.ops, jsonpatch.NewOperation("remove", at(k), nil), jsonpatch.NewOperation("add", at(i), raw[j]))
			now = slices.Insert(slices.Delete(now, k, k+1), i, j)
		}
		if w := was.Index(j); !same(w, is.Index(i)) {
			if err := d.value(at(i), &place{raw: raw[j]}, w, is.Index(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// counterparts returns, for each item of is, the index in was of what it was,
// or -1 if it is new. An item is the same if it is equal, or else has the same
// name, or else, having no name in a list that kept its length, has the same
// place.
func counterparts(was, is reflect.Value) []int {
	from := slices.Repeat([]int{-1}, is.Len())
	taken := make([]bool, was.Len())
	match := func(is func(i, j int) bool) {
		for i := range from {
			for j := range taken {
				if from[i] < 0 && !taken[j] && is(i, j) {
					from[i], taken[j] = j, true
				}
			}
		}
	}
	match(func(i, j int) bool { return i == j && same(was.Index(j), is.Index(i)) })
	match(func(i, j int) bool { return same(was.Index(j), is.Index(i)) })
	match(func(i, j int) bool { n := nameOf(is.Index(i)); return n != "" && n == nameOf(was.Index(j)) })
	if was.Len() == is.Len() {
		match(func(i, j int) bool { return i == j && nameOf(is.Index(i)) == "" && nameOf(was.Index(j)) == "" })
	}
	return from
}

// nameOf returns the name of a list item; a claim template has it in its
// metadata.
func nameOf(item reflect.Value) string {
	if item = deref(item); item.IsValid() && item.Kind() == reflect.Struct {
		if name := item.FieldByName("Name"); name.IsValid() && name.Kind() == reflect.String {
			return name.String()
		}
	}
	return ""
}
