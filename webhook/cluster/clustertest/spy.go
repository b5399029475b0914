package clustertest

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A Spy is a reader that records the kinds that it is asked for, as *v1.Pod.
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

// List implements [client.Reader].
func (s *Spy) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	s.Kinds[strings.TrimSuffix(fmt.Sprintf("%T", list), "List")] = true
	return s.Reader.List(ctx, list, opts...)
}
