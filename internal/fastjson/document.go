// Package fastjson decodes the JSON that an API server sends into typed objects,
// several times as fast as sigs.k8s.io/json and as strictly: keys are
// case-sensitive, a key that occurs twice in an object is refused, and so is
// every value that its field cannot hold.
//
// It is optional: without it (build tag slowjson) sigs.k8s.io/json decodes
// everything, and the handler gives the same answers, only later. The guard against
// quantities that take hours to parse is not optional, and is in package quantity.
//
// BenchmarkDecoders compares the CPU that decoders need for a review and its
// objects. With go1.26.8 on 29 November 2026, sigs.k8s.io/json needed 3.0 to 4.9
// times as much as this package, encoding/json, which is not strict, 1.1 to 2.6, and
// encoding/json/v2 (GOEXPERIMENT=jsonv2), with unmarshalers for Kubernetes' own
// types, 1.5 to 2.1.
//
// It decodes only JSON in the form that API servers write. The caller must
// decode anything malformed or rare (numbers with a fraction, surrogate pairs,
// invalid UTF-8, types without a plan) with sigs.k8s.io/json, which decodes it
// or returns an error. So this package can be simple, and no error message
// depends on it. Its results are those of sigs.k8s.io/json: a fuzz test
// compares the two.
package fastjson

import (
	"math"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// A Budget limits the contents of a document, and so the cost of decoding it.
type Budget struct {
	Values int // objects, arrays, and values after a comma
	Depth  int // of objects and arrays

	// Costly says whether the values after commas in the value of a key count
	// Weight each. They also do if the key contains an escape, because it could
	// be any key. Nil: none is costly.
	Costly func(key string) bool
	Weight int

	// Free says whether the value of a key counts nothing: it is skipped, or stays raw.
	// Nil: none does.
	Free func(key string) bool

	// Exact leaves a field that its struct does not have to others, which report it;
	// it is skipped otherwise.
	Exact bool

	// Room reserves memory for a number of values and returns whether there is
	// enough. It is called before they are decoded, for some hundred at a time.
	// Nil: always.
	Room func(values int) bool
}

// step is the number of values for which room is requested at a time: a
// StatefulSet of 9 KB has some 600.
const step = 256

// A Document is JSON that is decoded once. Raw JSON in it
// (runtime.RawExtension) is decoded at the same time if its type is known by
// then, or else later. It is a part of the document itself, and lives no
// longer. All strings are parts of one copy of the document.
type Document struct {
	data   []byte
	text   string // data as a string
	budget Budget
	parts  []part
	values int
	full   bool
}

// A part is raw JSON: the bytes of the document in the range [from, to).
type part struct {
	from, to int
	into     any  // the value that it was decoded into
	left     bool // whether decoding failed, so that the caller must decode it
}

// A Chooser returns a pointer to a zero value, into which the raw JSON of a field
// is decoded, or nil if the type is not known. It also says whether the managed
// fields are needed: they are as large as the rest of an object, and few rules read
// them.
type Chooser func(field *runtime.RawExtension) (into any, managedFields bool)

// NewDocument returns a document that must not be edited while it is in use.
func NewDocument(data []byte, budget Budget) *Document {
	return &Document{data: data, text: string(data), budget: budget}
}

// Unmarshal decodes the document into the zero value that into points to, and
// returns whether it could. If not, the value is undefined. Unless choose is nil,
// Unmarshal calls it for each raw JSON, after everything before it is decoded.
// Decoded then returns the value that it chose, if the raw JSON could be decoded.
func (doc *Document) Unmarshal(into any, choose Chooser) bool {
	d := doc.decoder(len(doc.data))
	d.costly, d.free, d.choose = doc.budget.Costly, doc.budget.Free, choose
	ok := d.whole(0, into)
	doc.values = d.values
	return ok
}

// Values returns the number of values in the document after Unmarshal, as the
// budget counts them.
func (doc *Document) Values() int { return doc.values }

// Full says whether decoding ended because there was no room.
func (doc *Document) Full() bool { return doc.full }

// Decoded returns the value that raw JSON of the document was decoded into, or
// nil.
func (doc *Document) Decoded(raw []byte) any {
	if p := doc.partOf(raw); p != nil {
		return p.into
	}
	return nil
}

// UnmarshalRaw decodes raw JSON of the document, and returns whether it could. It
// returns false if Unmarshal has tried already.
func (doc *Document) UnmarshalRaw(raw []byte, into any, managedFields bool) bool {
	p := doc.partOf(raw)
	if p == nil || p.left {
		return false
	}
	d := doc.decoder(p.to)
	d.noManagedFields = !managedFields
	d.allowed = math.MaxInt // Unmarshal has counted these values
	return d.whole(p.from, into)
}

func (doc *Document) partOf(raw []byte) *part {
	for i := range doc.parts {
		if p := &doc.parts[i]; len(raw) == p.to-p.from && &raw[0] == &doc.data[p.from] {
			return p
		}
	}
	return nil
}

func (doc *Document) decoder(stop int) *decoder {
	return &decoder{doc: doc, input: input{doc.data[:stop]}, text: doc.text[:stop]}
}

// An input is JSON text that is read by index.
type input struct{ data []byte }

// at returns the byte at i, 0 at the end.
func (in *input) at(i int) byte {
	if uint(i) < uint(len(in.data)) {
		return in.data[i]
	}
	return 0
}

// space returns the index behind the white space at i. API servers write none.
func (in *input) space(i int) int {
	if uint(i) < uint(len(in.data)) && in.data[i] > ' ' {
		return i
	}
	return in.spaceEnd(i)
}

func (in *input) spaceEnd(i int) int {
	for i < len(in.data) && (in.data[i] == ' ' || in.data[i] == '\t' || in.data[i] == '\n' || in.data[i] == '\r') {
		i++
	}
	return i
}

// A decoder reads a document, or a part of it, from its beginning to its end. Its
// methods read the value at an index and return the index behind it. They return
// -1 if the decoder does not support the JSON at that place.
type decoder struct {
	doc *Document
	input
	text            string // data as a string
	depth, values   int
	allowed         int // values for which there is room now
	choose          Chooser
	noManagedFields bool
	costly, free    func(key string) bool // nil if all is counted already, or no key is so
	extra           int                   // values that a comma counts for, besides one; -1 where nothing counts

	slabs
}

// whole decodes the value from i to the end, and returns whether it could.
func (d *decoder) whole(i int, into any) bool {
	i = d.value(d.space(i), into)
	return i >= 0 && d.space(i) == len(d.data)
}

// value decodes the value at i into the variable that into points to.
func (d *decoder) value(i int, into any) int {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return -1
	}
	return planOf(v.Type().Elem())(d, i, v.UnsafePointer())
}

