package packed

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"stayput.dev/webhook/cluster/trim"
)

// A listing is what a reflector lists from: it stores the items while they are
// read. Left to itself, a reflector has the API server send what is there as
// events of a watch, which costs that twice as much CPU and nine times as much
// memory as a list, and collects them before it stores them.
type listing struct {
	cache.ListerWatcher
	store *store
	pages bool // instead of the whole, which was not read to its end

	// How long nothing may come: an API server that hangs is not waited for, nor a
	// network that loses what is sent.
	patience time.Duration
}

// pageSize is how many items are asked for at a time where the whole was too much:
// an API server gives each request a minute, unless it is told otherwise
// (--request-timeout). Pages cost it the double.
const pageSize = 10_000

// ListWithContext returns a list, or a page of it, without the items that were
// stored.
func (l *listing) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	switch {
	case l.pages:
		options.ResourceVersion, options.Limit = "", pageSize
	case options.ResourceVersion == "0":
		// Of what is there now, not of what an API server that lags behind knows of;
		// it answers this from its cache, too, and at once where there is no limit.
		options.ResourceVersion, options.Limit = "", 0
	}
	if options.Continue == "" {
		l.store.beginList()
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	stalled := fmt.Errorf("nothing has come of a list for %s", l.patience)
	watchdog := time.AfterFunc(l.patience, func() { giveUp(stalled) })
	defer watchdog.Stop()
	some := false
	ctx = trim.WithItems(ctx, func(item []byte) error {
		some = true
		watchdog.Reset(l.patience)
		return l.store.addEncoded(item)
	})
	list, err := cache.ToListerWithContext(l.ListerWatcher).ListWithContext(ctx, options)
	if err != nil {
		if context.Cause(ctx) == stalled {
			err = stalled
		}
		l.pages = some || apierrors.IsTimeout(err)
		return nil, err
	}
	l.pages = l.pages && continues(list)
	return list, nil
}

// continues says whether there is another page of a list.
func continues(list runtime.Object) bool {
	l, err := meta.ListAccessor(list)
	return err == nil && l.GetContinue() != ""
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

// Replace stores the rest of a list and forgets what was not in it.
func (r reflected) Replace(rest []any, version string) error {
	err := r.store.endList(rest, version)
	if err == nil {
		r.complete()
	}
	return err
}
