package certs

import (
	"crypto/tls"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tell how long certificates are valid, and whether their renewal
// works. A nil *Metrics counts nothing.
type Metrics struct {
	renewals, failures *prometheus.CounterVec
}

// NewMetrics returns Metrics that are registered only by Expose.
func NewMetrics() *Metrics {
	return &Metrics{
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stayput_certificate_renewals_total",
			Help: "Certificates made or read anew, by what they are: leaf, ca, or client-ca.",
		}, []string{"certificate"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stayput_certificate_failures_total",
			Help: "What could not be done about certificates, by what it was: leaf, ca, caBundle, trust (looking at the " +
				"configurations), files, client-ca or certificate (of cert-manager).",
		}, []string{"certificate"}),
	}
}

func (m *Metrics) renewed(what string) {
	if m != nil {
		m.renewals.WithLabelValues(what).Inc()
	}
}

func (m *Metrics) failed(what string) {
	if m != nil {
		m.failures.WithLabelValues(what).Inc()
	}
}

// Expose registers the metrics with reg, and the seconds until the certificate
// of a source and the authorities in the live caBundles expire. Trust may be
// nil.
func (m *Metrics) Expose(reg prometheus.Registerer, s Source, t *Trust, clock func() time.Time) {
	reg.MustRegister(m.renewals, m.failures, expiry{s, t, clock, prometheus.NewDesc("stayput_certificate_expiry_seconds",
		"Seconds until a certificate expires, by what it is (leaf: the one that is served; ca: one in the caBundles that "+
			"are live) and its serial number.",
		[]string{"certificate", "serial"}, nil)})
}

type expiry struct {
	source Source
	trust  *Trust
	clock  func() time.Time
	desc   *prometheus.Desc
}

func (e expiry) Describe(out chan<- *prometheus.Desc) { out <- e.desc }

func (e expiry) Collect(out chan<- prometheus.Metric) {
	at := now(e.clock)
	if cert, err := e.source.GetCertificate(&tls.ClientHelloInfo{}); err == nil {
		if leaf, _, err := parse(cert); err == nil {
			out <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, leaf.NotAfter.Sub(at).Seconds(), "leaf",
				leaf.SerialNumber.Text(16))
		}
	}
	if e.trust == nil {
		return
	}
	serials := map[string]bool{}
	for _, ca := range e.trust.authorities() {
		serial := ca.SerialNumber.Text(16)
		if serials[serial] {
			continue // two authorities may choose the same serial number; labels must be unique
		}
		serials[serial] = true
		out <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, ca.NotAfter.Sub(at).Seconds(), "ca", serial)
	}
}
