package cluster

import (
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
)

// An Index finds the objects of one kind in a namespace by keys computed from
// their fields, at a cost that does not depend on the other objects. Use [Find]
// for lookups.
type Index[P Object] struct {
	id   indexID
	keys func(P) []string
	list func(*View, Selection) ([]P, error)
}

type indexID struct {
	kind schema.GroupVersionKind
	name string
}

func newIndex[P Object](name string, keys func(P) []string,
	list func(*View, Selection) ([]P, error)) *Index[P] {
	return &Index[P]{indexID{KindOf[P](), name}, keys, list}
}

// anIndex is an [Index] of any kind.
type anIndex interface {
	identity() indexID
	keysOf(Object) []string
}

func (idx *Index[P]) identity() indexID          { return idx.id }
func (idx *Index[P]) keysOf(obj Object) []string { return idx.keys(obj.(P)) }

// Keys returns the key functions of a kind's indexes, by the name of the index.
// The keys find an object in the object's namespace. Stripped says that the objects
// are as admission's caches hold them, which decides what a kind that is
// [Kind.ClaimsOnly] is found by.
func Keys(kind schema.GroupVersionKind, stripped bool) map[string]func(Object) []string {
	keys := map[string]func(Object) []string{}
	known := Known(kind)
	for _, idx := range indexes() {
		if id := idx.identity(); id.kind == kind && (!stripped || !known.ClaimsOnly || id.name == byMount) {
			keys[id.name] = idx.keysOf
		}
	}
	return keys
}

func indexes() []anIndex {
	return []anIndex{
		PodsByClaim, PodsByHostname, StrayPods,
		ClaimsByBase,
		VolumesByClaim, VolumesByDisk, ReleasedVolumes,
		StatefulSetsByClaim, StatefulSetsByMount, StatefulSetsByService, StatefulSetsByLabel,
		DeploymentsByMount, DeploymentsByLabel, JobsByMount, JobsByLabel, CronJobsByMount, CronJobsByLabel,
		ServicesBySelector, BudgetsBySelector,
	}
}

// A Finder has indexes, under the names in this package.
type Finder interface {
	// Find returns the objects of a namespace that have a key. They must not be
	// edited.
	Find(kind schema.GroupVersionKind, index, namespace, key string) ([]Object, error)
}

