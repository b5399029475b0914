package validators

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

// A Read is something in an object that a check looks at. An update that leaves
// all reads of a check as they were is nothing to the check.
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

	// Over, unless it is nil, is a number: all that is looked at is whether the
	// field, a number of replicas, is greater. Absent replicas are 1.
	Over *int

	steps []step
}

// String returns the read as [Check.Of] takes it.
func (r Read) String() string {
	if r.Over == nil {
		return r.Path
	}
	return fmt.Sprintf("%s > %d", r.Path, *r.Over)
}

// A step leads from a value to what is read of it: to a field of a struct, to
// one key of a map or all that have a prefix, or to every item of a list.
type step struct {
	index  []int // of the field, through what is embedded
	name   []int // of the field that tells items of the list apart, if any
	key    string
	prefix bool
	kind   stepKind
}

type stepKind int

const (
	toField stepKind = iota
	toKey
	toItems
)

// Of says which fields a check reads of its object, instead of all: see
// [Read.Path]; a path may end in "> 1". It panics over a field that the kind
// does not have, when the program starts.
func (c Check) Of(paths ...string) Check {
	c.Reads = make([]Read, len(paths))
	for i, path := range paths {
		read, err := parseRead(c.object, path)
		if err != nil {
			panic(fmt.Sprintf("check of %s: %v", c.Kind.Kind, err))
		}
		c.Reads[i] = read
	}
	return c
}

// narrow says whether a check reads less than all.
func (c Check) narrow() bool {
	all := whole(c.object)
	return !slices.EqualFunc(c.Reads, all, func(a, b Read) bool { return a.String() == b.String() })
}

// parseRead returns a path as the way to a value in a struct of type t.
func parseRead(t reflect.Type, path string) (Read, error) {
	read := Read{Path: path}
	if field, number, ok := strings.Cut(path, " > "); ok {
		n, err := strconv.Atoi(number)
		if err != nil {
			return Read{}, fmt.Errorf("read %q: %w", path, err)
		}
		read.Path, read.Over = field, &n
	}
	brackets := 0
	for _, elem := range cluster.SplitPath(read.Path) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		var s step
		switch t.Kind() {
		case reflect.Struct:
			f, ok := jsonField(t, elem)
			if !ok {
				return Read{}, fmt.Errorf("read %q: %s has no field %s", path, t, elem)
			}
			s.index, t = f.Index, f.Type
		case reflect.Map:
			s.kind = toKey
			s.key, s.prefix = strings.CutSuffix(elem, "*")
			t, brackets = t.Elem(), brackets+1
		case reflect.Slice:
			if elem != "*" {
				return Read{}, fmt.Errorf("read %q: [%s] of a list, and not [*]", path, elem)
			}
			s.kind, t, brackets = toItems, t.Elem(), brackets+1
			if f, ok := jsonField(t, "name"); ok {
				s.name = f.Index
			} else if meta, ok := jsonField(t, "metadata"); ok {
				f, _ := jsonField(meta.Type, "name")
				s.name = slices.Concat(meta.Index, f.Index)
			}
		default:
			return Read{}, fmt.Errorf("read %q: %s is behind a %s", path, elem, t)
		}
		read.steps = append(read.steps, s)
	}
	if brackets > 1 {
		return Read{}, fmt.Errorf("read %q: more than one list or map", path)
	}
	if last := read.steps[len(read.steps)-1]; last.kind == toKey && t.Kind() != reflect.String {
		return Read{}, fmt.Errorf("read %q: the map is none of strings", path)
	}
	if read.Over != nil && t != reflect.TypeFor[*int32]() {
		return Read{}, fmt.Errorf("read %q: no number of replicas", path)
	}
	return read, nil
}

// jsonField returns the field of a struct, or of what is embedded in it, that
// has a name in manifests.
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
				in.Index = slices.Concat(f.Index, in.Index)
				return in, true
			}
		}
	}
	return reflect.StructField{}, false
}

// wholes holds the reads of [whole] by type.
var wholes sync.Map

// whole returns the reads of whoever says nothing else: labels, annotations and
// all that an object's author writes outside of the metadata, which is the spec
// of most kinds.
func whole(t reflect.Type) []Read {
	if reads, ok := wholes.Load(t); ok {
		return reads.([]Read)
	}
	var reads []Read
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch name {
		case "": // apiVersion and kind
		case "status":
		case "metadata":
			for _, list := range []string{"labels", "annotations"} {
				in, _ := jsonField(f.Type, list)
				reads = append(reads, Read{Path: name + "." + list, steps: []step{{index: slices.Concat(f.Index, in.Index)}}})
			}
		default:
			reads = append(reads, Read{Path: name, steps: []step{{index: f.Index}}})
		}
	}
	wholes.Store(t, reads)
	return reads
}

