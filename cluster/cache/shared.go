package cache

import (
	"context"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
)

// patience is how long a call waits for the read of another before it reads by
// itself: a read that hangs must not hold up others.
const patience = 100 * time.Millisecond

// Shared returns a reader that asks live only once for an object or a list, at a time:
// calls that come while it is being read wait, and share the next read. So no
// call gets an answer that was asked for before it came, and nothing is
// remembered. Objects are shared between callers, who must not edit them.
func Shared(live cluster.Reader) cluster.Reader {
	return &shared{Reader: live, turns: map[question]*turn{}}
}

type shared struct {
	cluster.Reader
	mu    sync.Mutex
	turns map[question]*turn // of what is being read
}

// A question is for an object, or for a list, whose name is the text of its labels.
type question struct {
	kind reflect.Type // of a pointer
	types.NamespacedName
}

// A reading sets into, of the kind of a question, to its answer.
type reading func(ctx context.Context, into any) error

// A turn is a read that has begun, and those who wait for it to end.
type turn struct{ next *sharing }

// A sharing is a read that has not begun, or its answer.
type sharing struct {
	until time.Time // the latest deadline of those who wait; zero if one has none
	done  chan struct{}
	obj   any
	err   error
}

// Get implements [cluster.Reader].
func (s *shared) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	return s.ask(ctx, question{reflect.TypeOf(obj), key}, obj, func(ctx context.Context, into any) error {
		return s.Reader.Get(ctx, key, into.(cluster.Object))
	})
}

// List implements [cluster.Reader].
func (s *shared) List(ctx context.Context, list cluster.ObjectList, selected cluster.Selection) error {
	text, plain := selected.Text()
	if !plain {
		return s.Reader.List(ctx, list, selected)
	}
	key := types.NamespacedName{Namespace: selected.Namespace, Name: text}
	return s.ask(ctx, question{reflect.TypeOf(list), key}, list, func(ctx context.Context, into any) error {
		return s.Reader.List(ctx, into.(cluster.ObjectList), selected)
	})
}

// ask sets into to the answer to a question.
func (s *shared) ask(ctx context.Context, asked question, into any, read reading) error {
	next := s.join(ctx, asked)
	if next == nil {
		defer s.pass(asked, read)
		return read(ctx, into)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-next.done:
		if next.err == nil {
			reflect.ValueOf(into).Elem().Set(reflect.ValueOf(next.obj).Elem())
		}
		return next.err
	case <-timer.C:
		return read(ctx, into)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join returns the read that a call shares: the one after that which has begun.
// It returns nil if none has, and it is the caller's turn.
func (s *shared) join(ctx context.Context, asked question) *sharing {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.turns[asked]
	if t == nil {
		s.turns[asked] = new(turn)
		return nil
	}
	until, bounded := ctx.Deadline()
	switch {
	case t.next == nil:
		t.next = &sharing{until: until, done: make(chan struct{})}
	case !bounded || t.next.until.IsZero():
		t.next.until = time.Time{}
	case until.After(t.next.until):
		t.next.until = until
	}
	return t.next
}

// pass ends a turn, and begins the next if anybody waits for it.
func (s *shared) pass(asked question, read reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.turns[asked]
	next := t.next
	if t.next = nil; next == nil {
		delete(s.turns, asked)
		return
	}
	go s.readFor(asked, next, read)
}

// readFor reads for all who share it, and outlives the request of any of them.
func (s *shared) readFor(asked question, answer *sharing, read reading) {
	defer s.pass(asked, read)
	ctx := context.Background()
	if !answer.until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, answer.until)
		defer cancel()
	}
	answer.obj = reflect.New(asked.kind.Elem()).Interface()
	answer.err = read(ctx, answer.obj)
	close(answer.done)
}
