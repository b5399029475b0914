package cache

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache/packed"
)

// NewInformer makes the informer of a kind: a packed one if a cluster has many
// or large objects of the kind, or else client-go's own, which is better for
// objects that are looked up often. It is for controller-runtime's
// cache.Options.
func NewInformer(lw toolscache.ListerWatcher, kind runtime.Object, resync time.Duration,
	indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	if known := cluster.KnownObject(kind); known != nil && known.Packed {
		return packed.New(lw, kind.(packed.Object), indexers)
	}
	return toolscache.NewSharedIndexInformer(lw, kind, resync, indexers)
}
