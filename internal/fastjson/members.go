package fastjson

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
	d := decoder{doc: &Document{budget: Budget{Values: math.MaxInt, Depth: math.MaxInt}}, input: input{raw}}
	i := d.space(0)
	if d.at(i) != '{' {
		return nil, false
	}
	members := make([]Member, 0, 16)
	i, more := d.first(i+1, '}')
	for more {
		name := i + 1
		end, plain, value := d.rawKey(i)
		if !plain {
			return nil, false
		}
		if i = d.skip(value); i < 0 {
			return nil, false
		}
		members = append(members, Member{raw[name:end:end], raw[value:i:i]})
		i, more = d.next(i, '}')
	}
	return members, i >= 0 && d.space(i) == len(raw)
}
