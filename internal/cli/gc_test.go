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

// TestGCPaceGivesBack holds when memory goes back to the system.
func TestGCPaceGivesBack(t *testing.T) {
	const tick, mib = 100 * time.Millisecond, 1 << 20
	pace, allocated := gcPace{percent: 100}, uint64(0)
	run := func(rate uint64, during time.Duration) (times int) {
		for range during / tick {
			allocated += rate / 10
			pace.step(20*mib, allocated, tick)
			if pace.givesBack(tick) {
				times++
			}
		}
		return times
	}
	for _, step := range []struct {
		what   string
		rate   uint64 // in a second
		during time.Duration
		times  int
	}{
		{"a start that lists a cluster", 100 * mib, 3 * time.Second, 0},
		{"its end", 0, 20 * time.Second, 1},
		{"nothing happens", 0, time.Minute, 0},
		{"a request now and then", mib / 10, 2 * time.Minute, 0},
		{"and so on, until there is something to collect", mib / 10, 4 * time.Minute, 2},
		{"busy", 50 * mib, time.Minute, 0},
		{"a pause", 0, 4 * time.Second, 0},
		{"busy again", 50 * mib, time.Minute, 0},
		{"quiet", 0, time.Minute, 1},
	} {
		if times := run(step.rate, step.during); times != step.times {
			t.Errorf("%s: memory was given back %d times, want %d", step.what, times, step.times)
		}
	}
}
