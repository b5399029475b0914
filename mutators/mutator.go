// Package mutators holds the mutators, which fill in fields that an author left
// out, one file each, and the engine that turns their edits into a JSON patch.
package mutators

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
)

// A Mutator fills in one field that an author left out. It never overrides what
// the author wrote, and a second run changes nothing.
type Mutator struct {
	// Name identifies the mutator in warnings, configuration, metrics and
	// docs: kebab-case, subject first.
	Name string

	// Doc explains the mutator. Its first line is a title, a lower-case clause
	// that says what will hold; the rest gives the reasons, and says how to get
	// another result.
	Doc string

	// Reads lists the kinds that the edits look up. Informers, RBAC and the
	// documentation are derived from it.
	Reads []cluster.Object

	// Edits are the functions of the mutator.
	Edits []Edit

	// Repair says that the edits may be applied later to an existing object if
	// no webhook answered at its creation: they have the same effect then.
	Repair bool
}

// Title returns the first line of Doc: a clause that says what will hold.
func (m *Mutator) Title() string {
	title, _, _ := strings.Cut(m.Doc, "\n")
	return title
}

// An Edit is a function over one kind. Its type is erased. Make one with
// [OnCreate] or [OnUpdate].
type Edit struct {
	Kind schema.GroupVersionKind
	When Event
	run  func(p *Pass, old, obj cluster.Object) error
}

// An Event is what must happen to an object for an [Edit] to run.
type Event int

const (
	Created Event = iota
	Updated
)

// OnCreate edits an object that is created. It assigns to fields with [set] and
// to annotations with [Pass.annotate], which record the patch. All values
// behind other pointers, in lists and in maps belong to the author's object:
// they may be replaced but not edited.
func OnCreate[T cluster.Object](f func(p *Pass, obj T) error) Edit {
	return Edit{cluster.KindOf[T](), Created, func(p *Pass, _, obj cluster.Object) error {
		return f(p, obj.(T))
	}}
}

// OnUpdate edits an object that replaces old, as [OnCreate] does. Old must not
// be edited. The webhook runs it for no update that changes nothing.
func OnUpdate[T cluster.Object](f func(p *Pass, old, obj T) error) Edit {
	return Edit{cluster.KindOf[T](), Updated, func(p *Pass, old, obj cluster.Object) error {
		return f(p, old.(T), obj.(T))
	}}
}

// A Pass is the review of one object by one mutator.
type Pass struct {
	// Cluster answers lookups, and knows the caller.
	Cluster *cluster.View

	mutator  *Mutator
	assigned []assignment
	warnings []Warning
}

// A Warning tells the user what a mutator did or did not do, and why.
type Warning struct {
	Mutator string // its name
	Text    string
}

// String returns <mutator>: <text>, fit for a warning header.
func (w Warning) String() string {
	r := []rune(w.Mutator + ": " + w.Text)
	if len(r) > maxWarning {
		r = append(r[:maxWarning-1], '…')
	}
	return string(r)
}

// maxWarning is the number of runes at which a warning is cut: the API server
// cuts at 256 if a request has many.
const maxWarning = 250

// Warn tells the user what the mutator did or did not do, and why.
func (p *Pass) Warn(format string, args ...any) {
	p.warnings = append(p.warnings, Warning{p.mutator.Name, cluster.OneLine(fmt.Sprintf(format, args...))})
}

// Filled tells the user the value that a field was given, or, for a manifest,
// the value that it would get, and where. Otherwise describes the result
// elsewhere. Rest gives the reason and the lines to write.
func (p *Pass) Filled(what, value, otherwise, rest string) {
	if p.Cluster.Manifests() {
		p.Warn("%s would be %s where Stayput runs, and %s elsewhere%s", what, value, otherwise, rest)
		return
	}
	p.Warn("%s is now %s%s", what, value, rest)
}

// A Result is the outcome of the mutators for an object.
type Result struct {
	Object   cluster.Object // with the edits; the given object itself if nothing changes
	Warnings []Warning      // for the user

	before   cluster.Object
	assigned []assignment
}

// Apply returns the outcome of the mutators for obj. Obj is nil for a deletion;
// old is nil unless the object existed. Neither is edited. An error means that
// a lookup of a mutator failed, and the result is unknown.
//
// Objects that are being deleted are not edited, and controllers get no
// warnings about their updates: they finish what somebody else began.
func Apply(v *cluster.View, ms []*Mutator, old, obj cluster.Object) (*Result, error) {
	r := &Result{Object: obj, before: obj}
	if obj == nil || old != nil && old.GetDeletionTimestamp() != nil {
		return r, nil
	}
	kind, err := cluster.GVK(obj)
	if err != nil {
		return r, nil // no mutator is about kinds that the scheme does not know
	}
	for _, m := range ms {
		for _, e := range m.Edits {
			if e.Kind != kind || (e.When == Created) != (old == nil) {
				continue
			}
			if r.Object == obj {
				r.Object = shallow(obj)
			}
			p := &Pass{Cluster: v, mutator: m, assigned: r.assigned, warnings: r.Warnings}
			if err := e.run(p, old, r.Object); err != nil {
				return nil, fmt.Errorf("%s: %w", m.Name, err)
			}
			r.assigned, r.Warnings = p.assigned, p.warnings
		}
	}
	if old != nil && v.Request.ByController() {
		r.Warnings = nil
	}
	if len(r.assigned) == 0 {
		r.Object = obj
	}
	return r, nil
}

// shallow returns a copy that shares with obj all values that an [Edit] must
// not edit.
func shallow(obj cluster.Object) cluster.Object {
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	made := v.Interface().(cluster.Object)
	made.SetAnnotations(maps.Clone(obj.GetAnnotations()))
	return made
}
