package packed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"stayput.dev/cluster/cache/trim"
)

// A listing is the lister of a reflector. It stores the items while it reads
// them. Without it, a reflector makes the API server send all objects as events
// of a watch, which takes twice the CPU and nine times the memory of a list
// there, and collects them before it stores them.
type listing struct {
	cache.ListerWatcher
	store *store
	one   sync.Mutex // held during a list: a reflector that stops does not wait for its last list
	pages bool       // whether a list of all objects has failed once
}

// pageSize is the number of items per request after a list of all objects has
// failed: an API server gives each request a minute by default
// (--request-timeout). Pages cost it twice as much.
const pageSize = 10_000

// ListWithContext stores the objects that exist now, whichever version the
// options name. It returns a list without items, which never has a next page.
func (l *listing) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	l.one.Lock()
	defer l.one.Unlock()
	l.store.beginList()
	// List the present objects, not those of an API server that lags behind.
	// From Kubernetes 1.31 on, the API server answers this from its cache; and
	// a limit together with a version would return the objects of that version.
	options.ResourceVersion, options.ResourceVersionMatch = "", ""
	options.Limit, options.Continue = 0, ""
	if l.pages {
		options.Limit = pageSize
	}
	version := ""
	for {
		list, err := l.page(ctx, options)
		if err != nil {
			return nil, err
		}
		page, err := meta.ListAccessor(list)
		if err != nil {
			return nil, err
		}
		if version == "" {
			version = page.GetResourceVersion()
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			page.SetResourceVersion(version)
			return list, nil
		}
	}
}

// page lists, stores the items, and removes them from the list.
func (l *listing) page(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	some := false
	streamed := trim.WithItems(ctx, func(item []byte) error {
		some = true
		if err := ctx.Err(); err != nil {
			return err
		}
		return l.store.addEncoded(item)
	})
	list, err := cache.ToListerWithContext(l.ListerWatcher).ListWithContext(streamed, options)
	if err != nil {
		// If the connection was refused, or the API server is busy, pages do
		// not help.
		l.pages = l.pages || some || errors.Is(err, trim.ErrStalled) || errors.Is(err, io.ErrUnexpectedEOF) ||
			apierrors.IsTimeout(err) || apierrors.IsInternalError(err)
		return nil, err
	}
	// The items of an answer that is not protobuf.
	if err := meta.EachListItem(list, func(item runtime.Object) error { return l.store.addListed(item) }); err != nil {
		return nil, err
	}
	return list, meta.SetList(list, nil)
}

// WatchWithContext watches.
func (l *listing) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return cache.ToWatcherWithContext(l.ListerWatcher).WatchWithContext(ctx, options)
}

// IsWatchListSemanticsUnSupported tells a reflector to list, and then to watch.
func (*listing) IsWatchListSemanticsUnSupported() bool { return true }

// reflected is the store that a reflector fills. It is complete after the first
// list.
type reflected struct {
	*store
	complete func()
}

// Replace removes the objects that are not in a list. Its items are stored
// already.
func (r reflected) Replace(rest []any, version string) error {
	if len(rest) > 0 {
		return fmt.Errorf("complete a list: %d items came behind it", len(rest))
	}
	err := r.endList(version)
	if err == nil {
		r.complete()
	}
	return err
}
