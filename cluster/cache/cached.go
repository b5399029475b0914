package cache

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cached returns a reader of cache that asks live before it answers that an
// object does not exist: a Service and the StatefulSet that names it, applied
// together, arrive closer to each other than a watch delivers them.
func Cached(cache, live client.Reader) client.Reader { return &cached{cache, live} }

type cached struct {
	client.Reader
	live client.Reader
}

func (c *cached) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := c.Reader.Get(ctx, key, obj, opts...)
	if apierrors.IsNotFound(err) {
		return c.live.Get(ctx, key, obj, opts...)
	}
	return err
}
