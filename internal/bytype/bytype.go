// Package bytype caches values, usually functions, that are made for a type by
// reflection.
package bytype

import (
	"reflect"
	"sync"
)

// Once returns what was made of a type, which it keeps in made, by the type; or
// makes it. A type may hold others of itself, and two goroutines may come at once:
// they get what indirect returns, which must not call what it is given before it
// is itself called, for that waits until all is made.
func Once[F any](made *sync.Map, t reflect.Type, indirect func(made func() F) F, make func(reflect.Type) F) F {
	if f, ok := made.Load(t); ok {
		return f.(F)
	}
	var whole F
	var ready sync.WaitGroup
	ready.Add(1)
	first, loaded := made.LoadOrStore(t, indirect(func() F {
		ready.Wait()
		return whole
	}))
	if loaded {
		return first.(F)
	}
	whole = make(t)
	ready.Done()
	made.Store(t, whole)
	return whole
}
