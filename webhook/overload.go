package webhook

import (
	"context"
	"math"
	"runtime/debug"
	"time"

	"golang.org/x/sync/semaphore"
)

// A limiter limits how many requests are processed at a time, and their memory
// together. A request above a limit is answered at once with 429 and
// Retry-After, and the API server asks again within the webhook's timeout.
//
// The memory is in two pools of equal size, so that any number of large bodies
// cannot keep out the ordinary ones. A connection that sends nothing, or sends
// slowly, holds no slot, and holds memory only for the bytes that it has sent.
type limiter struct {
	slots           chan struct{}
	ordinary, large pool
}

const (
	// ordinaryBytes is the maximum memory of an ordinary request. A StatefulSet
	// of 9 KB takes a quarter of it.
	ordinaryBytes = 1 << 20

	// largeBodyBytes is the length of a body above which decoding takes more
	// memory than that.
	largeBodyBytes = ordinaryBytes / 5
)

func newLimiter(limits Limits) *limiter {
	half := limits.Memory / 2
	return &limiter{slots: make(chan struct{}, limits.InFlight), ordinary: newPool(half), large: newPool(half)}
}

// enter waits for a slot for at most a third of timeout, so that the API server
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

// A pool is an amount of memory in bytes. It need not be exact: it keeps
// requests from exhausting the process's memory together, and Limits limit
// each.
type pool struct {
	size int64
	free *semaphore.Weighted
}

// newPool returns a pool of size bytes, at least one, so that no part is
// nothing.
func newPool(size int64) pool {
	size = max(size, 1)
	return pool{size, semaphore.NewWeighted(size)}
}

// part returns how much of the pool a request of n bytes takes. One that is
// larger than the pool takes it all, so that it runs alone: otherwise too low a
// limit would refuse it for ever.
func (p *pool) part(n int64) int64 { return min(n, p.size) }

// A reservation is the part of a limiter's memory that one request holds.
type reservation struct {
	limiter *limiter
	large   bool // whether it is in the pool for large bodies regardless of its size
	pool    *pool
	n       int64
}

// extend grows the reservation to n bytes, and says whether that much memory is
// free. A reservation never shrinks.
func (r *reservation) extend(n int64) bool {
	if n <= r.n {
		return true
	}
	p := &r.limiter.ordinary
	if r.large || n > ordinaryBytes {
		p = &r.limiter.large
	}
	more := p.part(n)
	if p == r.pool {
		more -= p.part(r.n)
	}
	if !p.free.TryAcquire(more) {
		return false
	}
	if p != r.pool {
		r.release()
	}
	r.pool, r.n = p, n
	return true
}

// release returns the reservation's memory.
func (r *reservation) release() {
	if r.pool != nil {
		r.pool.free.Release(r.pool.part(r.n))
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
