package webhook

import (
	"cmp"
	"encoding/json"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNoBodyCostsMuch searches for the body that costs most to answer among
// those that the limits let pass: every list and map of every reviewed type,
// filled, and what no type knows, at both webhooks. Memory is all that is
// allocated on the way, more than is ever held at a time. The search over all
// shapes takes minutes: STAYPUT_PROOF=1.
func TestNoBodyCostsMuch(t *testing.T) {
	const most = 128 << 20 // R4
	stride := 71
	if testing.Short() {
		stride = 499
	}
	if os.Getenv("STAYPUT_PROOF") != "" {
		stride = 1
	}
	var measured []cost
	h, n := newWebhook(t).Handler(), 0
	for s := range shapes() {
		if n++; n%stride != 0 && !slices.Contains(worst, s.name) {
			continue
		}
		for _, operation := range []string{"CREATE", "UPDATE"} {
			for _, s := range []shape{s, s.leftAtTheEnd()} {
				body := string(s.largest(DefaultLimits(), operation))
				for _, path := range []string{ValidatePath, MutatePath} {
					c := costOf(func() { answered(t, post(t, h, path, body)) })
					c.what, c.size = s.name+" "+operation+" "+path, len(body)
					measured = append(measured, c)
				}
			}
		}
	}
	if n < 1000 {
		t.Errorf("%d shapes: are there so few lists in Kubernetes?", n)
	}
	largest := []byte(`"` + strings.Repeat("x", int(DefaultLimits().Bytes)-2) + `"`)
	scan := costOf(func() { json.Valid(largest) }).cpu
	t.Logf("%d of %d shapes, %d bodies; encoding/json checks a string of %d bytes in %s of CPU", n/stride, n,
		len(measured), len(largest), scan)
	report := func(by string, less func(a, b cost) int) cost {
		slices.SortFunc(measured, less)
		for _, c := range measured[:5] {
			t.Logf("most %s: %s, %d KiB, body of %d bytes: %s", by, c.cpu, c.allocated>>10, c.size, c.what)
		}
		return measured[0]
	}
	if worst := report("memory",
		func(a, b cost) int { return cmp.Compare(b.allocated, a.allocated) }); worst.allocated > most {
		t.Errorf("%s allocates %d MiB, more than %d", worst.what, worst.allocated>>20, most>>20)
	}
	// No time of its own, which would say more of the machine than of the code.
	if worst := report("CPU", func(a, b cost) int { return cmp.Compare(b.cpu, a.cpu) }); worst.cpu > 8*scan {
		t.Errorf("%s takes %s of CPU, %.1f times as long as a check of the largest body", worst.what, worst.cpu,
			float64(worst.cpu)/float64(scan))
	}
}

// worst are the shapes that the whole search found to cost most.
var worst = []string{
	`StatefulSet..spec.template.metadata.labels{}="n#"`,
	`StatefulSet..spec.selector.matchLabels{}="n#"`,
	`Pod..spec.containers[]={}`,
	`Pod..spec.initContainers[0].resources.requests{}="12345678901234567890123456789"`,
	`StatefulSet..spec.volumeClaimTemplates[]={}`,
	`StatefulSet..spec.volumeClaimTemplates[]={"metadata":{"name":"n#"}}`,
	`StorageClass.escapes`,
	`Namespace.our annotations`,
	`Deployment.our annotations`,
}

type cost struct {
	what      string
	size      int
	allocated uint64 // bytes
	cpu       time.Duration
}

// costOf measures a function, the best of three times.
func costOf(f func()) cost {
	best := cost{allocated: math.MaxUint64, cpu: math.MaxInt64}
	for range 3 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := cpuTime()
		f()
		took := cpuTime() - start
		runtime.ReadMemStats(&after)
		best.cpu = min(best.cpu, took)
		best.allocated = min(best.allocated, after.TotalAlloc-before.TotalAlloc)
	}
	return best
}

// cpuTime is what the process has had so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
