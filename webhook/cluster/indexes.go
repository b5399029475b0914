package cluster

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An Index finds objects of one kind in a namespace by keys that are made of
// what they hold, however many others there are. Look something up in one with
// [Find].
type Index[P client.Object] struct {
	kind schema.GroupVersionKind
	name string
	keys func(P) []string
	list func(*View, ...client.ListOption) ([]P, error)
}

func newIndex[P client.Object](name string, keys func(P) []string, list func(*View, ...client.ListOption) ([]P, error)) *Index[P] {
	return &Index[P]{KindOf[P](), name, keys, list}
}

// A Finder has indexes, by the names that this package gives them.
type Finder interface {
	// Find returns the objects of a namespace that have a key. They must not be
	// edited.
	Find(kind schema.GroupVersionKind, index, namespace, key string) ([]client.Object, error)
}

// The indexes. Where objects have many keys in common, as labels are, the rest
// of what is asked for must be looked for among what is found.
var (
	// PodsByClaim finds Pods by the names of the claims that they mount.
	PodsByClaim = newIndex("claim", claimsOfPod, pods)

	// PodsByHostname finds Pods by <hostname>.<subdomain>.
	PodsByHostname = newIndex("hostname", func(pod *corev1.Pod) []string {
		return []string{pod.Spec.Hostname + "." + pod.Spec.Subdomain}
	}, pods)

	// ClaimsByBase finds claims by their names without the ordinal.
	ClaimsByBase = newIndex("base", func(pvc *corev1.PersistentVolumeClaim) []string {
		base, _, _ := cutOrdinal(pvc.Name)
		return []string{base}
	}, claims)

	// ReleasedVolumes finds volumes whose claims are gone, which are few, by their
	// phase.
	ReleasedVolumes = newIndex("released", func(pv *corev1.PersistentVolume) []string {
		if pv.Status.Phase != corev1.VolumeReleased {
			return nil
		}
		return []string{string(corev1.VolumeReleased)}
	}, volumes)

	// StatefulSetsByClaim finds StatefulSets by the names, without the ordinal, of
	// the claims that they make.
	StatefulSetsByClaim = newIndex("claim", func(sts *appsv1.StatefulSet) (keys []string) {
		for _, t := range sts.Spec.VolumeClaimTemplates {
			keys = append(keys, t.Name+"-"+sts.Name)
		}
		return keys
	}, statefulSets)

	// StatefulSetsByService finds StatefulSets by their governing Service.
	StatefulSetsByService = newIndex("service", func(sts *appsv1.StatefulSet) []string {
		return []string{sts.Spec.ServiceName}
	}, statefulSets)

	// StatefulSetsByLabel finds StatefulSets by the labels of their Pods, for
	// [SelectorKeys].
	StatefulSetsByLabel = newIndex("label", func(sts *appsv1.StatefulSet) []string {
		return LabelKeys(sts.Spec.Template.Labels)
	}, statefulSets)

	// DeploymentsByLabel finds Deployments by the labels of their Pods, for
	// [SelectorKeys].
	DeploymentsByLabel = newIndex("label", func(d *appsv1.Deployment) []string {
		return LabelKeys(d.Spec.Template.Labels)
	}, deployments)

	// ServicesBySelector finds Services that may select a Pod, by its
	// [LabelKeys].
	ServicesBySelector = newIndex("selector", func(svc *corev1.Service) []string {
		return oneOf(svc.Spec.Selector)
	}, services)

	// BudgetsBySelector finds PodDisruptionBudgets that may select a Pod, by its
	// [LabelKeys].
	BudgetsBySelector = newIndex("selector", func(pdb *policyv1.PodDisruptionBudget) []string {
		if pdb.Spec.Selector == nil {
			return []string{anything}
		}
		return oneOf(pdb.Spec.Selector.MatchLabels)
	}, budgets)
)

// anything is the key of what no label narrows down.
const anything = "*"

// LabelKeys are the keys by which selectors are found that may match labels, and
// labels by [SelectorKeys].
func LabelKeys(m map[string]string) []string {
	keys := []string{anything}
	for name, value := range m {
		keys = append(keys, name+"="+value)
	}
	slices.Sort(keys)
	return keys
}

// oneOf returns a key for all the labels that a selector wants: whatever it
// matches has that one, too.
func oneOf(wanted map[string]string) []string {
	return []string{slices.MinFunc(LabelKeys(wanted), byRank)}
}

// SelectorKeys are the keys by which labels are found that a selector may match.
func SelectorKeys(sel labels.Selector) []string {
	best := []string{anything}
	requirements, selectable := sel.Requirements()
	if !selectable {
		return nil
	}
	for _, r := range requirements {
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			var keys []string
			for _, value := range r.ValuesUnsorted() {
				keys = append(keys, r.Key()+"="+value)
			}
			if len(keys) > 0 && byRank(keys[0], best[0]) < 0 {
				best = keys
			}
		}
	}
	return best
}

// byRank orders keys by how much they are likely to narrow down: a whole
// namespace may be part of one application.
func byRank(a, b string) int {
	rank := func(key string) int {
		name, _, _ := strings.Cut(key, "=")
		name = name[strings.LastIndexByte(name, '/')+1:]
		if key == anything {
			return 9
		}
		if i := slices.Index([]string{"instance", "name", "app"}, name); i >= 0 {
			return i
		}
		return 8
	}
	if n := rank(a) - rank(b); n != 0 {
		return n
	}
	return strings.Compare(a, b)
}

