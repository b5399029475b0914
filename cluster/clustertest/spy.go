package clustertest

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// A Spy is a reader that records the kinds that are looked up, as *v1.Pod.
type Spy struct {
	client.Reader
	Kinds map[string]bool
}

// NewSpy returns a Spy on r.
func NewSpy(r client.Reader) *Spy { return &Spy{r, map[string]bool{}} }

// Get implements [client.Reader].
func (s *Spy) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	s.Kinds[fmt.Sprintf("%T", obj)] = true
	return s.Reader.Get(ctx, key, obj, opts...)
}

// Find implements [cluster.Finder], where the reader does.
func (s *Spy) Find(kind schema.GroupVersionKind, index, namespace, key string) ([]client.Object, error) {
	s.Kinds["*"+kind.Version+"."+kind.Kind] = true
	return s.Reader.(cluster.Finder).Find(kind, index, namespace, key)
}

// List implements [client.Reader].
func (s *Spy) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	s.Kinds[strings.TrimSuffix(fmt.Sprintf("%T", list), "List")] = true
	return s.Reader.List(ctx, list, opts...)
}
