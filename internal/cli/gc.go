package cli

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie about before it is collected: as much as is made in a fifth
// of a second, and in more where more lives, for what a collection costs grows with
// that; at least what some hundred requests leave, and at most what some thousand do.
// So a quiet server is small, and a busy one does not spend its time on collections.
const (
	garbageSeconds = 0.2
	livePerSecond  = 300 << 20
	leastGarbage   = 16 << 20
	mostGarbage    = 80 << 20
)

// A process is calm if it has allocated less than calmRate in a second, for so long that
// it is not the pause between two bursts.
const (
	calmRate = 1 << 20
	calmTime = 5 * time.Second
)

// TuneGarbage limits garbage where a memory limit (GOMEMLIMIT, as the chart sets it)
// says that memory counts.
func TuneGarbage(ctx context.Context) {
	if debug.SetMemoryLimit(-1) < math.MaxInt64 {
		LimitGarbage(ctx)
	}
}

// LimitGarbage keeps garbage within an amount until ctx is done, however much lives.
// Go's own measure, as much garbage as there is of what lives, would collect all
// the time in a small cluster and double the memory in a large one. What a burst has
// left goes back to the system once it is over: Go by itself keeps much of it.
// GOGC, where it is set, stands.
func LimitGarbage(ctx context.Context) {
	if _, set := os.LookupEnv("GOGC"); set {
		return
	}
	const interval = 100 * time.Millisecond // in a second, a first list comes to more than all garbage
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(heap)
	pace := gcPace{allocated: heap[1].Value.Uint64(), percent: 100}
	for {
		if pace.step(heap[0].Value.Uint64(), heap[1].Value.Uint64(), interval) {
			debug.SetGCPercent(pace.percent)
		}
		if pace.givesBack(interval) {
			debug.FreeOSMemory()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		metrics.Read(heap)
	}
}

// A gcPace follows what a process allocates.
type gcPace struct {
	allocated uint64        // in bytes, since the start
	rate      float64       // bytes in a second, of about the last second
	percent   int           // GOGC
	calm      time.Duration // how long the process has been calm
	returned  uint64        // what was allocated when memory was last given back
}

// step takes what lives and what was allocated in all, and says whether it has
// changed the percentage: to set it stops the world, so not for a trifle.
func (p *gcPace) step(live, allocated uint64, after time.Duration) bool {
	share := min(1, after.Seconds())
	p.rate += share * (float64(allocated-p.allocated)/after.Seconds() - p.rate)
	p.allocated = allocated
	seconds := max(garbageSeconds, float64(live)/livePerSecond)
	garbage := min(mostGarbage, max(leastGarbage, seconds*p.rate))
	percent := int(min(400, max(10, 100*garbage/float64(max(live, 1)))))
	if 10*percent >= 9*p.percent && 10*percent <= 11*p.percent {
		return false
	}
	p.percent = percent
	return true
}

// givesBack says, after a step, whether to collect and to give memory back: once there is
// something to collect, and whoever made it is done.
func (p *gcPace) givesBack(after time.Duration) bool {
	if p.calm += after; p.rate >= calmRate {
		p.calm = 0
	}
	if p.calm < calmTime || p.allocated-p.returned < leastGarbage {
		return false
	}
	p.returned = p.allocated
	return true
}

// DelayGarbage lets the heap grow to 32 MiB before garbage is first collected, at
// 4 MiB otherwise: it is for programs that end soon, most of them before. Then there
// is half as much garbage as there is of what lives, in place of as much, which on a tree
// of 10 000 manifests saves a fifth of the memory for a tenth of the CPU. GOGC, where
// it is set, stands.
func DelayGarbage() {
	if _, set := os.LookupEnv("GOGC"); set {
		return
	}
	debug.SetGCPercent(800) // of the least heap, 4 MiB
	collected := new([16]byte)
	runtime.AddCleanup(collected, func(percent int) { debug.SetGCPercent(percent) }, 55)
}
