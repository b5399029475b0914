package webhook

import (
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// A shape is a way to make much of a little: text that is repeated at a place
// of an object until a body is as large as the limits let it be.
type shape struct {
	name         string
	kind         schema.GroupVersionKind
	before, item string // item is repeated, with every # replaced by its number
	after        string
}

// body returns an AdmissionReview of the shape with n items. An UPDATE has the
// same object on both sides but for one item.
func (s shape) body(operation string, n int) []byte {
	obj := func(n int) string {
		var b strings.Builder
		b.WriteString(s.before)
		numbered := strings.Contains(s.item, "#")
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			if numbered {
				b.WriteString(strings.ReplaceAll(s.item, "#", fmt.Sprint(i)))
			} else {
				b.WriteString(s.item)
			}
		}
		b.WriteString(s.after)
		return b.String()
	}
	var objects string
	switch operation {
	case "CREATE":
		objects = `"object":` + obj(n)
	case "UPDATE":
		objects = `"object":` + obj(n/2) + `,"oldObject":` + obj(n/2-1)
	case "DELETE":
		objects = `"oldObject":` + obj(n)
	}
	return fmt.Appendf(nil, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1",`+
		`"kind":{"group":%q,"version":%q,"kind":%q},"operation":%q,"namespace":"prod","name":"x",%s}}`,
		s.kind.Group, s.kind.Version, s.kind.Kind, operation, objects)
}

// leftAtTheEnd returns the shape of objects of which the fast decoder finds only
// at their end that it leaves them to another, so that much is decoded twice.
func (s shape) leftAtTheEnd() shape {
	if !strings.Contains(s.before, s.kind.Kind+`","metadata":`) {
		s.after = strings.TrimSuffix(s.after, "}") + `,"metadata":{"annotations":{"z":"\ud83d\ude00"}}}`
	}
	s.name += " left at the end"
	return s
}

// largest returns the body with the most items that l lets pass.
func (s shape) largest(l Limits, operation string) []byte {
	few, more := s.body(operation, 10), s.body(operation, 1010)
	n := 10 + (int(l.Bytes)-len(few))*1000/(len(more)-len(few))
	if values := valuesOf(more) - valuesOf(few); values > 0 {
		n = min(n, 10+(l.Values-valuesOf(few))*1000/values)
	}
	body := s.body(operation, n)
	for _, _, over := l.scan(body); over != "" || int64(len(body)) > l.Bytes; _, _, over = l.scan(body) {
		n -= 1 + n/100
		body = s.body(operation, n)
	}
	return body
}

