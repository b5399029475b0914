package webhook

import (
	"context"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

// Metrics count requests and answers.
type Metrics struct {
	requests   *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	findings   *prometheus.CounterVec
	exemptions *prometheus.CounterVec
	undecided  *prometheus.CounterVec
	lookups    *prometheus.CounterVec
	static     *staticGuards
}

// NewMetrics returns Metrics that reg exposes.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stayput_requests_total",
			Help: "Admission requests by webhook (validating, mutating), operation, resource and verdict: allowed, warned, " +
				"mutated, denied, undecided, refused (malformed), shed (overload) or panicked.",
		}, []string{"webhook", "operation", "resource", "verdict"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "stayput_request_duration_seconds",
			Help:    "Time from the first byte of a request's body to the last of the answer, by webhook.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 10),
		}, []string{"webhook"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stayput_findings_total",
			Help: "Findings by rule and the level at which they counted.",
		}, []string{"rule", "level"}),
		exemptions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stayput_exempted_findings_total",
			Help: "Findings without consequences, by rule and by who exempts: the object, the namespace or the configuration.",
		}, []string{"rule", "by"}),
		undecided: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stayput_undecided_total",
			Help: "Rules that could not be decided because a lookup failed.",
		}, []string{"rule"}),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stayput_live_lookups_total",
			Help: "Lookups that had to go to the API server, by verb and kind: what was not in a cache, or was asked again " +
				"before a denial.",
		}, []string{"verb", "kind"}),
		static: newStaticGuards(),
	}
	reg.MustRegister(m.requests, m.durations, m.findings, m.exemptions, m.undecided, m.lookups, m.static)
	return m
}

func (m *Metrics) answered(c *call, took time.Duration) {
	var operation, resource string
	if c.req != nil {
		operation, resource = string(c.req.Operation), "other" // a label chosen by the caller would have unlimited values
		switch kind := cluster.KnownResource(c.req.Resource.Resource); {
		case kind == nil:
		case c.req.SubResource == "":
			resource = kind.Resource
		case c.req.SubResource == "scale" && kind.Scalable:
			resource = kind.Resource + "/scale"
		}
	}
	m.requests.WithLabelValues(c.webhook, operation, resource, c.verdict).Inc()
	m.durations.WithLabelValues(c.webhook).Observe(took.Seconds())
}

func (m *Metrics) judged(v validators.Verdict) {
	for _, f := range v.Findings {
		m.findings.WithLabelValues(f.Rule.Name, f.Level.String()).Inc()
	}
	for _, e := range v.Exempted {
		m.exemptions.WithLabelValues(e.Rule.Name, e.By).Inc()
	}
	for _, u := range v.Undecided {
		m.undecided.WithLabelValues(u.Rule.Name).Inc()
	}
}

// Counted returns a reader of live that counts its lookups.
func (m *Metrics) Counted(live cluster.Reader) cluster.Reader { return &counted{live, m} }

type counted struct {
	cluster.Reader
	metrics *Metrics
}

func (c *counted) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	c.metrics.lookups.WithLabelValues("get", kindName(obj)).Inc()
	return c.Reader.Get(ctx, key, obj)
}

func (c *counted) List(ctx context.Context, list cluster.ObjectList, selected cluster.Selection) error {
	c.metrics.lookups.WithLabelValues("list", strings.TrimSuffix(kindName(list), "List")).Inc()
	return c.Reader.List(ctx, list, selected)
}

// kindName returns the kind of a typed object: *v1.Service is Service.
func kindName(obj any) string {
	return reflect.TypeOf(obj).Elem().Name()
}
