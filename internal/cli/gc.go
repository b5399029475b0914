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

// garbage is how much of it may lie about before it is collected: what some
// thousand requests leave.
const garbage = 80 << 20

// TuneGarbage limits garbage where a memory limit (GOMEMLIMIT, as the chart sets it)
// says that memory counts.
func TuneGarbage(ctx context.Context) {
	if debug.SetMemoryLimit(-1) < math.MaxInt64 {
		LimitGarbage(ctx)
	}
}

// LimitGarbage keeps it near that much until ctx is done, however much lives.
// Go's own measure, as much garbage as there is of what lives, would collect all
// the time in a small cluster and double the memory in a large one. GOGC, where
// it is set, stands.
func LimitGarbage(ctx context.Context) {
	if _, set := os.LookupEnv("GOGC"); set {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for set := 100; ; {
		metrics.Read(live)
		// To set it stops the world, so not for a trifle.
		if percent := gcPercent(live[0].Value.Uint64()); 10*percent < 9*set || 10*percent > 11*set {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond): // in a second, a first list comes to more than all garbage
		}
	}
}

// gcPercent returns the GOGC that permits that much garbage beside the live
// memory, within limits.
func gcPercent(live uint64) int {
	return int(min(400, max(15, 100*garbage/max(live, 1))))
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