// changed says whether an update changed anything that a rule may ask about:
// labels, annotations, or what stands outside of metadata and status.
func changed(old, obj client.Object) bool {
	was, is := reflect.ValueOf(old).Elem(), reflect.ValueOf(obj).Elem()
	return was.Type() != is.Type() || differ(whole(is.Type()), was, is)
}

// differ says whether any read of two structs of one type came to something
// else.
func differ(reads []Read, was, is reflect.Value) bool {
	for i := range reads {
		if !reads[i].same(was, is) {
			return true
		}
	}
	return false
}

// same says whether the field is the same in two structs.
func (r *Read) same(was, is reflect.Value) bool {
	if r.Over != nil {
		return r.over(was) == r.over(is)
	}
	return sameAt(r.steps, was, is)
}

func (r *Read) over(obj reflect.Value) bool {
	n := 1
	if at := reach(r.steps, obj); at.IsValid() && !at.IsNil() {
		n = int(at.Elem().Int())
	}
	return n > *r.Over
}

// sameAt follows steps into two values, which are not valid where there is
// nothing.
func sameAt(steps []step, was, is reflect.Value) bool {
	fields := 0
	for fields < len(steps) && steps[fields].kind == toField {
		fields++
	}
	was, is = reach(steps[:fields], was), reach(steps[:fields], is)
	if fields == len(steps) {
		return sameOrEmpty(was, is)
	}
	if s := steps[fields]; s.kind == toKey {
		return s.sameKeys(stringMap(was), stringMap(is))
	}
	return steps[fields].sameItems(steps[fields+1:], was, is)
}

// reach returns the field that steps lead to, or the zero Value where a pointer
// on the way is nil.
func reach(steps []step, v reflect.Value) reflect.Value {
	for _, s := range steps {
		for v.IsValid() && v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.IsValid() {
			return v
		}
		for _, i := range s.index {
			v = v.Field(i)
		}
	}
	return v
}

func stringMap(v reflect.Value) map[string]string {
	if !v.IsValid() {
		return nil
	}
	m, _ := v.Interface().(map[string]string)
	return m
}

func (s step) sameKeys(was, is map[string]string) bool {
	if !s.prefix {
		a, had := was[s.key]
		b, has := is[s.key]
		return had == has && a == b
	}
	n := 0
	for k, v := range was {
		if strings.HasPrefix(k, s.key) {
			if now, ok := is[k]; !ok || now != v {
				return false
			}
			n++
		}
	}
	for k := range is {
		if strings.HasPrefix(k, s.key) {
			n--
		}
	}
	return n == 0
}

// sameItems compares what steps lead to in the items of two lists, item by
// item: of those that have it.
func (s step) sameItems(steps []step, was, is reflect.Value) bool {
	a, b := items{s, steps, was, -1}, items{s, steps, is, -1}
	for {
		before, had := a.next()
		after, has := b.next()
		if !had || !has {
			return had == has
		}
		if a.name() != b.name() || !same(before, after) {
			return false
		}
	}
}

// items goes through the items of a list that have a field.
type items struct {
	step
	steps []step
	list  reflect.Value
	at    int
}

// next returns the field of the next item that has it, and false behind the
// last.
func (i *items) next() (reflect.Value, bool) {
	for i.list.IsValid() && i.at+1 < i.list.Len() {
		i.at++
		if v := reach(i.steps, i.list.Index(i.at)); !empty(v) {
			return v, true
		}
	}
	return reflect.Value{}, false
}

// name returns the name of the present item, or "" if such items have none.
func (i *items) name() string {
	if i.step.name == nil {
		return ""
	}
	v := i.list.Index(i.at)
	for _, field := range i.step.name {
		v = v.Field(field)
	}
	return v.String()
}

// exemptionsDiffer says whether an update wrote or removed an exemption, from
// whichever rule: to that rule it is a change.
func exemptionsDiffer(old, obj client.Object) bool {
	exemptions := step{key: cluster.ExemptPrefix, prefix: true}
	return !exemptions.sameKeys(old.GetAnnotations(), obj.GetAnnotations())
}

// exemptionDiffers says so of the exemption from one rule.
func exemptionDiffers(rule string, old, obj client.Object) bool {
	return !step{key: cluster.ExemptPrefix + rule}.sameKeys(old.GetAnnotations(), obj.GetAnnotations())
}