// The indexes. If many objects share a key, as with labels, the caller must
// filter the result.
var (
	// PodsByClaim finds Pods by the names of the claims that they mount.
	PodsByClaim = newIndex("claim", func(pod *corev1.Pod) []string { return ClaimsNamed(&pod.Spec) }, pods)

	// PodsByHostname finds Pods by <hostname>.<subdomain>.
	PodsByHostname = newIndex("hostname", func(pod *corev1.Pod) []string {
		return []string{pod.Spec.Hostname + "." + pod.Spec.Subdomain}
	}, pods)

	// StrayPods finds the few Pods that [Strays] is true of, by the name of the
	// StatefulSet.
	StrayPods = newIndex("stray", func(pod *corev1.Pod) []string {
		if set, _, ok := Strays(pod); ok {
			return []string{set}
		}
		return nil
	}, pods)

	// ClaimsByBase finds claims by their names without the ordinal.
	ClaimsByBase = newIndex("base", func(pvc *corev1.PersistentVolumeClaim) []string {
		base, _, _ := cutOrdinal(pvc.Name)
		return []string{base}
	}, claims)

	// VolumesByClaim finds volumes by the claim that they name, for
	// [VolumesForClaim], and by its namespace.
	VolumesByClaim = newIndex("claim", func(pv *corev1.PersistentVolume) []string {
		class, ref := VolumeClass(pv), pv.Spec.ClaimRef
		if ref == nil {
			return []string{OfClass(class), unclaimed(class)}
		}
		return []string{OfClass(class), claimed(ref.Namespace, ref.Name), ClaimedIn(ref.Namespace)}
	}, volumes)

	// VolumesByDisk finds volumes by what they stand for, for [SameDisk].
	VolumesByDisk = newIndex("disk", func(pv *corev1.PersistentVolume) []string { return hashes(Disks(pv)) }, volumes)

	// ReleasedVolumes finds the few volumes whose claims are gone, by their
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

	// StatefulSetsByMount finds StatefulSets by the claims that their templates mount
	// by name.
	StatefulSetsByMount = newIndex(byMount, func(sts *appsv1.StatefulSet) []string {
		return ClaimsNamed(&sts.Spec.Template.Spec)
	}, statefulSets)

	// DeploymentsByMount finds Deployments by the claims that they mount.
	DeploymentsByMount = newIndex(byMount, func(d *appsv1.Deployment) []string {
		return ClaimsNamed(&d.Spec.Template.Spec)
	}, deployments)

	// JobsByMount finds Jobs that [Stands] is true of, by the claims that they mount.
	JobsByMount = newIndex(byMount, func(j *batchv1.Job) []string {
		if !Stands(j) {
			return nil
		}
		return ClaimsNamed(&j.Spec.Template.Spec)
	}, jobs)

	// CronJobsByMount finds CronJobs by the claims that their Jobs mount.
	CronJobsByMount = newIndex(byMount, func(c *batchv1.CronJob) []string {
		return ClaimsNamed(&c.Spec.JobTemplate.Spec.Template.Spec)
	}, cronJobs)

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

	// JobsByLabel finds Jobs by the labels of their Pods, for [SelectorKeys].
	JobsByLabel = newIndex("label", func(j *batchv1.Job) []string {
		return LabelKeys(j.Spec.Template.Labels)
	}, jobs)

	// CronJobsByLabel finds CronJobs by the labels of the Pods of their Jobs, for
	// [SelectorKeys].
	CronJobsByLabel = newIndex("label", func(c *batchv1.CronJob) []string {
		return LabelKeys(c.Spec.JobTemplate.Spec.Template.Labels)
	}, cronJobs)

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

// The functions that list all objects of a kind, for sources without indexes.
var (
	pods         = listing(func(l *corev1.PodList) []corev1.Pod { return l.Items })
	claims       = listing(func(l *corev1.PersistentVolumeClaimList) []corev1.PersistentVolumeClaim { return l.Items })
	volumes      = listing(func(l *corev1.PersistentVolumeList) []corev1.PersistentVolume { return l.Items })
	statefulSets = listing(func(l *appsv1.StatefulSetList) []appsv1.StatefulSet { return l.Items })
	deployments  = listing(func(l *appsv1.DeploymentList) []appsv1.Deployment { return l.Items })
	jobs         = listing(func(l *batchv1.JobList) []batchv1.Job { return l.Items })
	cronJobs     = listing(func(l *batchv1.CronJobList) []batchv1.CronJob { return l.Items })
	services     = listing(func(l *corev1.ServiceList) []corev1.Service { return l.Items })
	budgets      = listing(func(l *policyv1.PodDisruptionBudgetList) []policyv1.PodDisruptionBudget { return l.Items })
)

// byMount is the name of the indexes by the claims that Pods mount, by which alone
// admission finds what is [Kind.ClaimsOnly].
const byMount = "mount"

// anything is the key of a selector that no label narrows down.
const anything = "*"

// OfClass is the key in [VolumesByClaim] of all volumes of a class.
func OfClass(class string) string { return "class " + class }

// ClaimedIn is the key in [VolumesByClaim] of the volumes that name a claim of a
// namespace.
func ClaimedIn(namespace string) string { return "namespace " + namespace }

func claimed(namespace, name string) string { return "claim " + namespace + "/" + name }
func unclaimed(class string) string         { return "unclaimed " + class }

// VolumesForClaim returns the volumes that a claim may be bound to by their
// claimRef and class.
func VolumesForClaim(v *View, pvc *corev1.PersistentVolumeClaim) ([]*corev1.PersistentVolume, error) {
	return Find(v, VolumesByClaim, "", claimed(pvc.Namespace, pvc.Name),
		unclaimed(ClaimClass(pvc)))
}

// LabelKeys are the keys under which selectors are found that may match labels,
// and the keys under which [SelectorKeys] find the labels.
func LabelKeys(m map[string]string) []string {
	length := 0
	for name, value := range m {
		length += len(name) + len("=") + len(value)
	}
	var all strings.Builder // of which each key is a part
	all.Grow(length)
	keys := append(make([]string, 0, len(m)+1), anything)
	for name, value := range m {
		begin := all.Len()
		all.WriteString(name)
		all.WriteByte('=')
		all.WriteString(value)
		keys = append(keys, all.String()[begin:])
	}
	slices.Sort(keys)
	return keys
}

// oneOf returns one key for all the labels that a selector requires, because
// everything that it matches has that key, too.
func oneOf(wanted map[string]string) []string {
	best := anything
	for name, value := range wanted {
		if key := name + "=" + value; byRank(key, best) < 0 {
			best = key
		}
	}
	return []string{best}
}

// SelectorKeys are the keys under which labels are found that a selector may
// match.
func SelectorKeys(sel labels.Selector) []string {
	if set, ok := sel.(labels.ValidatedSetSelector); ok {
		return oneOf(set)
	}
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

// byRank orders keys by how well they narrow down: all objects of a namespace
// may be part of one application.
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

// ClaimsNamed returns the claims that a Pod mounts by their names.
func ClaimsNamed(spec *corev1.PodSpec) (keys []string) {
	for _, v := range spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			keys = append(keys, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return keys
}

// Find returns the objects of a namespace that have one of the keys, each once,
// in no order. They must not be edited; the slice, which other rules of the review get
// too, may be sorted. An error means that the lookup failed.
func Find[P Object](v *View, idx *Index[P], namespace string, keys ...string) ([]P, error) {
	v.reads++
	if err := v.withheld(reflect.TypeFor[P]()); err != nil && !(idx.id.name == byMount && Known(idx.id.kind).ClaimsOnly) {
		return nil, err
	}
	if v.environment.Finder == nil { // list remembers
		all, err := idx.list(v, InNamespace(namespace))
		wants := wanted(keys)
		return slices.DeleteFunc(all, func(obj P) bool { return !slices.ContainsFunc(idx.keys(obj), wants) }), err
	}
	for i := range v.searches {
		if s := &v.searches[i]; s.index == idx && s.namespace == namespace && slices.Equal(s.keys, keys) {
			found, _ := s.found.([]P)
			return found, nil
		}
	}
	var found []P
	var seen map[string]bool
	for _, key := range keys {
		some, err := v.environment.Finder.Find(idx.id.kind, idx.id.name, namespace, key)
		if err != nil {
			return nil, err
		}
		if seen == nil && len(some) > 0 && len(keys) > 1 {
			seen = map[string]bool{}
		}
		for _, obj := range some {
			if seen[obj.GetName()] {
				continue
			}
			if seen != nil {
				seen[obj.GetName()] = true
			}
			found = append(found, obj.(P))
		}
	}
	if len(keys) > 1 && len(v.searches) < mostSearches { // one key is looked up as fast as it is remembered
		s := search{index: idx, namespace: namespace, keys: keys}
		if found != nil {
			s.found = found
		}
		if v.searches == nil {
			v.searches = make([]search, 0, mostSearches/4)
		}
		v.searches = append(v.searches, s)
	}
	return found, nil
}

// A search is what [Find] was asked in a view, and its answer, for the rules that ask
// again.
type search struct {
	index     any // the *Index
	namespace string
	keys      []string
	found     any // a slice, or nil for none
}

// mostSearches is how many searches a view keeps: what the rules ask of one object. A
// view of many objects asks for each something else.
const mostSearches = 16

// wanted returns a function that says whether a key is among keys, which may be
// many.
func wanted(keys []string) func(string) bool {
	if len(keys) == 1 {
		return func(k string) bool { return k == keys[0] }
	}
	set := make(map[string]bool, len(keys))
	for _, k := range keys {
		set[k] = true
	}
	return func(k string) bool { return set[k] }
}

// listing returns a function that lists a kind, given its list type.
func listing[L, T any, PL interface {
	*L
	ObjectList
}](items func(PL) []T) func(*View, Selection) ([]*T, error) {
	return func(v *View, selected Selection) ([]*T, error) {
		l, err := listed[L, PL](v, selected)
		if err != nil {
			return nil, err
		}
		return pointers(items(l)), nil
	}
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}