func claimsOfPod(pod *corev1.Pod) (keys []string) {
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			keys = append(keys, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return keys
}

// Find returns the objects of a namespace that have one of the keys, each once,
// in no order. They must not be edited. An error means that the question could
// not be answered.
func Find[P client.Object](v *View, idx *Index[P], namespace string, keys ...string) ([]P, error) {
	v.reads++
	if v.world.Finder == nil {
		all, err := idx.list(v, client.InNamespace(namespace))
		return slices.DeleteFunc(all, func(obj P) bool {
			return !slices.ContainsFunc(idx.keys(obj), func(k string) bool { return slices.Contains(keys, k) })
		}), err
	}
	var found []P
	for i, key := range keys {
		some, err := v.world.Finder.Find(idx.kind, idx.name, namespace, key)
		if err != nil {
			return nil, err
		}
		for _, obj := range some {
			if o := obj.(P); i == 0 || !slices.ContainsFunc(found, func(f P) bool { return f.GetName() == o.GetName() }) {
				found = append(found, o)
			}
		}
	}
	return found, nil
}

// Caches are the informers of a process, which are asked without a copy of what
// they hold.
type Caches map[cacheIndex]toolscache.Indexer

type cacheIndex struct {
	kind schema.GroupVersionKind
	name string
}

// Add makes the indexes of a kind in its informer, which must not have started.
func (c Caches) Add(kind client.Object, informer cache.Informer) error {
	indexed, ok := informer.(interface{ GetIndexer() toolscache.Indexer })
	if !ok {
		return fmt.Errorf("index %T: a %T has no indexer", kind, informer)
	}
	for _, idx := range indexes() {
		if fmt.Sprintf("%T", idx.of) != fmt.Sprintf("%T", kind) {
			continue
		}
		if err := informer.AddIndexers(toolscache.Indexers{idx.name: idx.inNamespace}); err != nil {
			return fmt.Errorf("index %T by %s: %w", kind, idx.name, err)
		}
		c[cacheIndex{idx.kind, idx.name}] = indexed.GetIndexer()
	}
	return nil
}

// Find implements [Finder].
func (c Caches) Find(kind schema.GroupVersionKind, index, namespace, key string) ([]client.Object, error) {
	indexer := c[cacheIndex{kind, index}]
	if indexer == nil {
		return nil, fmt.Errorf("find %s: no index is called %q", kind.Kind, index)
	}
	found, err := indexer.ByIndex(index, namespace+"/"+key)
	if err != nil {
		return nil, err
	}
	objs := make([]client.Object, len(found))
	for i := range found {
		objs[i] = found[i].(client.Object)
	}
	return objs, nil
}

// anIndex is an [Index] with its type erased.
type anIndex struct {
	kind schema.GroupVersionKind
	name string
	of   client.Object
	keys func(client.Object) []string
}

// inNamespace returns the keys of an object for an informer's index.
func (idx *anIndex) inNamespace(obj any) ([]string, error) {
	o, ok := obj.(client.Object)
	if !ok {
		return nil, fmt.Errorf("index by %s: a %T is no object", idx.name, obj)
	}
	keys := idx.keys(o)
	for i := range keys {
		keys[i] = o.GetNamespace() + "/" + keys[i]
	}
	return keys, nil
}

func erased[P client.Object](kind P, idx *Index[P]) *anIndex {
	return &anIndex{idx.kind, idx.name, kind, func(obj client.Object) []string { return idx.keys(obj.(P)) }}
}

func indexes() []*anIndex {
	return []*anIndex{
		erased(&corev1.Pod{}, PodsByClaim), erased(&corev1.Pod{}, PodsByHostname),
		erased(&corev1.PersistentVolumeClaim{}, ClaimsByBase), erased(&corev1.PersistentVolume{}, ReleasedVolumes),
		erased(&appsv1.StatefulSet{}, StatefulSetsByClaim), erased(&appsv1.StatefulSet{}, StatefulSetsByService), erased(&appsv1.StatefulSet{}, StatefulSetsByLabel),
		erased(&appsv1.Deployment{}, DeploymentsByLabel),
		erased(&corev1.Service{}, ServicesBySelector), erased(&policyv1.PodDisruptionBudget{}, BudgetsBySelector),
	}
}

func pods(v *View, opts ...client.ListOption) ([]*corev1.Pod, error) {
	l, err := List[corev1.PodList](v, opts...)
	if err != nil {
		return nil, err
	}
	return pointers(l.Items), nil
}

func claims(v *View, opts ...client.ListOption) ([]*corev1.PersistentVolumeClaim, error) {
	l, err := List[corev1.PersistentVolumeClaimList](v, opts...)
	if err != nil {
		return nil, err
	}
	return pointers(l.Items), nil
}

func volumes(v *View, opts ...client.ListOption) ([]*corev1.PersistentVolume, error) {
	l, err := List[corev1.PersistentVolumeList](v, opts...)
	if err != nil {
		return nil, err
	}
	return pointers(l.Items), nil
}

func statefulSets(v *View, opts ...client.ListOption) ([]*appsv1.StatefulSet, error) {
	l, err := List[appsv1.StatefulSetList](v, opts...)
	if err != nil {
		return nil, err
	}
	return pointers(l.Items), nil
}

func deployments(v *View, opts ...client.ListOption) ([]*appsv1.Deployment, error) {
	l, err := List[appsv1.DeploymentList](v, opts...)
	if err != nil {
		return nil, err
	}
	return pointers(l.Items), nil
}

func services(v *View, opts ...client.ListOption) ([]*corev1.Service, error) {
	l, err := List[corev1.ServiceList](v, opts...)
	if err != nil {
		return nil, err
	}
	return pointers(l.Items), nil
}

func budgets(v *View, opts ...client.ListOption) ([]*policyv1.PodDisruptionBudget, error) {
	l, err := List[policyv1.PodDisruptionBudgetList](v, opts...)
	if err != nil {
		return nil, err
	}
	return pointers(l.Items), nil
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}
