package cluster

import (
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// A foreseen lookup is one that the live view will be asked if a review must
// look again, although the cached view is not asked it.
type foreseen struct {
	lookup
	at int // the number of the lookup that says so; 0 if every denial needs it
}

// A begunLookup is a lookup that runs.
type begunLookup struct {
	done chan struct{}
	obj  any
	err  error
}

// wait completes an answer.
func (a *answer) wait() {
	if a.begun == nil {
		return
	}
	<-a.begun.done
	if a.err = a.begun.err; a.err == nil {
		a.obj = a.begun.obj
	}
	a.begun = nil
}

// Foresee says that a denial will look for an object at the API server, so that
// [View.LookAhead] begins with it.
func Foresee[T any, P interface {
	*T
	Object
}](v *View, namespace, name string) {
	v.foresee(lookup{kind: P(nil), namespace: namespace, name: name}, 0)
}

// ForeseeList is [Foresee] of a list.
func ForeseeList[L any, P interface {
	*L
	ObjectList
}](v *View, selected Selection) {
	if l, plain := listOf(P(nil), selected); plain {
		v.foresee(l, 0)
	}
}

func (v *View) foresee(l lookup, at int) {
	if v.environment.Live != nil {
		v.foreseen = append(v.foreseen, foreseen{l, at})
	}
}

// LookAhead begins to get, all at once, the objects and lists that a live view will
// be asked when a review is repeated: those that its cached view was asked after
// the first since lookups, and those that are foreseen. A caller that asks then waits
// for one round trip instead of several. It does nothing on other views.
func (v *View) LookAhead(since int) {
	if v.cached == nil {
		return
	}
	first := len(v.known)
	for _, a := range v.cached.known {
		if a.used > since {
			v.expect(a.lookup)
		}
	}
	for _, f := range v.cached.foreseen {
		if f.at == 0 || f.at > since {
			v.expect(f.lookup)
		}
	}
	if len(v.known) == first+1 { // nothing to do meanwhile
		v.known = v.known[:first]
		return
	}
	for i := first; i < len(v.known); i++ {
		a := &v.known[i]
		a.begun = &begunLookup{done: make(chan struct{}), obj: reflect.New(reflect.TypeOf(a.kind).Elem()).Interface()}
		if i < len(v.known)-1 {
			go a.begun.run(v, a.lookup)
		} else { // there is nothing else to do meanwhile
			a.begun.run(v, a.lookup)
		}
	}
}

// run asks for an answer.
func (b *begunLookup) run(v *View, l lookup) {
	defer close(b.done)
	var err error
	switch into := b.obj.(type) {
	case ObjectList:
		err = v.environment.Source.List(v.ctx, into, Selection{Namespace: l.namespace, Labels: l.labels})
	case Object:
		err = v.environment.Source.Get(v.ctx, types.NamespacedName{Namespace: l.namespace, Name: l.name}, into)
		if apierrors.IsNotFound(err) {
			b.obj, err = l.kind, nil
		}
	}
	b.err = unserved(err)
}

// expect makes room for the answer to a lookup, unless it is known already.
func (v *View) expect(l lookup) {
	if v.find(l) == nil {
		v.known = append(v.known, answer{lookup: l, obj: l.kind})
	}
}
