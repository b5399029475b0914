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
}

// Unmarshal decodes a document into what into points to, which must be zero,
// and says whether it could. If not, into holds nothing of worth.
//
// The strings that it decodes are parts of one copy of the document. Raw JSON
// (runtime.RawExtension) is a part of data itself, and lives no longer than it.
func Unmarshal(data []byte, into any, budget Budget) bool {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return false
	}
	d := decoder{text: string(data), data: data, budget: budget}
	return planOf(v.Type().Elem())(&d, v.Elem()) && d.end()
}

// A decoder reads one document from its beginning to its end. Its methods
// return false as soon as there is something that it leaves to others.
type decoder struct {
	text   string // the document
	data   []byte // the same
	pos    int
	depth  int
	budget Budget // what is left of Values, and all of Depth
}

// end says whether nothing but white space is left.
func (d *decoder) end() bool {
	d.space()
	return d.pos == len(d.text)
}

// space moves to the next byte that is no white space.
func (d *decoder) space() {
	for d.pos < len(d.text) && d.text[d.pos] <= ' ' {
		switch d.text[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// peek returns the first byte of the next value or mark, 0 at the end.
func (d *decoder) peek() byte {
	d.space()
	if d.pos == len(d.text) {
		return 0
	}
	return d.text[d.pos]
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
	if end := d.pos + len(word); end <= len(d.text) && d.text[d.pos:end] == word {
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
	d.budget.Values--
	return d.depth <= d.budget.Depth && d.budget.Values >= 0
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
		d.budget.Values--
		return true, d.budget.Values >= 0
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
			if d.peek() != '"' || !d.skipString() || !d.take(':') || !d.skip() {
				return false
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
