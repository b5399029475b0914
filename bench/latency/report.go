package latency

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

var titles = map[string]string{
	byNothing:           "nothing",
	byStayput:           "**Stayput**",
	byMutatingAlone:     "**Stayput**, mutating alone",
	byControllerRuntime: "controller-runtime",
	byValidatingPolicy:  "ValidatingAdmissionPolicy",
	byApplyPolicy:       "MutatingAdmissionPolicy, ApplyConfiguration",
	byPatchPolicy:       "MutatingAdmissionPolicy, JSONPatch",
}

// Functions that return one value of a sample.
func p50Alone(s sample) time.Duration      { return s.alone.p50 }
func p99Alone(s sample) time.Duration      { return s.alone.p99 }
func p50Concurrent(s sample) time.Duration { return s.concurrent.p50 }
func p99Concurrent(s sample) time.Duration { return s.concurrent.p99 }
func apiCPU(s sample) time.Duration        { return s.api }
func askedCPU(s sample) time.Duration      { return s.asked }
func allCPU(s sample) time.Duration        { return s.api + s.asked }

func (c *testCase) median(of func(sample) time.Duration) time.Duration {
	values := make([]time.Duration, len(c.samples))
	for i, s := range c.samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// added returns the median of the differences to the case without admission, round
// by round.
func (c *testCase) added(nothing *testCase, of func(sample) time.Duration) time.Duration {
	values := make([]time.Duration, len(c.samples))
	for i, s := range c.samples {
		values[i] = of(s) - of(nothing.samples[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (r *run) report(load string) string {
	var out strings.Builder
	n := 0
	for _, c := range r.cases {
		n += c.sent
	}
	fmt.Fprintf(&out, "%d requests. Load average of the machine before: %s.\n", n, load)
	r.table(&out, "one at a time", p50Alone, p99Alone)
	r.table(&out, fmt.Sprintf("%d connections", r.Connections), p50Concurrent, p99Concurrent)

	fmt.Fprintf(&out, "\n| CPU ms of a request, %d connections | asked | the API server's | added | of who is asked | "+
		"added in all |\n|---|---|---|---|---|---|\n", r.Connections)
	r.rows(func(c, nothing *testCase) {
		if c == nothing {
			fmt.Fprintf(&out, "| %s | %s | %s | | | |\n", c.title, titles[c.by], millis(c.median(apiCPU)))
			return
		}
		asked := ""
		if len(r.pids[c.by]) > 0 {
			asked = millis(c.median(askedCPU))
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %+.3f | %s | %+.3f |\n", c.title, titles[c.by], millis(c.median(apiCPU)),
			ms(c.added(nothing, apiCPU)), asked, ms(c.added(nothing, allCPU)))
	})

	out.WriteString("\n| target, for a Pod that is mutated | is | must be |\n|---|---|---|\n")
	nothing := r.find(namedPod, byNothing)
	for _, who := range []struct{ name, by string }{{"mutating alone, as the policies do", byMutatingAlone},
		{"with all rules about it", byStayput}} {
		for _, t := range []struct {
			what string
			of   func(sample) time.Duration
		}{{"added p50, one at a time", p50Alone}, {"CPU added in all", allCPU}} {
			is := r.find(namedPod, who.by).added(nothing, t.of)
			policy := min(r.find(namedPod, byApplyPolicy).added(nothing, t.of),
				r.find(namedPod, byPatchPolicy).added(nothing, t.of))
			mark := ""
			if is > policy {
				mark = " **missed**"
			}
			fmt.Fprintf(&out, "| %s, of the cheaper MutatingAdmissionPolicy's; %s | %.2f%s | at most 1.00 |\n", t.what, who.name,
				ms(is)/ms(policy), mark)
		}
	}
	return out.String()
}

// table writes the latencies of requests.
func (r *run) table(out *strings.Builder, how string, p50, p99 func(sample) time.Duration) {
	fmt.Fprintf(out, "\n| request, %s | asked | p50 ms | added | p99 ms | added |\n|---|---|---|---|---|---|\n", how)
	r.rows(func(c, nothing *testCase) {
		if c == nothing {
			fmt.Fprintf(out, "| %s | %s | %s | | %s | |\n", c.title, titles[c.by], millis(c.median(p50)), millis(c.median(p99)))
			return
		}
		fmt.Fprintf(out, "| %s | %s | %s | %+.3f | %s | %+.3f |\n", c.title, titles[c.by],
			millis(c.median(p50)), ms(c.added(nothing, p50)), millis(c.median(p99)), ms(c.added(nothing, p99)))
	})
}

// rows calls write for each case, and passes it the case without admission of the
// same group.
func (r *run) rows(write func(c, nothing *testCase)) {
	for _, group := range r.groups() {
		for _, c := range group {
			write(c, group[0])
		}
	}
}

func ms(d time.Duration) float64    { return float64(d) / float64(time.Millisecond) }
func millis(d time.Duration) string { return fmt.Sprintf("%.3f", ms(d)) }

// loadAverage returns the machine's load average of the last minute.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(data), " ")
	return one
}
