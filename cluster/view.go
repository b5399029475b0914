// Package cluster is what a convention may see of the world beyond the object
// in its hands: other objects, and who is asking.
package cluster

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrUnknown is returned for a lookup that the source cannot answer. A
// directory of manifests is rarely a whole cluster: that it holds no
// StorageClass does not mean that the cluster has none.
var ErrUnknown = errors.New("not known here")

// ErrUnserved is the [ErrUnknown] of a kind that the API server does not serve: it may
// have such objects in a version that nobody asked for.
var ErrUnserved = fmt.Errorf("%w: the API server does not serve this kind", ErrUnknown)

// An Environment is what all reviews of one process look at. The zero value of every
// field but Source is useful.
type Environment struct {
	// Source answers lookups: informers in the webhook, a [Snapshot] in lint
	// and audit.
	Source client.Reader

	// Live is the API server itself, asked again before a lookup may cost
	// somebody a denial. Nil where Source is the truth already.
	Live client.Reader

	// Finder has the indexes of Source: those of the caches, or the [Snapshot] itself. Without
	// one, everything in a namespace is listed and looked through.
	Finder Finder

	// ClusterDomain is the DNS domain of the cluster; empty means
	// cluster.local.
	ClusterDomain string

	// Retain says which volumes are retained when no annotation decides;
	// empty means [RetainStatefulSets].
	Retain Retain

	// Waiters has room for as many reviews as may wait for repair at once, the
	// others being answered as things are. Nil where nothing is repaired.
	Waiters chan struct{}

	// Manifests says that what is reviewed are files, as in lint: who reads of
	// a mistake mends it there, and no object needs to be in any cluster.
	Manifests bool
}

// View returns a window on the world for one review, which lives as long as
// ctx.
func (e Environment) View(ctx context.Context, req Request) *View {
	return &View{Request: req, environment: e, ctx: ctx}
}

// A View is one review's window on the cluster. It must not be shared between
// goroutines.
type View struct {
	// Request is who asks for the review; zero in lint and audit.
	Request Request

	environment Environment
	ctx         context.Context
	reads       int
	known       []answer
	live        *View // nil until it is asked for
	cached      *View // the view that this one is the live one of, or nil
}

// An answer is one that the source has given. All rules of a review see the
// same cluster, and several ask for the same object.
type answer struct {
	kind            any // a nil pointer of the type
	namespace, name string
	obj             any
	err             error
}

// answered returns the answer to a question that was asked before, or nil.
func (v *View) answered(kind any, namespace, name string) *answer {
	for i := range v.known {
		if a := &v.known[i]; a.kind == kind && a.name == name && a.namespace == namespace {
			return a
		}
	}
	return nil
}

// Live returns the same view without a cache before it, or nil if this view is
// as fresh as can be. It is one for all who ask, so that they share its answers.
func (v *View) Live() *View {
	if v.environment.Live != nil && v.live == nil {
		live := v.environment
		live.Source, live.Live, live.Finder = live.Live, nil, nil
		v.live = live.View(v.ctx, v.Request)
		v.live.cached = v
	}
	return v.live
}

// Cached returns, of a live view, the one that it was asked for instead of, and
// any other view itself. It is for what a denial does not rest on, as the
// wording of a remedy, and would have the API server list a whole namespace.
func (v *View) Cached() *View {
	if v.cached != nil {
		return v.cached
	}
	return v
}

// Admission says whether a request is reviewed, and not what lint or audit come
// across: these see all objects, and see them whole.
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

// Manifests says whether files are reviewed, and not what is in a cluster or on
// its way there.
func (v *View) Manifests() bool { return v.environment.Manifests }

// Retain returns which volumes are retained when no annotation decides.
func (v *View) Retain() Retain {
	if v.environment.Retain == "" {
		return RetainStatefulSets
	}
	return v.environment.Retain
}

// Get returns the named object, or nil if the cluster has none. The namespace
// of a cluster-scoped object is "". The result must not be edited. An error
// means that the question could not be answered, never "no".
func Get[T any, P interface {
	*T
	client.Object
}](v *View, namespace, name string) (P, error) {
	v.reads++
	if a := v.answered(P(nil), namespace, name); a != nil {
		return a.obj.(P), a.err
	}
	obj := P(new(T))
	err := v.environment.Source.Get(v.ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj)
	if err != nil {
		obj = nil
	}
	if apierrors.IsNotFound(err) {
		err = nil
	}
	err = unserved(err)
	v.known = append(v.known, answer{P(nil), namespace, name, obj, err})
	return obj, err
}

// List returns the objects that match opts, in no order. The items must not be
// edited. An error means that the question could not be answered.
func List[L any, P interface {
	*L
	client.ObjectList
}](v *View, opts ...client.ListOption) (P, error) {
	v.reads++
	namespace, labels, plain := asked(opts)
	if plain {
		if a := v.answered(P(nil), namespace, labels); a != nil {
			return a.obj.(P), a.err
		}
	}
	list := P(new(L))
	err := unserved(v.environment.Source.List(v.ctx, list, opts...))
	if err != nil {
		list = nil
	}
	if plain {
		v.known = append(v.known, answer{P(nil), namespace, labels, list, err})
	}
	return list, err
}

// unserved makes [ErrUnserved] of the error about a kind that the API server does not
// serve.
func unserved(err error) error {
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("%w: %w", ErrUnserved, err)
	}
	return err
}

// A Walker has all objects of some kinds, in whatever form.
type Walker interface {
	// Walk calls visit with one object of a kind after another. Visit must not
	// edit them.
	Walk(kind schema.GroupVersionKind, visit func(client.Object)) error
}

// Each calls visit with one object of a kind after another, where the source is
// a [Walker]: a list of them all would have each twice in memory. They must not
// be edited. An error means that not all are known.
func Each[P client.Object](v *View, visit func(P)) error {
	w, ok := v.environment.Source.(Walker)
	if !ok {
		return fmt.Errorf("a %T cannot be walked through", v.environment.Source)
	}
	return w.Walk(KindOf[P](), func(obj client.Object) { visit(obj.(P)) })
}

// asked returns the namespace and the labels that options ask for, empty for
// all, and whether that is all that they ask for. An answer keeps the labels in
// the place of a name.
func asked(opts []client.ListOption) (namespace, labels string, ok bool) {
	for _, opt := range opts {
		switch opt := opt.(type) {
		case client.InNamespace:
			namespace = string(opt)
		case client.MatchingLabelsSelector:
			if opt.Selector == nil {
				return "", "", false
			}
			if _, selectable := opt.Requirements(); !selectable {
				return "", "", false // it is written as one that selects everything
			}
			labels = opt.String()
		default:
			return "", "", false
		}
	}
	return namespace, labels, true
}
