package webhook

import (
	"context"
	"math"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// A gate bounds what all requests together may take. What does not fit is
// answered at once with 429 and Retry-After, which the API server heeds within
// the webhook's timeout.
//
// Memory is in two pools of equal size, so that no number of large bodies,
// which hardly any author sends, can keep out the ordinary ones. A connection
// that sends nothing, or slowly, holds neither a slot nor memory for what it
// has not sent.
type gate struct {
	slots        chan struct{}
	light, heavy pool
}

// light is how much memory an ordinary request may take. A StatefulSet of 9 KB
// takes a quarter of it.
const light = 1 << 20

// largeBody is how large a body is that takes more, decoded.
const largeBody = light / 5

func newGate(l Limits) *gate {
	g := &gate{slots: make(chan struct{}, l.InFlight)}
	g.light.size, g.heavy.size = l.Memory/2, l.Memory/2
	return g
}

// enter waits for a slot, for a third of the time that there is for an answer
// at most: the API server shall have the time to ask again. It says whether it
// got one; then the request must leave.
func (g *gate) enter(ctx context.Context, timeout time.Duration) bool {
	select {
	case g.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(timeout / 3)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (g *gate) leave() { <-g.slots }

// A pool is an amount of memory. It need not be exact: it keeps requests from
// exhausting the process's memory together, and Limits bound each.
type pool struct {
	size int64
	used atomic.Int64
}

// A lease is what one request holds of a gate's memory.
type lease struct {
	gate  *gate
	large bool // whether it takes from the pool for large bodies in any case
	pool  *pool
	n     int64
}

// extend makes the lease one of n bytes, and says whether there is so much
// memory. A lease only grows.
func (l *lease) extend(n int64) bool {
	if n <= l.n {
		return true
	}
	p := &l.gate.light
	if l.large || n > light {
		p = &l.gate.heavy
	}
	held := l.n
	if p != l.pool {
		held = 0
	}
	// Whoever is alone gets what it needs: else a limit that is too low would
	// refuse large requests for ever.
	if used := p.used.Add(n - held); used > p.size && used > n {
		p.used.Add(held - n)
		return false
	}
	if p != l.pool {
		l.release()
	}
	l.pool, l.n = p, n
	return true
}

// release gives everything back.
func (l *lease) release() {
	if l.pool != nil {
		l.pool.used.Add(-l.n)
	}
	l.pool, l.n = nil, 0
}

// memory returns how much of the process's memory requests may take together:
// half of what the Go runtime was told to stay below (GOMEMLIMIT, which the
// chart sets to nine tenths of the container's limit), for the garbage of
// requests gone and the informers need the other half.
func memory() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit / 2
	}
	return 256 << 20
}
