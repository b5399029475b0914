// Package cluster holds what a rule may read beyond the object under review:
// other objects, and the caller.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// ErrUnknown is returned for a lookup that the source cannot answer. A
// directory of manifests is rarely a whole cluster: if it has no StorageClass,
// the cluster may still have one.
var ErrUnknown = errors.New("not known here")

// Failed returns the error of a lookup that failed, and nil if there is none or it
// only says that a kind is not known here.
func Failed(err error) error {
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	return err
}

// ErrUnserved is the [ErrUnknown] of a kind that the API server does not serve:
// it may have such objects in another version.
var ErrUnserved = fmt.Errorf("%w: the API server does not serve this kind", ErrUnknown)

// ErrUnwatched is the [ErrUnknown] of what only lint and audit know: see
// [Kind.Unwatched] and [Kind.ClaimsOnly]. A request to the API server is not told of
// it.
var ErrUnwatched = fmt.Errorf("%w: admission does not read this kind", ErrUnknown)

// An Environment is what all reviews of one process share. The zero value of
// every field but Source is useful.
type Environment struct {
	// Source answers lookups: informers in the webhook, a [Snapshot] in lint
	// and audit. If it is [Partial], Live is asked for what it lacks.
	Source Reader

	// Live is the API server itself. It is asked again before the result of a
	// lookup may cause a denial. Nil if Source is always up to date.
	Live Reader

	// Finder has the indexes of Source: those of the caches, or the [Snapshot]
	// itself. Without one, everything in a namespace is listed and searched.
	Finder Finder

	// ClusterDomain is the DNS domain of the cluster; empty means
	// cluster.local.
	ClusterDomain string

	// Retain says which volumes are retained when no annotation decides;
	// empty means [RetainStatefulSets].
	Retain Retain

	// Waiters is a channel with a capacity of as many reviews as may wait for
	// repair at once; others do not wait. Nil if nothing is repaired.
	Waiters chan struct{}

	// Manifests says that the reviewed objects are files, as in lint: remedies
	// edit them, and no object needs to exist in a cluster.
	Manifests bool

	// Kubernetes tells the releases of the cluster's API servers. Nil means that
	// they are unknown.
	Kubernetes Servers
}

// A Partial source may lack what the cluster has.
type Partial interface {
	// Lacks says whether the error of a lookup may come of that.
	Lacks(err error) bool
}

// View returns a view of the cluster for one review, valid as long as ctx.
func (e Environment) View(ctx context.Context, req Request) *View {
	return &View{Request: req, environment: e, ctx: ctx}
}

// A View is the view that one review has of the cluster. It must not be shared
// between goroutines.
type View struct {
	// Request says who made the request; zero in lint and audit.
	Request Request

	environment Environment
	ctx         context.Context
	reads       int
	kubernetes  Versions
	asked       bool // whether kubernetes is set
	known       []answer
	searches    []search
	live        *View // nil until it is needed
	cached      *View // the view to which this one is the live view, or nil
	aside       *View // what Cached returns, or nil until it is needed
	foreseen    []foreseen
}

// lacks says whether the API server must be asked because the source lacks
// something.
func (v *View) lacks(err error) bool {
	p, ok := v.environment.Source.(Partial)
	return ok && err != nil && v.environment.Live != nil && p.Lacks(err)
}

// A lookup is a question for an object, or for a list.
type lookup struct {
	kind            any // a nil pointer of the type
	namespace, name string
	labels          labels.Selector // of a list, whose name is their text
}

// An answer is a result from the source. All rules of a review see the same
// cluster, and several look up the same object.
type answer struct {
	lookup
	obj   any
	err   error
	used  int          // which lookup of the view it answered last
	begun *begunLookup // that gets obj and err, or nil if they are here
}

// answered returns the answer to an earlier lookup, or nil.
func (v *View) answered(l lookup) *answer {
	a := v.find(l)
	if a != nil {
		a.used = v.reads
		a.wait()
	}
	return a
}

// find returns the answer to an earlier lookup, which may not have come yet, or nil.
func (v *View) find(l lookup) *answer {
	for i := range v.known {
		if a := &v.known[i]; a.kind == l.kind && a.name == l.name && a.namespace == l.namespace {
			return a
		}
	}
	return nil
}

// Live returns the same view without a cache, or nil if this view has none. All
// callers get the same view, so that they share its answers.
func (v *View) Live() *View {
	if v.environment.Live != nil && v.live == nil {
		live := v.environment
		live.Source, live.Live, live.Finder = live.Live, nil, nil
		v.live = live.View(v.ctx, v.Request)
		v.live.cached = v
	}
	return v.live
}

// Cached returns a view of the source, also for a live view. It is for lookups
// that a denial does not depend on, such as those for the text of a remedy,
// which would otherwise list a whole namespace at the API server. A view that
// has no live view is returned itself.
func (v *View) Cached() *View {
	if v.cached != nil {
		v = v.cached
	}
	if v.aside == nil {
		if v.Live() == nil {
			return v
		}
		aside := *v
		aside.known, aside.searches, aside.foreseen = slices.Clip(v.known), slices.Clip(v.searches), nil
		aside.aside = &aside
		v.aside = &aside
	}
	return v.aside
}

// Admission says whether an admission request is reviewed. Lint and audit
// review all objects, with all their fields.
func (v *View) Admission() bool { return v.Request.UID != "" }

