package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Trust reads what the API server trusts: the present caBundles of the two
// webhook configurations.
type Trust struct {
	Client  client.WithWatch
	Name    string // of the two configurations
	Log     *slog.Logger
	Metrics *Metrics
	Now     func() time.Time // nil means time.Now

	mu    sync.Mutex
	live  []configuration
	known bool
	err   error
}

// Start watches the configurations for a source that does not write them
// itself.
func (t *Trust) Start(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	t.watch(ctx, changed)
	for ctx.Err() == nil {
		_, _ = t.read(ctx) // said by itself
		pause(ctx, changed, time.Minute)
	}
	return nil
}

func (t *Trust) watch(ctx context.Context, changed chan<- struct{}) {
	go watchNamed(ctx, t.Client, &admissionv1.MutatingWebhookConfigurationList{}, client.ObjectKey{Name: t.Name}, changed)
	go watchNamed(ctx, t.Client, &admissionv1.ValidatingWebhookConfigurationList{}, client.ObjectKey{Name: t.Name},
		changed)
}

// read reads the configurations. After an error, the last result stays valid.
func (t *Trust) read(ctx context.Context) ([]configuration, error) {
	live, err := readConfigurations(ctx, t.Client, t.Name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		if t.err == nil || t.err.Error() != err.Error() {
			t.Log.Error("cannot see which certificates the API server trusts", "error", err)
		}
		t.Metrics.failed("trust")
		t.err = err
		return nil, err
	}
	t.live, t.known, t.err = live, true, nil
	return live, nil
}

// Verify returns why the API server would refuse the certificate of a source,
// or nil. It is nil if there is no configuration, as nothing will call the
// webhook, or if the configurations may not be read.
func (t *Trust) Verify(s Source) error { return explain(s, t.check(s)) }

func (t *Trust) check(s Source) error {
	cert, err := s.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.known && apierrors.IsForbidden(t.err):
		return nil
	case !t.known && t.err != nil:
		return t.err
	case !t.known:
		return errors.New("the webhook configurations have not been read yet")
	}
	return verifyAll(t.live, cert, now(t.Now))
}

// verifyAll returns why the API server would refuse a certificate because of
// one of the configurations, or nil.
func verifyAll(live []configuration, cert *tls.Certificate, now time.Time) error {
	leaf, intermediates, err := parse(cert)
	if err != nil {
		return err
	}
	for _, c := range live {
		if err := c.verify(leaf, x509.VerifyOptions{Intermediates: intermediates, CurrentTime: now}); err != nil {
			return err
		}
	}
	return nil
}

func parse(cert *tls.Certificate) (leaf *x509.Certificate, intermediates *x509.CertPool, err error) {
	if cert == nil || len(cert.Certificate) == 0 {
		return nil, nil, errors.New("no certificate yet")
	}
	intermediates = x509.NewCertPool()
	for i, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, fmt.Errorf("parse the serving certificate: %w", err)
		}
		if i == 0 {
			leaf = c
		} else {
			intermediates.AddCert(c)
		}
	}
	return leaf, intermediates, nil
}

// authorities returns the certificates in the caBundles, each once.
func (t *Trust) authorities() []*x509.Certificate {
	t.mu.Lock()
	defer t.mu.Unlock()
	return authorities(t.live)
}

func authorities(live []configuration) []*x509.Certificate {
	seen := map[string]bool{}
	var out []*x509.Certificate
	for _, c := range live {
		for _, h := range c.hooks {
			cas, _ := decodeCertificates(h.bundle) // readiness reports unreadable bundles
			for _, ca := range cas {
				if !seen[string(ca.Raw)] {
					seen[string(ca.Raw)] = true
					out = append(out, ca)
				}
			}
		}
	}
	return out
}

func now(clock func() time.Time) time.Time {
	if clock == nil {
		clock = time.Now
	}
	return clock()
}

// watchNamed notifies changed when the named object may have changed. When a
// watch ends, it starts another, which begins with the present object.
func watchNamed(ctx context.Context, c client.WithWatch, list client.ObjectList, key client.ObjectKey,
	changed chan<- struct{}) {
	for ctx.Err() == nil {
		w, err := c.Watch(ctx, list, client.InNamespace(key.Namespace), client.MatchingFields{"metadata.name": key.Name})
		if err == nil {
			for range w.ResultChan() {
				select {
				case changed <- struct{}{}:
				default: // a notification is pending already
				}
			}
			w.Stop()
		}
		pause(ctx, nil, time.Second)
	}
}

// pause waits until something changes, or for d.
func pause(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}
