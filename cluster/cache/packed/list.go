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

// A listing is what a reflector lists from: it stores the items while they are
// read. Left to itself, a reflector has the API server send what is there as
// events of a watch, which costs that twice as much CPU and nine times as much
// memory as a list, and collects them before it stores them.
type listing struct {
	cache.ListerWatcher
	store *store
	one   sync.Mutex // is held by a list: a reflector that stops does not wait for its last
	pages bool       // whether the whole was too much once
}

// pageSize is how many items are asked for at a time where the whole was too much:
// an API server gives each request a minute, unless it is told otherwise
// (--request-timeout). Pages cost it the double.
const pageSize = 10_000

// ListWithContext stores what is there now, whichever version the options name, and
// returns a list without items, which is never continued.
func (l *listing) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	l.one.Lock()
	defer l.one.Unlock()
	l.store.beginList()
	// Of what is there now, never of what an API server that lags behind knows of.
	// From Kubernetes 1.31 on, it answers this from its cache; and a limit beside a
	// version would be for what was there then.
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

// page lists, stores the items, and takes them out of the list.
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
		// Where the connection was refused, or the API server is busy, pages are no
		// better.
		l.pages = l.pages || some || errors.Is(err, trim.ErrStalled) || errors.Is(err, io.ErrUnexpectedEOF) ||
			apierrors.IsTimeout(err) || apierrors.IsInternalError(err)
		return nil, err
	}
	// Those that did not come in protobuf.
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

// reflected is the store as a reflector fills it: complete after the first list.
type reflected struct {
	*store
	complete func()
}

// Replace forgets what was not in a list whose items are stored.
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
