package validators

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"stayput.dev/cluster"
	"stayput.dev/internal/same"
)

// A Read is a part of an object that a check reads. A check need not run for an
// update that changes none of its reads.
type Read struct {
	// Path is the path of a field, as in a manifest:
	//
	//	spec.template.spec.hostname
	//	metadata.labels[stayput.dev/mode]     one key of a map
	//	metadata.annotations[stayput.dev/*]   all keys that begin so
	//	spec.template.spec.volumes[*].hostPath
	//
	// The last is that field of each item that has it, with the item's name:
	// what items without it come or go is no change. An absent field is an
	// empty one.
	Path string

	// Over, unless it is nil, is a bound: the check depends only on whether the
	// field, a number of replicas, is greater. Absent replicas count as 1.
	Over *int

	node  *fieldNode // the field, or the list or map that the rest is in
	rest  rest
	keys  keys
	items items
}

// A rest says which part of the field of a [Read] is read.
type rest int

const (
	all     rest = iota
	ofKeys       // the values of some keys of a map
	ofItems      // one field of the items of a list
)

// String returns the read as [Check.Of] takes it.
func (r Read) String() string {
	if r.Over == nil {
		return r.Path
	}
	return fmt.Sprintf("%s > %d", r.Path, *r.Over)
}

// Reads returns the parts of the object that the check reads, besides the name.
// The check does not run for an update that changes none of them. [Check.Of]
// sets them; the default is the labels, the annotations and the whole spec. It
// panics if the kind has no such field, which a test of all rules shows.
func (c Check) Reads() []Read { return c.reads() }

// Of lists the fields of its object that a check reads, instead of all: see
// [Read.Path]. A path may end in "> 1".
func (c Check) Of(paths ...string) Check {
	c.reads = readsOf(c.object, paths)
	return c
}

// readsOf returns the reads of paths into a struct type, which it parses when they
// are first asked for: most commands never ask.
//
//go:noinline
func readsOf(object reflect.Type, paths []string) func() []Read {
	return sync.OnceValue(func() []Read {
		reads := make([]Read, len(paths))
		for i, path := range paths {
			read, err := parseRead(object, path)
			if err != nil {
				panic(fmt.Sprintf("check of %s: %v", object.Name(), err))
			}
			reads[i] = read
		}
		return reads
	})
}

// narrow says whether a check reads only part of its object.
func (c Check) narrow() bool {
	return !slices.EqualFunc(c.Reads(), shapeOf(c.object).whole, func(a, b Read) bool { return a.String() == b.String() })
}

// parseRead converts a path to the location of a value in a struct of type t.
func parseRead(t reflect.Type, path string) (Read, error) {
	read := Read{Path: path}
	if field, number, ok := strings.Cut(path, " > "); ok {
		n, err := strconv.Atoi(number)
		if err != nil {
			return Read{}, fmt.Errorf("read %q: %w", path, err)
		}
		read.Path, read.Over = field, &n
	}
	read.node = shapeOf(t).object
	elems := cluster.SplitPath(read.Path)
	for len(elems) > 0 && read.node.typ.Kind() != reflect.Map && read.node.typ.Kind() != reflect.Slice {
		next := read.node.child(elems[0])
		if next == nil {
			return Read{}, fmt.Errorf("read %q: no author writes %s in a %s", path, elems[0], read.node.typ)
		}
		read.node, elems = next, elems[1:]
	}
	if read.Over != nil && (len(elems) > 0 || read.node.typ != reflect.TypeFor[*int32]()) {
		return Read{}, fmt.Errorf("read %q: no number of replicas", path)
	}
	if len(elems) == 0 {
		return read, nil
	}
	if err := read.within(elems); err != nil {
		return Read{}, fmt.Errorf("read %q: %w", path, err)
	}
	return read, nil
}

// within sets the part of a list or map that is read.
func (r *Read) within(elems []string) error {
	if r.node.typ.Kind() == reflect.Map {
		if r.node.typ != reflect.TypeFor[map[string]string]() || len(elems) > 1 {
			return fmt.Errorf("[%s] of what is no map of strings", elems[0])
		}
		r.rest, r.keys = ofKeys, oneKey(elems[0])
		if prefix, ok := strings.CutSuffix(elems[0], "*"); ok {
			r.keys = keysBegin(prefix)
		}
		return nil
	}
	if elems[0] != "*" {
		return fmt.Errorf("[%s] of a list, and not [*]", elems[0])
	}
	r.rest = ofItems
	return r.items.of(r.node.typ.Elem(), elems[1:])
}

