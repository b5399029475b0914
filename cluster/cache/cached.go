package cache

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cached returns a reader of cache that asks live before it answers that an
// object does not exist: a Service and the StatefulSet that names it, applied
// together, arrive within less time than a watch needs. For a kind that is not
// watched, because the API server did not serve it, only live is asked: it
// answers as soon as the API server serves the kind, after an upgrade.
func Cached(cache, live client.Reader) client.Reader { return &cached{cache, live} }

type cached struct {
	client.Reader
	live client.Reader
}

func (c *cached) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := c.Reader.Get(ctx, key, obj, opts...)
	if apierrors.IsNotFound(err) || unwatched(err) {
		return c.live.Get(ctx, key, obj, opts...)
	}
	return err
}

func (c *cached) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := c.Reader.List(ctx, list, opts...)
	if unwatched(err) {
		return c.live.List(ctx, list, opts...)
	}
	return err
}

// unwatched says whether an error means that a kind has no informer.
func unwatched(err error) bool {
	var missing *ctrlcache.ErrResourceNotCached
	return errors.As(err, &missing)
}
