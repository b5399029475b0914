package cache

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache/packed"
)

// NewSnapshot returns a snapshot for a large cluster. It holds objects as the
// webhook's caches do, but with all fields that rules read of an object under
// review. It edits objects that are added.
func NewSnapshot() *cluster.Snapshot {
	return &cluster.Snapshot{NewStore: func(kind schema.GroupVersionKind, like cluster.Object) (cluster.Store, error) {
		informer := NewInformer(nil, like, 0,
			toolscache.Indexers{toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc})
		s := &cachedStore{kind, informer.GetIndexer(), Caches{}}
		return s, s.indexes.add(like, informer, false)
	}}
}

// A cachedStore is a [cluster.Store] of what an informer would hold.
type cachedStore struct {
	kind    schema.GroupVersionKind
	indexer toolscache.Indexer
	indexes Caches
}

// Add implements [cluster.Store].
func (s *cachedStore) Add(obj cluster.Object) error {
	lean(obj)
	return s.indexer.Add(obj)
}

// Get implements [cluster.Store].
func (s *cachedStore) Get(key client.ObjectKey) (cluster.Object, error) {
	obj, found, err := s.indexer.GetByKey(strings.TrimPrefix(key.String(), "/"))
	if err != nil || !found {
		return nil, err
	}
	return obj.(cluster.Object), nil
}

// List implements [cluster.Store].
func (s *cachedStore) List(namespace string) ([]cluster.Object, error) {
	if namespace == "" {
		return objectsOf(s.indexer.List()), nil
	}
	found, err := s.indexer.ByIndex(toolscache.NamespaceIndex, namespace)
	return objectsOf(found), err
}

// Find implements [cluster.Store].
func (s *cachedStore) Find(index, namespace, key string) ([]cluster.Object, error) {
	return s.indexes.Find(s.kind, index, namespace, key)
}

// Each implements [cluster.Store].
func (s *cachedStore) Each(visit func(cluster.Object)) {
	if one, ok := s.indexer.(interface{ Each(func(packed.Object)) }); ok {
		one.Each(func(obj packed.Object) { visit(obj) })
		return
	}
	for _, obj := range s.indexer.List() {
		visit(obj.(cluster.Object))
	}
}

// lean removes the fields that no rule reads, even of an object under review.
func lean(obj cluster.Object) {
	switch obj := obj.(type) {
	case *corev1.ConfigMap:
		leanConfigMap(obj)
	case *corev1.Pod:
		leanPod(obj)
	case *corev1.PersistentVolumeClaim:
		stripClaim(obj)
	case *corev1.PersistentVolume:
		stripVolume(obj)
	}
}

// leanConfigMap keeps the lines that may name members of a StatefulSet. All
// ConfigMaps of a cluster are large, and few have one.
func leanConfigMap(cm *corev1.ConfigMap) {
	cm.BinaryData, cm.ManagedFields = nil, nil
	delete(cm.Annotations, cluster.AnnotationLastApplied)
	data := cm.Data
	cm.Data = nil
	for key, text := range data {
		if lines := cluster.MemberLines(text); lines != "" {
			if cm.Data == nil {
				cm.Data = map[string]string{}
			}
			cm.Data[key] = lines
		}
	}
}

// leanPod keeps the names, claims and labels of a Pod that a controller made:
// its containers and constraints are in the template. Rules review any other Pod
// by itself, and there are few of these: their containers stay.
func leanPod(pod *corev1.Pod) {
	pod.Status = corev1.PodStatus{Phase: pod.Status.Phase}
	pod.Annotations = keep(pod.Annotations, func(name string) bool {
		return name == cluster.AnnotationMirror || strings.Contains(name, "stayput.dev/")
	})
	if metav1.GetControllerOf(pod) != nil {
		pod.Spec.Containers, pod.Spec.InitContainers = nil, nil
		pod.Spec.Affinity, pod.Spec.Tolerations, pod.Spec.SecurityContext = nil, nil, nil
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes,
			func(v corev1.Volume) bool { return v.PersistentVolumeClaim == nil })
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		v.Projected, v.ConfigMap, v.Secret, v.DownwardAPI = nil, nil, nil, nil
	}
}
