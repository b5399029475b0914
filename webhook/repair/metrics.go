package repair

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// Metrics describe the repairs and the volumes that remain. They are zero on
// all replicas but the leader.
type Metrics struct {
	repairs  *prometheus.CounterVec
	failures prometheus.Counter
	leading  prometheus.Gauge

	mu      sync.Mutex
	waiting map[string]bool            // volumes that were not read yet, or could not be written
	found   map[string]cluster.Reclaim // volumes that report found unrepaired
	ruled   map[string]cluster.Reclaim // volumes that somebody changed after Stayput set them
}

// NewMetrics returns metrics that reg exposes.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stayput_repairs_total",
			Help: "Volumes whose reclaim policy was set after admission had missed it or an annotation had changed, by the " +
				"policy.",
		}, []string{"policy"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stayput_repair_failures_total",
			Help: "Attempts at a volume that failed; each is repeated.",
		}),
		leading: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stayput_repair_leading",
			Help: "1 on the replica that repairs.",
		}),
	}
	m.forgetAll()
	gauge := func(name, help string, of func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			return float64(of())
		})
	}
	reg.MustRegister(m.repairs, m.failures, m.leading,
		gauge("stayput_repair_waiting_volumes", "Volumes that repair has yet to look at, or could not write.",
			func() int { return len(m.waiting) }),
		gauge("stayput_missed_volumes", "With repair: report, volumes whose reclaim policy is not what it should be.",
			func() int { return len(m.found) }),
		gauge("stayput_overruled_volumes", "Volumes whose reclaim policy somebody changed after Stayput had set it.",
			func() int { return len(m.ruled) }))
	return m
}

func (m *Metrics) wait(volume string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting[volume] = true
}

func (m *Metrics) left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting)
}

func (m *Metrics) failed(volume string) {
	m.failures.Inc()
	m.wait(volume)
}

func (m *Metrics) seen(volume string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.waiting, volume)
}

// settled notes that a volume is as it should be.
func (m *Metrics) settled(volume string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.found, volume)
	delete(m.ruled, volume)
}

func (m *Metrics) forget(volume string) {
	m.seen(volume)
	m.settled(volume)
}

func (m *Metrics) forgetAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting, m.found, m.ruled = map[string]bool{}, map[string]cluster.Reclaim{}, map[string]cluster.Reclaim{}
}

// missed and overruled record a volume, and say whether that is new.
func (m *Metrics) missed(volume string, want cluster.Reclaim) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.ruled, volume)
	return news(m.found, volume, want)
}

func (m *Metrics) overruled(volume string, want cluster.Reclaim) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.found, volume)
	return news(m.ruled, volume, want)
}

func news(in map[string]cluster.Reclaim, volume string, want cluster.Reclaim) bool {
	was, known := in[volume]
	in[volume] = want
	return !known || was != want
}

// RetainedVolumes counts, at each scrape, the volumes that were retained when
// their claims were deleted: they cost money until somebody deletes them.
type RetainedVolumes struct {
	Environment cluster.Environment // of the caches
}

var (
	retainedCount = prometheus.NewDesc("stayput_retained_volumes",
		"Released volumes that are retained, by namespace of the claim. Every replica says the same.", []string{"namespace"},
		nil)
	retainedBytes = prometheus.NewDesc("stayput_retained_volume_bytes",
		"Capacity of the Released volumes that are retained, by namespace of the claim. Every replica says the same.",
		[]string{"namespace"}, nil)
)

// Describe implements [prometheus.Collector].
func (RetainedVolumes) Describe(ch chan<- *prometheus.Desc) {
	ch <- retainedCount
	ch <- retainedBytes
}

// Collect implements [prometheus.Collector].
func (v RetainedVolumes) Collect(ch chan<- prometheus.Metric) {
	view := v.Environment.View(context.Background(), cluster.Request{})
	volumes, err := cluster.Find(view, cluster.ReleasedVolumes, "", string(corev1.VolumeReleased))
	if err != nil {
		ch <- prometheus.NewInvalidMetric(retainedCount, err)
		return
	}
	count, bytes := map[string]int{}, map[string]int64{}
	for _, pv := range volumes {
		if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain && pv.Spec.ClaimRef != nil {
			count[pv.Spec.ClaimRef.Namespace]++
			bytes[pv.Spec.ClaimRef.Namespace] += pv.Spec.Capacity.Storage().Value()
		}
	}
	for ns, n := range count {
		ch <- prometheus.MustNewConstMetric(retainedCount, prometheus.GaugeValue, float64(n), ns)
		ch <- prometheus.MustNewConstMetric(retainedBytes, prometheus.GaugeValue, float64(bytes[ns]), ns)
	}
}
