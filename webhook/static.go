package webhook

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

// StaticManifests is what static guards need of the API server.
var StaticManifests = &cluster.Feature{
	With:    "the API server reads webhook configurations from files",
	Without: "it ignores them, or does not start where it is told to read them",
	On:      []cluster.Span{{From: cluster.Version{Minor: 37}}},
	Gate:    "ManifestBasedAdmissionControlConfig",
	Gated:   cluster.Version{Minor: 36},
}

// StaticSuffix ends the names of the configurations that the API server reads
// from files. Through the API nobody can make such a name.
const StaticSuffix = ".static.k8s.io"

// StaticPath begins the path at which static guards ask. It ends with the time
// until which they trust the serving certificate, since nothing in the API tells.
const StaticPath = ValidatePath + "/static/"

// staticTime is how that time is written in a path.
const staticTime = "20060102T150405Z"

// StaticWarning is how long before that time Stayput begins to warn: after the
// renewal of a CA that lives for a year.
const StaticWarning = 60 * 24 * time.Hour

// StaticGuards returns the webhooks that guard data from deletion as a
// configuration that the API server reads from a file, whose CABundle is good
// until a time. It has none if no rule asks for them.
func (d Deployment) StaticGuards(rules []*validators.Rule,
	until time.Time) *admissionv1.ValidatingWebhookConfiguration {
	_, config := d.Configurations(rules, nil)
	config.Name += StaticSuffix
	config.Webhooks = slices.DeleteFunc(config.Webhooks, func(w admissionv1.ValidatingWebhook) bool {
		return w.Name != Deletion && w.Name != Protected
	})
	for i := range config.Webhooks {
		w := &config.Webhooks[i]
		// By another name, so that a denial, a metric and the audit log tell which guard it was.
		w.Name = strings.Replace(w.Name, ".", "-static.", 1)
		w.ClientConfig = d.client(StaticPath + until.UTC().Format(staticTime))
	}
	return config
}

// static has h answer a static guard, and remembers until when that trusts Stayput.
func (w *Webhook) static(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if until, err := time.Parse(staticTime, strings.TrimPrefix(r.URL.Path, StaticPath)); err == nil {
			w.Metrics.static.asked(until, time.Now(), w.Log)
		}
		h.ServeHTTP(rw, r)
	})
}

const (
	staticMemory = 24 * time.Hour // how long a guard that asks no more is remembered
	staticMost   = 16             // how many are, for anybody may invent one
)

// staticGuards are the static guards that have asked, by the time until which
// they trust the serving certificate.
type staticGuards struct {
	mu   sync.Mutex
	last map[time.Time]time.Time // when they asked last
	said map[time.Time]time.Time // when the log warned
	desc *prometheus.Desc
}

func newStaticGuards() *staticGuards {
	return &staticGuards{
		last: map[time.Time]time.Time{}, said: map[time.Time]time.Time{},
		desc: prometheus.NewDesc("stayput_static_guard_expiry_seconds",
			"Seconds until the authorities end that a static guard trusts, those that end first of what asked in the last day.",
			nil, nil),
	}
}

// asked records a request of a guard, and warns once a day if its time is short.
func (s *staticGuards) asked(until, now time.Time, log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[until] = now
	s.forget(now)
	if said, ok := s.said[until]; until.Sub(now) > StaticWarning || ok && now.Sub(said) < staticMemory {
		return
	}
	s.said[until] = now
	log.Warn("the static guard of an API server trusts no authority for much longer: then it refuses deletions of data; "+
		"run stayput webhooks --static again for each API server", "until", until)
}

// forget drops the guards that have not asked for a day, or for the longest time.
func (s *staticGuards) forget(now time.Time) {
	old := func(until time.Time) bool { return now.Sub(s.last[until]) > staticMemory }
	maps.DeleteFunc(s.last, func(until, _ time.Time) bool { return old(until) })
	for len(s.last) > staticMost {
		delete(s.last, slices.MinFunc(slices.Collect(maps.Keys(s.last)),
			func(a, b time.Time) int { return s.last[a].Compare(s.last[b]) }))
	}
	maps.DeleteFunc(s.said, func(until, _ time.Time) bool { _, known := s.last[until]; return !known })
}

// Describe implements [prometheus.Collector].
func (s *staticGuards) Describe(out chan<- *prometheus.Desc) { out <- s.desc }

// Collect implements [prometheus.Collector].
func (s *staticGuards) Collect(out chan<- prometheus.Metric) { s.collect(out, time.Now()) }

func (s *staticGuards) collect(out chan<- prometheus.Metric, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	if len(s.last) == 0 {
		return
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(s.last)), time.Time.Compare)
	out <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, first.Sub(now).Seconds())
}
