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

import "reflect"

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
	d.pos = d.space(d.pos)
	if d.pos < d.stop {
		return d.data[d.pos]
	}
	return 0
}

// space returns where the white space that begins at i ends. No API server
// writes any.
func (d *decoder) space(i int) int {
	if i < d.stop && d.data[i] > ' ' {
		return i
	}
	return d.spaceEnd(i)
}

func (d *decoder) spaceEnd(i int) int {
	for i < d.stop && (d.data[i] == ' ' || d.data[i] == '\t' || d.data[i] == '\n' || d.data[i] == '\r') {
		i++
	}
	return i
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
	end := d.wordEnd(d.pos, word)
	if end < 0 {
		return false
	}
	d.pos = end
	return true
}

// null moves over a null, if it is next.
func (d *decoder) null() bool { return d.peek() == 'n' && d.literal("null") }

// enter begins an object or an array.
func (d *decoder) enter(open byte) bool {
	return d.take(open) && d.open()
}

// open counts an object or an array that has begun.
func (d *decoder) open() bool {
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