// valuesOf counts as scan does.
func valuesOf(body []byte) int {
	low, high := 0, len(body)
	for low < high {
		mid := (low + high) / 2
		if _, _, over := (Limits{Values: mid, Depth: len(body)}).scan(body); over == "" {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// reviewedKinds are the kinds that some rule or mutator concerns.
func reviewedKinds() (kinds []schema.GroupVersionKind) {
	add := func(k schema.GroupVersionKind) {
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	for _, r := range validators.All {
		for _, c := range r.Checks {
			add(c.Kind)
		}
	}
	for _, m := range mutators.All {
		for _, e := range m.Edits {
			add(e.Kind)
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	return kinds
}

// shapes are every list and every map that the types of the reviewed kinds
// have, with the least that an item can be written as and with items that have
// names, and what no type knows: depth, width, long strings, long numbers.
func shapes() iter.Seq[shape] {
	return func(yield func(shape) bool) {
		for _, kind := range reviewedKinds() {
			obj, err := cluster.Scheme().New(kind)
			if err != nil {
				panic(err)
			}
			start := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,`, kind.GroupVersion(), kind.Kind)
			emit := func(name, before, item, after string) bool {
				return yield(shape{kind.Kind + "." + name, kind, start + before, item, after + "}"})
			}
			if !repeated(reflect.TypeOf(obj).Elem(), "", "", "", 0, emit) {
				return
			}
			for _, s := range []struct{ name, before, item, after string }{
				{"unknown list of objects", `"x":[`, `{}`, `]`},
				{"unknown list of lists", `"x":[`, `[]`, `]`},
				{"unknown list of numbers", `"x":[`, `0`, `]`},
				{"unknown wide map", `"x":{`, `"#":0`, `}`},
				{"unknown long string", `"x":"`, `xxxxxxxxxxxxxxx`, `"`},
				{"escapes", `"x":"`, `\u0041\n\"\\`, `"`},
				{"long number", `"x":[1`, `11111111111111111111111111111111`, `]`},
				{"deep", `"x":[`,
					strings.Repeat("[", 70) + strings.Repeat("]", 70), `]`},
				{"long keys", `"x":{`,
					`"` + strings.Repeat("k", 119) + `#":0`, `}`},
				{"long annotation", `"metadata":{"name":"x","annotations":{"a":"`, `xxxxxxxxxxxxxxx`, `"}}`},
				{"spaces", `"x":[0`, `0                                                                                          ` +
					`                                     `, `]`},
				{"exemptions", `"metadata":{"name":"x","annotations":{`, `"exempt.stayput.dev/#":"because"`, `}}`},
				{"our annotations", `"metadata":{"name":"x","annotations":{`, `"stayput.dev/#":"because"`, `}}`},
				{"last applied", `"metadata":{"name":"x",` +
					`"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"x\":[0`, `{}`, `]}"}}`},
				{"managed fields", `"metadata":{"name":"x","managedFields":[{"manager":"m","operation":"Apply","fieldsV1":{`,
					`"f:#":{}`, `}}]}`},
			} {
				if !emit(s.name, s.before, s.item, s.after) {
					return
				}
			}
		}
	}
}

// repeated emits the shapes of every list and map below t, which stands
// between before and after.
func repeated(t reflect.Type, path, before, after string, depth int, emit func(name, before, item,
	after string) bool) bool {
	if depth > 12 || t.PkgPath() == "k8s.io/apimachinery/pkg/apis/meta/v1" && t.Name() == "FieldsV1" {
		return true
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		ft := f.Type
		for ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if name == "" || strings.Contains(options, "inline") {
			if ft.Kind() == reflect.Struct && name == "" && !repeated(ft, path, before, after, depth, emit) {
				return false
			}
			continue
		}
		p, open := path+"."+name, before+fmt.Sprintf("%q:", name)
		switch ft.Kind() {
		case reflect.Struct:
			if marshalsItself(ft) {
				continue
			}
			if !repeated(ft, p, open+"{", "}"+after, depth+1, emit) {
				return false
			}
		case reflect.Slice:
			for _, item := range items(ft.Elem()) {
				if !emit(p+"[]="+item, open+"[", item, "]"+after) {
					return false
				}
			}
			if e := ft.Elem(); e.Kind() == reflect.Struct && !marshalsItself(e) &&
				!repeated(e, p+"[0]", open+"[{", "}]"+after, depth+1, emit) {
				return false
			}
		case reflect.Map:
			for _, item := range items(ft.Elem()) {
				if !emit(p+"{}="+item, open+"{", `"#":`+item, "}"+after) {
					return false
				}
			}
		}
	}
	return true
}

// items returns what an item of type t can be written as.
func items(t reflect.Type) []string {
	switch {
	case t == reflect.TypeFor[json.RawMessage](), t.Kind() == reflect.Uint8:
		return nil
	case t.Kind() == reflect.String:
		return []string{`""`, `"n#"`}
	case t.Kind() == reflect.Struct && marshalsItself(t): // a Quantity, a Time
		return []string{`"1"`, `"12345678901234567890123456789"`, `null`}
	case t.Kind() == reflect.Struct:
		if _, ok := t.FieldByName("ObjectMeta"); ok {
			return []string{`{}`, `{"metadata":{"name":"n#"}}`}
		}
		if _, ok := t.FieldByName("Name"); ok {
			return []string{`{}`, `{"name":"n#"}`}
		}
		return []string{`{}`}
	case t.Kind() == reflect.Slice:
		return []string{`[""]`, `null`}
	case t.Kind() == reflect.Bool:
		return []string{`true`}
	}
	return []string{`0`}
}

func marshalsItself(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}
