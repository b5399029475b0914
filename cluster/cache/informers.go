package cache

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"

	"stayput.dev/cluster/cache/packed"
)

// NewInformer makes the informer of a kind: a packed one for kinds of which a
// cluster has many or large objects, client-go's own for the others, which are
// asked for again and again. It is good for controller-runtime's cache.Options.
func NewInformer(lw toolscache.ListerWatcher, kind runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	switch kind := kind.(type) {
	case *corev1.Pod:
		return packed.New(lw, kind, indexers)
	case *corev1.PersistentVolumeClaim:
		return packed.New(lw, kind, indexers)
	case *corev1.PersistentVolume:
		return packed.New(lw, kind, indexers)
	case *appsv1.StatefulSet:
		return packed.New(lw, kind, indexers)
	case *appsv1.Deployment:
		return packed.New(lw, kind, indexers)
	default:
		return toolscache.NewSharedIndexInformer(lw, kind, resync, indexers)
	}
}
