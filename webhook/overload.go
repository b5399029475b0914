package webhook

import (
	"context"
	"math"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// A limiter bounds how many requests are worked on at a time, and the memory that
// they take together. What exceeds a limit is answered at once with 429 and
// Retry-After: the API server asks again within the webhook's timeout.
//
// Memory is in two pools of equal size, so that large bodies, however many,
// cannot keep out the ordinary ones. A connection that sends nothing, or sends
// slowly, holds no slot, and no memory for what it has not sent.
type limiter struct {
	slots           chan struct{}
	ordinary, large pool
}

const (
	// ordinaryBytes is how much memory an ordinary request takes at most. A
	// StatefulSet of 9 KB takes a quarter of it.
	ordinaryBytes = 1 << 20

	// largeBodyBytes is the length from which a body takes more than that when it
	// is decoded.
	largeBodyBytes = ordinaryBytes / 5
)

func newLimiter(limits Limits) *limiter {
	l := &limiter{slots: make(chan struct{}, limits.InFlight)}
	l.ordinary.size, l.large.size = limits.Memory/2, limits.Memory/2
	return l
}

// enter waits for a slot, a third of timeout at most, so that the API server
// has time left to ask again. If it returns true, the request must leave.
func (l *limiter) enter(ctx context.Context, timeout time.Duration) bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(timeout / 3)
	defer timer.Stop()
	select {
	case l.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (l *limiter) leave() { <-l.slots }

// A pool is an amount of memory in bytes. It need not be exact: it keeps requests
// from exhausting the process's memory together, and Limits bound each.
type pool struct {
	size int64
	used atomic.Int64
}

// A reservation is what one request holds of a limiter's memory.
type reservation struct {
	limiter *limiter
	large   bool // whether it takes from the pool for large bodies in any case
	pool    *pool
	n       int64
}

// extend makes the reservation one of n bytes, and says whether there is so much
// memory. A reservation only grows.
func (r *reservation) extend(n int64) bool {
	if n <= r.n {
		return true
	}
	p := &r.limiter.ordinary
	if r.large || n > ordinaryBytes {
		p = &r.limiter.large
	}
	held := r.n
	if p != r.pool {
		held = 0
	}
	// A request that is alone in its pool gets what it needs: otherwise a limit
	// that is too low would refuse large requests for ever.
	if used := p.used.Add(n - held); used > p.size && used > n {
		p.used.Add(held - n)
		return false
	}
	if p != r.pool {
		r.release()
	}
	r.pool, r.n = p, n
	return true
}

// release gives everything back.
func (r *reservation) release() {
	if r.pool != nil {
		r.pool.used.Add(-r.n)
	}
	r.pool, r.n = nil, 0
}

// memory returns how much of the process's memory requests may take together:
// half of GOMEMLIMIT, which the chart sets to nine tenths of the container's
// limit. Informers and the garbage of earlier requests need the other half.
func memory() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit / 2
	}
	return 256 << 20
}
