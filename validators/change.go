package validators

import (
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"stayput.dev/cluster"
	"stayput.dev/internal/same"
)

// A fieldNode is a field of a kind, or the object itself. All fields of structs
// are nodes, also behind pointers; items of lists and entries of maps are not.
type fieldNode struct {
	name  string // as in manifests; "" for an embedded struct
	typ   reflect.Type
	above *fieldNode
	below []*fieldNode // its fields
	id    int          // an index, unique within the kind

	offset uintptr // in the struct above
	same   same.Func
	zero   unsafe.Pointer // points to a zero value of the type that a pointer field points to
}

// A shape is the part of a kind that its author writes: labels, annotations and
// all fields outside of the metadata except the status. For most kinds that is
// the spec.
type shape struct {
	object *fieldNode
	nodes  int
	whole  []Read // all of it
}

// shapes caches the shape of each type.
var shapes sync.Map

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{object: &fieldNode{typ: t}}
	for i := range t.NumField() {
		f := t.Field(i)
		switch name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name {
		case "", "status": // apiVersion and kind; status, which a controller writes
		case "metadata":
			metadata := &fieldNode{name: name, typ: f.Type, above: s.object, offset: f.Offset}
			for _, list := range []string{"Labels", "Annotations"} {
				f, _ := f.Type.FieldByName(list)
				n := s.grow(metadata, f)
				s.whole = append(s.whole, Read{Path: name + "." + n.name, node: n})
			}
			s.object.below = append(s.object.below, metadata)
		default:
			s.whole = append(s.whole, Read{Path: name, node: s.grow(s.object, f)})
		}
	}
	known, _ := shapes.LoadOrStore(t, s)
	return known.(*shape)
}

// grow adds the field of a struct and, below it, the fields of that.
func (s *shape) grow(above *fieldNode, f reflect.StructField) *fieldNode {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	s.nodes++
	n := &fieldNode{name: name, typ: f.Type, above: above, offset: f.Offset, id: s.nodes, same: same.Of(f.Type)}
	above.below = append(above.below, n)
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !plain(t) {
		return n
	}
	n.zero = reflect.New(t).UnsafePointer()
	for i := range t.NumField() {
		s.grow(n, t.Field(i))
	}
	return n
}

// plain says whether a struct is no more than its fields: a quantity or a time
// is more.
func plain(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); !f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct && !plain(f.Type) {
			return false
		}
	}
	return true
}

// child returns the field that has a name in manifests, or nil.
func (n *fieldNode) child(name string) *fieldNode {
	for _, c := range n.below {
		if c.name == name {
			return c
		}
		if c.name == "" {
			if in := c.child(name); in != nil {
				return in
			}
		}
	}
	return nil
}

// of returns a pointer to the field of an object, or nil where a pointer on the
// way to it is nil.
func (n *fieldNode) of(object unsafe.Pointer) unsafe.Pointer {
	if n.above == nil {
		return object
	}
	in := n.above.of(object)
	if in != nil && n.above.typ.Kind() == reflect.Pointer {
		in = *(*unsafe.Pointer)(in)
	}
	if in == nil {
		return nil
	}
	return unsafe.Add(in, n.offset)
}

// A change is what an update changed. Each field of both objects is compared
// once, regardless of how many checks read it.
type change struct {
	old, obj   cluster.Object
	was, is    unsafe.Pointer // to the structs
	shape      *shape
	differs    []bool // by the id of nodes; nil if none does
	exemptions bool   // an exemption was written or removed
}

// changeOf compares two objects of one type.
func changeOf(old, obj cluster.Object) *change {
	c := &change{old: old, obj: obj, was: reflect.ValueOf(old).UnsafePointer(), is: reflect.ValueOf(obj).UnsafePointer()}
	c.shape = shapeOf(reflect.TypeOf(obj).Elem())
	for i := range c.shape.whole {
		n := c.shape.whole[i].node
		c.compare(n, n.of(c.was), n.of(c.is))
	}
	c.exemptions = c.differs != nil && !keysBegin(cluster.ExemptPrefix).same(old.GetAnnotations(), obj.GetAnnotations())
	return c
}

// nothing says whether this is an update of an object to the same state.
func (c *change) nothing() bool { return c != nil && c.differs == nil }

// compare says whether a field differs, and records that for the field and all
// below it.
func (c *change) compare(n *fieldNode, was, is unsafe.Pointer) bool {
	differs := false
	if n.below == nil {
		differs = !n.same(was, is)
	} else if n.typ.Kind() != reflect.Pointer {
		differs = c.compareBelow(n, was, is)
	} else {
		switch was, is = *(*unsafe.Pointer)(was), *(*unsafe.Pointer)(is); {
		case was == is: // both nil, most often
		case was == nil: // an absent value counts as empty
			differs = true
			c.compareBelow(n, n.zero, is)
		case is == nil:
			differs = true
			c.compareBelow(n, was, n.zero)
		default:
			differs = c.compareBelow(n, was, is)
		}
	}
	if differs {
		if c.differs == nil {
			c.differs = make([]bool, c.shape.nodes+1)
		}
		c.differs[n.id] = true
	}
	return differs
}

func (c *change) compareBelow(n *fieldNode, was, is unsafe.Pointer) (differs bool) {
	for _, field := range n.below {
		if c.compare(field, unsafe.Add(was, field.offset), unsafe.Add(is, field.offset)) {
			differs = true
		}
	}
	return differs
}

// touches says whether one of the reads has another value than before.
func (c *change) touches(reads []Read) bool {
	for i := range reads {
		if r := &reads[i]; c.differs[r.node.id] && !r.sameWithin(c.was, c.is) {
			return true
		}
	}
	return false
}

// exempts says whether the exemption from a rule was written or removed.
func (c *change) exempts(rule string) bool {
	return c.exemptions && !oneKey(cluster.ExemptPrefix+rule).same(c.old.GetAnnotations(), c.obj.GetAnnotations())
}