// count counts n more values, and returns whether they are within the budget.
func (d *decoder) count(n int) bool {
	d.values += n
	return d.values <= d.allowed || d.allow()
}

// allow asks the budget for room for more values, and returns whether there is.
func (d *decoder) allow() bool {
	if d.values > d.doc.budget.Values {
		return false
	}
	allowed := d.doc.budget.Values
	if d.doc.budget.Room != nil {
		allowed = min(allowed, d.values+step)
		if d.doc.full = !d.doc.budget.Room(allowed); d.doc.full {
			return false
		}
	}
	d.allowed = allowed
	return true
}

// first returns the index of the first element of the object or array that was
// opened before i, and true. If it has no element, first returns the index behind
// the end, or -1, and false.
func (d *decoder) first(i int, end byte) (at int, more bool) {
	if d.depth++; d.depth > d.doc.budget.Depth || !d.count(1+min(d.extra, 0)) {
		return -1, false
	}
	if i = d.space(i); d.at(i) == end {
		d.depth--
		return i + 1, false
	}
	return i, true
}

// next returns the index of the element after the one that ended at i, and true.
// If there is none, next returns the index behind the object or array, or -1, and
// false.
func (d *decoder) next(i int, end byte) (at int, more bool) {
	i = d.space(i)
	switch d.at(i) {
	case ',':
		if !d.count(1 + d.extra) {
			return -1, false
		}
		return d.space(i + 1), true
	case end:
		d.depth--
		return i + 1, false
	}
	return -1, false
}

// rawKey returns the index of the closing quote of the key at i, whether the key
// has no escapes and only ASCII, and the index of its value, or -1.
func (d *decoder) rawKey(i int) (end int, plain bool, value int) {
	if d.at(i) != '"' {
		return -1, false, -1
	}
	if end = d.plain(i + 1); d.at(end) == '"' {
		plain = true
	} else if end = d.richEnd(end) - 1; end < 0 {
		return -1, false, -1
	}
	colon := d.space(end + 1)
	if d.at(colon) != ':' {
		return -1, false, -1
	}
	return end, plain, d.space(colon + 1)
}

// key reads the key at i. Weighs says whether the key makes its value costly; the
// caller must pass it to weighed after the value.
func (d *decoder) key(i int) (name string, weighs bool, value int) {
	end, plain, value := d.rawKey(i)
	if value < 0 {
		return "", false, -1
	}
	name = d.text[i+1 : end]
	weighs = d.opens(value) && d.weigh(i+1, end, plain)
	if !plain {
		var ok bool
		if name, ok = unescape(name); !ok {
			return "", false, -1
		}
	}
	return name, weighs, value
}

// opens says whether an object or an array begins at i.
func (d *decoder) opens(i int) bool {
	c := d.at(i)
	return c == '{' || c == '['
}

// weigh makes the commas in the value of a key count for more, or all in it count
// nothing, and returns true, if the key is costly or free and no key around it is. The
// key is in [from, to).
func (d *decoder) weigh(from, to int, plain bool) bool {
	if d.costly == nil || d.extra != 0 {
		return false
	}
	switch key := d.text[from:to]; {
	case plain && d.costly(key) || !plain && strings.Contains(key, `\u`):
		d.extra = d.doc.budget.Weight - 1
	case plain && d.free != nil && d.free(key):
		d.extra = -1
	}
	return d.extra != 0
}

// weighed is called after the value of a key, with the result of weigh.
func (d *decoder) weighed(weighs bool) {
	if weighs {
		d.extra = 0
	}
}
