package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"stayput.dev/e2e/harness"
)

// writeGenerated replaces the part of a file that a command generates.
func writeGenerated(file, command, text string) error {
	begin, end := []byte("<!-- begin: written by "+command+" -->\n"), []byte("<!-- end: written by "+command+" -->\n")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok1 := bytes.Cut(data, begin)
	_, after, ok2 := bytes.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s: has no part that %s writes", file, command)
	}
	return os.WriteFile(file, slices.Concat(before, begin, []byte(text), end, after), 0o644)
}

// median returns the median of f over the samples.
func median[T cmp.Ordered](samples []sample, f func(sample) T) T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = f(s)
	}
	return middle(values)
}

// middle returns the median of values, at least one.
func middle[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func cpu(c *testCase) time.Duration {
	return median(c.samples, func(s sample) time.Duration { return s.cpu })
}
func p50(c *testCase) time.Duration {
	return median(c.samples, func(s sample) time.Duration { return s.p50 })
}
func p99(c *testCase) time.Duration {
	return median(c.samples, func(s sample) time.Duration { return s.p99 })
}

func millis(d time.Duration) string { return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond)) }

// heading says where, when and how it was measured.
func (b *bench) heading() string {
	revision, _ := exec.Command("git", "describe", "--always", "--dirty").Output()
	return fmt.Sprintf("%s, %d processors, %s, %s, revision %s. %d rounds of %v, medians.",
		processor(), runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly),
		strings.TrimSpace(string(revision)), b.rounds, b.during)
}

// report returns the tables.
func (b *bench) report(ctx context.Context, plan []*testCase) (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s Stayput's caches hold %s;\nit was ready after %.1f s.\n", b.heading(), b.size,
		b.processes["stayput"].ready.Seconds())
	find := func(server, name string, connections int) *testCase {
		for _, c := range plan {
			if c.server == server && c.payload.name == name && c.connections == connections {
				return c
			}
		}
		return nil
	}
	fmt.Fprintf(&out, "\n| request, 8 connections | KB | server | requests/s | p50 ms | p99 ms | CPU ms | ×floor | "+
		"×controller-runtime | allocations | KB allocated | API requests "+
		"|\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range plan {
		if c.connections == 8 {
			b.row(&out, c, find("floor", c.payload.name, 8), find(peer(c.payload), c.payload.name, 8))
		}
	}
	fmt.Fprintf(&out, "\n| StatefulSet, create, allowed | server | requests/s | p50 ms | p99 ms | CPU ms "+
		"|\n|---|---|---|---|---|---|\n")
	for _, n := range []int{1, 8, 64} {
		for _, s := range []string{"bare", "floor", "cr-validate", "stayput"} {
			c := find(s, b.payloads[0].name, n)
			if c == nil {
				continue
			}
			fmt.Fprintf(&out, "| %d connections | %s | %.0f | %s | %s | %s |\n", n, title(s),
				median(c.samples, func(s sample) float64 { return s.rps }),
				millis(p50(c)), millis(p99(c)), millis(cpu(c)))
		}
	}
	fmt.Fprintf(&out, "\n| server | resident MiB | at most MiB |\n|---|---|---|\n")
	for _, s := range []string{"bare", "floor", "cr-validate", "cr-patch", "stayput"} {
		pid := b.processes[s].cmd.Process.Pid
		now, err := harness.Memory(pid, "VmRSS")
		if err != nil {
			return "", err
		}
		peak, err := harness.Memory(pid, "VmHWM")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "| %s | %.0f | %.0f |\n", title(s), float64(now)/(1<<20), float64(peak)/(1<<20))
	}
	if err := b.programTable(ctx, &out); err != nil {
		return "", err
	}
	out.WriteString("\n| target | is | must be |\n|---|---|---|\n")
	create, update, pod := b.payloads[0].name, "statefulset-update", "pod-create-mutate"
	nothing, unrelated := "statefulset-update-nothing", "statefulset-update-unrelated"
	for _, t := range []struct {
		what    string
		is, max float64
	}{
		{"CPU of a StatefulSet's creation, of the floor's", ratio(cpu, find("stayput", create, 8), find("floor", create, 8)),
			0.5},
		{"the same, of controller-runtime's typed validation", ratio(cpu, find("stayput", create, 8),
			find("cr-validate", create, 8)), 0.25},
		{"CPU of its update, of controller-runtime's", ratio(cpu, find("stayput", update, 8), find("cr-validate", update, 8)),
			0.3},
		{"CPU of an update that changes nothing of a StatefulSet with faults, of the floor's",
			ratio(cpu, find("stayput", nothing, 8), find("floor", nothing, 8)), 0.3},
		{"the same, of an allowed creation", ratio(cpu, find("stayput", nothing, 8), find("stayput", create, 8)), 1},
		{"CPU of an update of an annotation, of an allowed creation",
			ratio(cpu, find("stayput", unrelated, 8), find("stayput", create, 8)), 1},
		{"CPU of a Pod that is mutated, of controller-runtime's typed patch",
			ratio(cpu, find("stayput", pod, 8), find("cr-patch", pod, 8)), 0.125},
		{"p99 at 64 connections, of controller-runtime's", ratio(p99, find("stayput", create, 64),
			find("cr-validate", create, 64)), 1.0 / 3},
		{"requests to the API server, for a request that is allowed", float64(calls(plan)), 0},
	} {
		if math.IsNaN(t.is) {
			continue // not measured
		}
		mark := ""
		if t.is > t.max {
			mark = " **missed**"
		}
		fmt.Fprintf(&out, "| %s | %.3f%s | at most %.3f |\n", t.what, t.is, mark, t.max)
	}
	return out.String(), nil
}

func (b *bench) row(out *strings.Builder, c, floor, peer *testCase) {
	against := func(other *testCase) string {
		if c.server == "bare" || other == nil || other == c {
			return ""
		}
		return fmt.Sprintf("%.2f", ratio(cpu, c, other))
	}
	fmt.Fprintf(out, "| %s, %s | %.1f | %s | %.0f | %s | %s | %s | %s | %s | %.0f | %.1f | %.2f |\n",
		c.payload.title, c.payload.verdict, float64(len(c.payload.body))/1000, title(c.server),
		median(c.samples, func(s sample) float64 { return s.rps }), millis(p50(c)),
		millis(p99(c)), millis(cpu(c)), against(floor), against(peer),
		median(c.samples, func(s sample) float64 { return s.allocs }),
		median(c.samples, func(s sample) float64 { return s.bytes })/1000, apiRequests(c))
}

// apiRequests returns how many requests to the API server one request costs.
func apiRequests(c *testCase) float64 {
	return median(c.samples, func(s sample) float64 { return float64(s.live) / s.n })
}

// peer is the server of controller-runtime that gives the same answer.
func peer(p payload) string {
	if p.mutating() {
		return "cr-patch"
	}
	return "cr-validate"
}

func title(server string) string {
	switch server {
	case "cr-validate":
		return "controller-runtime, typed validate"
	case "cr-patch":
		return "controller-runtime, typed patch"
	case "stayput":
		return "**Stayput**"
	}
	return server
}

func ratio(of func(*testCase) time.Duration, a, b *testCase) float64 {
	if a == nil || b == nil {
		return math.NaN()
	}
	return float64(of(a)) / float64(of(b))
}

// calls counts requests to the API server while allowed requests were answered.
func calls(plan []*testCase) (n int) {
	for _, c := range plan {
		if c.server == "stayput" && c.payload.verdict == "allowed" {
			for _, s := range c.samples {
				n += s.live
			}
		}
	}
	return n
}

// processor returns the model name of the machine's processor.
func processor() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}
