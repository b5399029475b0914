package cache

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"

	"stayput.dev/cluster"
)

// Cached returns a source that reads a cache of the API server. It is a
// [cluster.Partial]: a Service and the StatefulSet that names it, applied
// together, arrive within less time than a watch needs. Of a kind that is not
// watched, because the API server did not serve it, it has nothing: the API
// server is asked, and answers as soon as it serves the kind, after an upgrade.
func Cached(cache cluster.Reader) cluster.Reader { return cached{cache} }

type cached struct{ cluster.Reader }

var _ cluster.Partial = cached{}

// Lacks implements [cluster.Partial].
func (cached) Lacks(err error) bool {
	var unwatched *ctrlcache.ErrResourceNotCached
	return apierrors.IsNotFound(err) || errors.As(err, &unwatched)
}