// Reads returns how many lookups have been made through the view.
func (v *View) Reads() int { return v.reads }

// ClusterDomain returns the DNS domain of the cluster, without dots around it.
func (v *View) ClusterDomain() string {
	if v.environment.ClusterDomain == "" {
		return "cluster.local"
	}
	return v.environment.ClusterDomain
}

// Manifests says whether files are reviewed, and not the objects of a cluster
// or of a request.
func (v *View) Manifests() bool { return v.environment.Manifests }

// Kubernetes returns the releases of the cluster's API servers. They do not
// change during a review.
func (v *View) Kubernetes() Versions {
	if v.cached != nil {
		return v.cached.Kubernetes()
	}
	if !v.asked && v.environment.Kubernetes != nil {
		v.kubernetes = v.environment.Kubernetes.Versions()
	}
	v.asked = true
	return v.kubernetes
}

// Retain returns which volumes are retained when no annotation decides.
func (v *View) Retain() Retain {
	if v.environment.Retain == "" {
		return RetainStatefulSets
	}
	return v.environment.Retain
}

// Get returns the named object, or nil if the cluster has none. The namespace
// of a cluster-scoped object is "". The result must not be edited. An error
// means that the lookup failed, never that the object does not exist.
func Get[T any, P interface {
	*T
	Object
}](v *View, namespace, name string) (P, error) {
	v.reads++
	asked := lookup{kind: P(nil), namespace: namespace, name: name}
	if a := v.answered(asked); a != nil {
		return a.obj.(P), a.err
	}
	if err := v.withheld(reflect.TypeFor[P]()); err != nil {
		return nil, err
	}
	obj := P(new(T))
	err := v.environment.Source.Get(v.ctx, types.NamespacedName{Namespace: namespace, Name: name}, obj)
	switch {
	case v.lacks(err):
		obj, err = Get[T, P](v.Live(), namespace, name)
	case apierrors.IsNotFound(err):
		obj, err = nil, nil
	case err != nil:
		obj, err = nil, unserved(err)
	}
	v.known = append(v.known, answer{lookup: asked, obj: obj, err: err, used: v.reads})
	return obj, err
}

// Taken says whether there is an object with a name that a remedy would give to a new
// one. The API server is not asked for what the source lacks.
func Taken[T any, P interface {
	*T
	Object
}](v *View, namespace, name string) (bool, error) {
	v = v.Cached()
	if v.environment.Live != nil && v.find(lookup{kind: P(nil), namespace: namespace, name: name}) == nil {
		key := types.NamespacedName{Namespace: namespace, Name: name}
		if apierrors.IsNotFound(v.environment.Source.Get(v.ctx, key, P(new(T)))) {
			return false, nil
		}
	}
	obj, err := Get[T, P](v, namespace, name)
	return obj != nil, err
}

// List returns the objects that are selected, in no order. The items must not be
// edited. An error means that the lookup failed.
func List[L any, P interface {
	*L
	ObjectList
}](v *View, selected Selection) (P, error) {
	if err := v.withheld(reflect.TypeFor[P]()); err != nil {
		v.reads++
		return nil, err
	}
	return listed[L, P](v, selected)
}

// listed is [List] of a kind that may be read.
func listed[L any, P interface {
	*L
	ObjectList
}](v *View, selected Selection) (P, error) {
	v.reads++
	asked, plain := listOf(P(nil), selected)
	if plain {
		if a := v.answered(asked); a != nil {
			return a.obj.(P), a.err
		}
	}
	got := P(new(L))
	err := v.environment.Source.List(v.ctx, got, selected)
	if v.lacks(err) {
		got, err = listed[L, P](v.Live(), selected)
	} else if err = unserved(err); err != nil {
		got = nil
	}
	if plain {
		v.known = append(v.known, answer{lookup: asked, obj: got, err: err, used: v.reads})
	}
	return got, err
}

// listOf returns the lookup of a list, and whether it can be told from others.
func listOf(kind any, selected Selection) (asked lookup, plain bool) {
	text, plain := selected.Text()
	return lookup{kind, selected.Namespace, text, selected.Labels}, plain
}

// withheld returns [ErrUnwatched] for the type of a kind, or of its lists, that
// admission does not read.
func (v *View) withheld(kind reflect.Type) error {
	if v.Admission() && unwatched()[kind] {
		return ErrUnwatched
	}
	return nil
}

// unserved converts the error for a kind that the API server does not serve to
// [ErrUnserved].
func unserved(err error) error {
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("%w: %w", ErrUnserved, err)
	}
	return err
}

// A Walker has all objects of some kinds, in any form.
type Walker interface {
	// Walk calls visit for each object of a kind. Visit must not edit it.
	Walk(kind schema.GroupVersionKind, visit func(Object)) error
}

// Each calls visit for each object of a kind. If the source is a [Walker], it
// needs no list of all objects, which would hold each twice in memory. The
// objects must not be edited. An error means that not all are known.
func Each[P Object](v *View, visit func(P)) error {
	w, ok := v.environment.Source.(Walker)
	if !ok {
		return fmt.Errorf("a %T cannot be walked through", v.environment.Source)
	}
	return w.Walk(KindOf[P](), func(obj Object) { visit(obj.(P)) })
}
