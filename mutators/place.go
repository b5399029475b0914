package mutators

import (
	"bytes"
	"encoding/json"
	"reflect"

	"stayput.dev/internal/fastjson"
)

// A place is one in a JSON document, whether or not there is something. What
// is there is looked for when somebody asks, and few do: that a Go value is not
// zero says that it was decoded from something.
type place struct {
	raw    json.RawMessage // what is there, nil if nothing is, or nobody asked
	parent *place          // nil once raw is known
	name   string          // in the parent, an object

	members []fastjson.Member // of what is there
}

// member returns the place of a member of an object.
func (p *place) member(name string) *place { return &place{parent: p, name: name} }

// has says whether there is something that was was decoded from. If that is
// invalid, an empty string or a null may be there, and to add is to replace it.
func (p *place) has(was reflect.Value) (bool, error) {
	if !was.IsValid() || !was.IsZero() {
		return was.IsValid(), nil
	}
	raw, err := p.read()
	return raw != nil, err
}

// opens says whether there is an object that was was decoded from: a struct or
// a map.
func (p *place) opens(was reflect.Value) (bool, error) {
	if !was.IsZero() {
		return true, nil
	}
	raw, err := p.read()
	return starts(raw, '{'), err
}

// items returns the items of the array that is there, nil if none is.
func (p *place) items() ([]json.RawMessage, error) {
	raw, err := p.read()
	if err != nil || !starts(raw, '[') {
		return nil, err
	}
	items := []json.RawMessage{}
	err = json.Unmarshal(raw, &items)
	return items, err
}

// read returns what is there, nil if nothing is.
func (p *place) read() (json.RawMessage, error) {
	if p.parent == nil {
		return p.raw, nil
	}
	members, err := p.parent.object()
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if string(m.Name) == p.name {
			p.raw = m.Value
		}
	}
	p.parent = nil
	return p.raw, nil
}

// object returns the members of the object that is there.
func (p *place) object() ([]fastjson.Member, error) {
	if p.members != nil {
		return p.members, nil
	}
	raw, err := p.read()
	if err != nil {
		return nil, err
	}
	members, ok := fastjson.Members(raw)
	if !ok {
		var slowly map[string]json.RawMessage
		if err := json.Unmarshal(raw, &slowly); err != nil {
			return nil, err
		}
		for name, value := range slowly {
			members = append(members, fastjson.Member{Name: []byte(name), Value: value})
		}
	}
	p.members = members
	return members, nil
}

func starts(raw json.RawMessage, c byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == c
}
