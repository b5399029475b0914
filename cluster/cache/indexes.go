package cache

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"stayput.dev/cluster"
)

// Caches are the indexes of a process's informers. Lookups return their objects
// without a copy.
type Caches map[indexID]toolscache.Indexer

type indexID struct {
	kind schema.GroupVersionKind
	name string
}

var _ cluster.Finder = Caches(nil)

// Add adds the indexes of a kind to its informer, which must not have started, and
// whose objects [Strip] strips.
func (c Caches) Add(obj cluster.Object, informer cache.Informer) error {
	return c.add(obj, informer, true)
}

func (c Caches) add(obj cluster.Object, informer cache.Informer, stripped bool) error {
	kind, err := cluster.GVK(obj)
	if err != nil {
		return err
	}
	indexed, ok := informer.(interface{ GetIndexer() toolscache.Indexer })
	if !ok {
		return fmt.Errorf("index %s: a %T has no indexer", kind.Kind, informer)
	}
	for name, keys := range cluster.Keys(kind, stripped) {
		if err := informer.AddIndexers(toolscache.Indexers{name: inNamespace(name, keys)}); err != nil {
			return fmt.Errorf("index %s by %s: %w", kind.Kind, name, err)
		}
		c[indexID{kind, name}] = indexed.GetIndexer()
	}
	return nil
}

// inNamespace makes the keys of an index for an informer.
func inNamespace(name string, keysOf func(cluster.Object) []string) toolscache.IndexFunc {
	return func(obj any) ([]string, error) {
		o, ok := obj.(cluster.Object)
		if !ok {
			return nil, fmt.Errorf("index by %s: a %T is no object", name, obj)
		}
		keys := keysOf(o)
		for i := range keys {
			keys[i] = o.GetNamespace() + "/" + keys[i]
		}
		return keys, nil
	}
}

// Find implements [cluster.Finder].
func (c Caches) Find(kind schema.GroupVersionKind, index, namespace, key string) ([]cluster.Object, error) {
	indexer := c[indexID{kind, index}]
	if indexer == nil {
		return nil, fmt.Errorf("find %s: no index is called %q", kind.Kind, index)
	}
	found, err := indexer.ByIndex(index, namespace+"/"+key)
	if err != nil {
		return nil, err
	}
	return objectsOf(found), nil
}

// objectsOf returns the items of an indexer as what they are.
func objectsOf(items []any) []cluster.Object {
	objs := make([]cluster.Object, len(items))
	for i := range items {
		objs[i] = items[i].(cluster.Object)
	}
	return objs
}
