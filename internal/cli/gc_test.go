package cli

import (
	"testing"
	"time"
)

// TestGCPace holds how much garbage may lie about, by what lives and what is allocated.
func TestGCPace(t *testing.T) {
	const (
		tick  = 100 * time.Millisecond
		mib   = 1 << 20
		quiet = 2 * mib // in a second
		busy  = 500 * mib
	)
	pace, live, allocated := gcPace{percent: 100}, uint64(20*mib), uint64(0)
	run := func(rate uint64, during time.Duration) (changes int) {
		for range during / tick {
			allocated += rate / 10
			if pace.step(live, allocated, tick) {
				changes++
			}
		}
		return changes
	}
	holds := func(when string, least, most float64) {
		t.Helper()
		if garbage := float64(live) / 100 * float64(pace.percent); garbage < least*mib || garbage > most*mib {
			t.Errorf("%s: %.0f MiB of garbage beside %d MiB, and it should be %.0f to %.0f", when, garbage/mib, live/mib,
				least, most)
		}
	}
	run(quiet, 2*time.Second)
	holds("quiet", 15, 18)
	if n := run(quiet, 10*time.Second); n > 0 {
		t.Errorf("nothing has changed, and the percentage did, %d times", n)
	}
	run(busy, 3*time.Second)
	holds("busy", 72, 81)
	run(quiet, 6*time.Second)
	holds("quiet again", 15, 18)
	run(150*mib, 5*time.Second)
	holds("half as busy as can be", 27, 34)

	live = 120 * mib
	run(150*mib, 5*time.Second)
	holds("the same beside more", 54, 64)
	live = 300 * mib
	run(quiet, 6*time.Second)
	holds("quiet beside much", 29, 34) // a tenth: less would collect for every trifle
	live = 1 * mib
	run(busy, 3*time.Second)
	holds("busy beside nothing", 4, 4)
}
