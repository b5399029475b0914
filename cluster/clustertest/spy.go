package clustertest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
)

// A Spy is a reader that records the kinds that are looked up, as *v1.Pod.
type Spy struct {
	cluster.Reader
	mu    sync.Mutex // live reads run together
	Kinds map[string]bool
}

// NewSpy returns a Spy on r.
func NewSpy(r cluster.Reader) *Spy { return &Spy{Reader: r, Kinds: map[string]bool{}} }

func (s *Spy) saw(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Kinds[kind] = true
}

// Get implements [cluster.Reader].
func (s *Spy) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	s.saw(fmt.Sprintf("%T", obj))
	return s.Reader.Get(ctx, key, obj)
}

// Find implements [cluster.Finder], where the reader does.
func (s *Spy) Find(kind schema.GroupVersionKind, index, namespace, key string) ([]cluster.Object, error) {
	s.saw("*" + kind.Version + "." + kind.Kind)
	return s.Reader.(cluster.Finder).Find(kind, index, namespace, key)
}

// List implements [cluster.Reader].
func (s *Spy) List(ctx context.Context, list cluster.ObjectList, selected cluster.Selection) error {
	s.saw(strings.TrimSuffix(fmt.Sprintf("%T", list), "List"))
	return s.Reader.List(ctx, list, selected)
}
