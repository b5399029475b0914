// Package wire decodes the JSON that an API server sends into typed objects,
// several times as fast as sigs.k8s.io/json and as strictly: keys are
// case-sensitive, a key that occurs twice in an object is refused, and so is
// every value that its field cannot hold.
//
// It knows the shape of what API servers write, and no more. Whatever is
// malformed, and whatever is rare (numbers with a fraction, surrogate pairs,
// invalid UTF-8, types without a plan), it leaves to the caller to decode with
// sigs.k8s.io/json, which either does so or says what is wrong. So it can be
// simple, and no error message depends on it. What it does decode is what
// sigs.k8s.io/json decodes: a fuzz test compares the two.
package wire

import (
	"encoding/json"
	"math"
	"reflect"
)

// A Budget bounds what a document may hold, and so what it may cost to decode.
type Budget struct {
	Values int // objects, arrays, and what follows a comma
	Depth  int // of objects and arrays

	// Costly says whether what follows a comma in the value of a key, in what is
	// raw, counts for Weight. Nil: none. The key is as it is written.
	Costly func(key []byte) bool
	Weight int
}

// A Document is JSON that is decoded in parts: an envelope first, and then what
// is raw in it (runtime.RawExtension), once it is known what that is. Such raw
// JSON is a part of the document itself, and lives no longer than that. All
// strings are parts of one copy of the document.
type Document struct {
	data   []byte
	text   string // the same
	budget Budget
	parts  []part
	values int
}

// A part is raw JSON, from one byte of the document to before another.
type part struct{ from, to int }

// NewDocument returns a document that must not be edited while it is in use.
func NewDocument(data []byte, budget Budget) *Document {
	return &Document{data: data, text: string(data), budget: budget}
}

// Unmarshal decodes the document into what into points to, which must be zero,
// and says whether it could. If not, into holds nothing of worth.
func (doc *Document) Unmarshal(into any) bool {
	return doc.unmarshal(part{0, len(doc.data)}, into, false)
}

// Values returns how many values the document holds, as the budget counts them,
// once it is decoded.
func (doc *Document) Values() int { return doc.values }

// UnmarshalRaw decodes raw JSON that was found in the document. Managed fields
// are passed over, unless they are wanted: they are as large as all else in an
// object, and hardly anybody reads them.
func (doc *Document) UnmarshalRaw(raw []byte, into any, managedFields bool) bool {
	for _, p := range doc.parts {
		if len(raw) == p.to-p.from && &raw[0] == &doc.data[p.from] {
			return doc.unmarshal(p, into, !managedFields)
		}
	}
	return false
}

func (doc *Document) unmarshal(p part, into any, noManagedFields bool) bool {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return false
	}
	d := decoder{Document: doc, pos: p.from, stop: p.to, noManagedFields: noManagedFields}
	whole := p == part{0, len(doc.data)}
	if whole {
		d.costly = doc.budget.Costly
	}
	ok := planOf(v.Type().Elem())(&d, v.Elem()) && d.end()
	if whole {
		doc.values = d.values
	}
	return ok
}

// A decoder reads one document, or a part, from its beginning to its end. Its
// methods return false as soon as there is something that it leaves to others.
type decoder struct {
	*Document
	pos, stop       int
	depth, values   int
	noManagedFields bool
	costly          func(key []byte) bool // nil where all is counted already, or counts the same
	extra           int                   // what a comma counts for beside one
}

// end says whether nothing but white space is left.
func (d *decoder) end() bool {
	d.peek()
	return d.pos == d.stop
}

// peek returns the first byte of the next value or mark, 0 at the end.
func (d *decoder) peek() byte {
	if d.pos < d.stop && d.text[d.pos] > ' ' {
		return d.text[d.pos]
	}
	return d.peekFar()
}

// peekFar is peek where white space is next, which no API server writes.
func (d *decoder) peekFar() byte {
	for ; d.pos < d.stop; d.pos++ {
		switch c := d.text[d.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take moves over a byte, if it is the next.
func (d *decoder) take(c byte) bool {
	if d.peek() != c {
		return false
	}
	d.pos++
	return true
}

// literal moves over a word, if it is next.
func (d *decoder) literal(word string) bool {
	if end := d.pos + len(word); end <= d.stop && d.text[d.pos:end] == word {
		d.pos = end
		return true
	}
	return false
}

// null moves over a null, if it is next.
func (d *decoder) null() bool { return d.peek() == 'n' && d.literal("null") }

// enter begins an object or an array.
func (d *decoder) enter(open byte) bool {
	if !d.take(open) {
		return false
	}
	d.depth++
	d.values++
	return d.depth <= d.budget.Depth && d.values <= d.budget.Values
}

// more moves to the next element of an object or an array, or over its end.
func (d *decoder) more(first bool, end byte) (more, ok bool) {
	switch c := d.peek(); {
	case c == end:
		d.pos++
		d.depth--
		return false, true
	case first:
		return true, true
	case c == ',':
		d.pos++
		d.values += 1 + d.extra
		return true, d.values <= d.budget.Values
	}
	return false, false
}

// key reads a key and its colon.
func (d *decoder) key() (string, bool) {
	if d.peek() != '"' {
		return "", false
	}
	name, ok := d.string()
	return name, ok && d.take(':')
}

// skip moves over a value, which it validates but for the strings' UTF-8: as
// in sigs.k8s.io/json, that only counts where a string is decoded.
func (d *decoder) skip() bool {
	switch c := d.peek(); c {
	case '"':
		return d.skipString()
	case '{':
		if !d.enter('{') {
			return false
		}
		for first := true; ; first = false {
			more, ok := d.more(first, '}')
			if !more || !ok {
				return ok
			}
			if d.peek() != '"' {
				return false
			}
			start := d.pos + 1
			if !d.skipString() {
				return false
			}
			costly := d.costly != nil && d.extra == 0 && d.costly(d.data[start:d.pos-1])
			if !d.take(':') {
				return false
			}
			if costly {
				d.extra = d.budget.Weight - 1
			}
			if !d.skip() {
				return false
			}
			if costly {
				d.extra = 0
			}
		}
	case '[':
		if !d.enter('[') {
			return false
		}
		for first := true; ; first = false {
			more, ok := d.more(first, ']')
			if !more || !ok {
				return ok
			}
			if !d.skip() {
				return false
			}
		}
	case 't':
		return d.literal("true")
	case 'f':
		return d.literal("false")
	case 'n':
		return d.literal("null")
	}
	return d.skipNumber()
}

// Members returns the members of a JSON object, each a part of raw, and says
// whether it could. Keys that the object has twice are refused.
func Members(raw []byte) (map[string]json.RawMessage, bool) {
	doc := NewDocument(raw, Budget{Values: math.MaxInt, Depth: math.MaxInt})
	d := decoder{Document: doc, stop: len(raw)}
	if !d.enter('{') {
		return nil, false
	}
	members := make(map[string]json.RawMessage, 8)
	for n := 0; ; n++ {
		more, ok := d.more(n == 0, '}')
		if !ok {
			return nil, false
		}
		if !more {
			return members, len(members) == n && d.end()
		}
		name, ok := d.key()
		if !ok {
			return nil, false
		}
		d.peek()
		start := d.pos
		if !d.skip() {
			return nil, false
		}
		members[name] = raw[start:d.pos:d.pos]
	}
}
