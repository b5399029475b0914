package wire

import (
	"encoding/json"
	"math"
)

// A Member is one of a JSON object.
type Member struct {
	Name  []byte // as it is written, without its quotes
	Value json.RawMessage
}

// Members returns the members of a JSON object, parts of raw, and says whether
// it could: a name that holds an escape it leaves to others.
func Members(raw []byte) ([]Member, bool) {
	d := decoder{Document: &Document{data: raw, budget: Budget{Values: math.MaxInt, Depth: math.MaxInt}}, stop: len(raw)}
	if !d.enter('{') {
		return nil, false
	}
	members := make([]Member, 0, 16)
	for {
		more, ok := d.more(len(members) == 0, '}')
		if !ok {
			return nil, false
		}
		if !more {
			return members, d.end()
		}
		if d.peek() != '"' {
			return nil, false
		}
		name := d.pos + 1
		end := d.plain(name)
		if end >= d.stop || raw[end] != '"' {
			return nil, false
		}
		d.pos = end + 1
		if !d.take(':') {
			return nil, false
		}
		d.peek()
		start := d.pos
		if !d.skip() {
			return nil, false
		}
		members = append(members, Member{raw[name:end:end], raw[start:d.pos:d.pos]})
	}
}
