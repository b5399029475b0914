package cache

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// Reader returns a reader of what a client of an API server, or a cache of one, reads.
func Reader(r client.Reader) cluster.Reader { return reader{r} }

type reader struct{ of client.Reader }

// Get implements [cluster.Reader].
func (r reader) Get(ctx context.Context, key types.NamespacedName, into cluster.Object) error {
	return r.of.Get(ctx, key, into)
}

// List implements [cluster.Reader].
func (r reader) List(ctx context.Context, into cluster.ObjectList, selected cluster.Selection) error {
	return r.of.List(ctx, into, &client.ListOptions{Namespace: selected.Namespace, LabelSelector: selected.Labels})
}