// jsonField returns the field with a name in manifests, of a struct or of an
// embedded one, and its offset from the beginning of the struct.
func jsonField(t reflect.Type, name string) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name {
			return f, true
		}
		if f.Anonymous && (tag == "" || strings.Contains(options, "inline")) {
			if in, ok := jsonField(f.Type, name); ok {
				in.Offset += f.Offset
				return in, true
			}
		}
	}
	return reflect.StructField{}, false
}

// sameWithin says whether the part that is read is the same in two structs
// although the field as a whole differs.
func (r *Read) sameWithin(was, is unsafe.Pointer) bool {
	switch was, is = r.node.of(was), r.node.of(is); {
	case r.Over != nil:
		return r.over(was) == r.over(is)
	case r.rest == ofKeys:
		return r.keys.same(at[map[string]string](was), at[map[string]string](is))
	case r.rest == ofItems:
		return r.items.same(at[[]struct{}](was), at[[]struct{}](is))
	}
	return false
}

// at returns the value of a field, or the zero value where there is no field.
func at[T any](field unsafe.Pointer) (v T) {
	if field != nil {
		v = *(*T)(field)
	}
	return v
}

func (r *Read) over(field unsafe.Pointer) bool {
	n := int32(1)
	if replicas := at[*int32](field); replicas != nil {
		n = *replicas
	}
	return int(n) > *r.Over
}

// keys are one key of a map, or all keys with a prefix.
type keys struct {
	text   string
	prefix bool
}

func oneKey(text string) keys      { return keys{text, false} }
func keysBegin(prefix string) keys { return keys{prefix, true} }

func (k keys) same(was, is map[string]string) bool {
	if !k.prefix {
		a, had := was[k.text]
		b, has := is[k.text]
		return had == has && a == b
	}
	n := 0
	for name, v := range was {
		if strings.HasPrefix(name, k.text) {
			if now, ok := is[name]; !ok || now != v {
				return false
			}
			n++
		}
	}
	for name := range is {
		if strings.HasPrefix(name, k.text) {
			n--
		}
	}
	return n == 0
}

// items are one field of all items of a list that have it, with each item's
// name.
type items struct {
	size  uintptr // of an item
	name  uintptr // offset of its name
	named bool    // whether it has a name
	field uintptr
	equal same.Func
	zero  unsafe.Pointer // points to the value of an absent field
}

// of chooses the field at a path in items of type t.
func (it *items) of(t reflect.Type, path []string) error {
	it.size = t.Size()
	if name, _, ok := within(t, []string{"name"}); ok {
		it.name, it.named = name, true
	} else if name, _, ok := within(t, []string{"metadata", "name"}); ok {
		it.name, it.named = name, true
	}
	offset, field, ok := within(t, path)
	if !ok {
		return fmt.Errorf("a %s has no %s, or it is behind a pointer, in a list or in a map", t, strings.Join(path, "."))
	}
	it.field, it.equal, it.zero = offset, same.Of(field), reflect.New(field).UnsafePointer()
	return nil
}

// within returns the offset and the type of the value at a path in a struct.
func within(t reflect.Type, path []string) (offset uintptr, _ reflect.Type, ok bool) {
	for _, name := range path {
		f, ok := jsonField(t, name)
		if !ok {
			return 0, nil, false
		}
		offset, t = offset+f.Offset, f.Type
	}
	return offset, t, true
}

// same compares two lists item by item.
func (it *items) same(was, is []struct{}) bool {
	a, b := itemsOf(was), itemsOf(is)
	for {
		before, after := it.next(&a), it.next(&b)
		if before == nil || after == nil {
			return before == after
		}
		if it.named && at[string](unsafe.Add(before, it.name)) != at[string](unsafe.Add(after, it.name)) {
			return false
		}
		if !it.equal(unsafe.Add(before, it.field), unsafe.Add(after, it.field)) {
			return false
		}
	}
}

// A remaining is the unread end of a list. Only [items] knows the size of its
// items.
type remaining struct {
	first unsafe.Pointer
	n, at int
}

func itemsOf(list []struct{}) remaining {
	return remaining{unsafe.Pointer(unsafe.SliceData(list)), len(list), 0}
}

// next returns the next item that has the field, or nil at the end.
func (it *items) next(list *remaining) unsafe.Pointer {
	for list.at < list.n {
		item := unsafe.Add(list.first, uintptr(list.at)*it.size)
		list.at++
		if !it.equal(unsafe.Add(item, it.field), it.zero) {
			return item
		}
	}
	return nil
}
