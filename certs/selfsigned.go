package certs

import (
	"cmp"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// settle is how long every configuration must have had an authority before a
// certificate of it is served: each API server learns of it by a watch.
const settle = 10 * time.Second

// SelfSigned is a Source that needs nothing else in the cluster. The authority
// lives in a Secret; leaves live in the memory of each replica, so replicas
// are equal and need no leader. It writes the authority into the caBundles of
// the webhook configurations, and keeps it there.
type SelfSigned struct {
	Client    client.WithWatch
	Namespace string   // of the Service and the Secret
	Service   string   // the certificate is for its name
	Secret    string   // that holds the authority
	Names     []string // DNS names and addresses besides those of the Service
	Trust     *Trust
	Log       *slog.Logger
	Metrics   *Metrics
	Lifetimes Lifetimes
	Settle    time.Duration    // 0 means ten seconds
	Now       func() time.Time // nil means time.Now

	leaf atomic.Pointer[tls.Certificate]

	mu     sync.Mutex // guards what follows
	signer crypto.Signer
	ca     *x509.Certificate // of the signer: of the leaf's issuer
	held   *authority        // as last read from the Secret
	since  map[string]time.Time
	errors errorLog
	frozen bool // the Secret was immutable when it was last read
}

// Start keeps the authority, the caBundles and the leaf up to date: now, after
// each change of one of the objects, and once a minute, because timers do not
// count the time that a machine is suspended.
func (s *SelfSigned) Start(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	s.Trust.watch(ctx, changed)
	go watchNamed(ctx, s.Client, &corev1.SecretList{}, client.ObjectKey{Namespace: s.Namespace, Name: s.Secret}, changed)
	for ctx.Err() == nil {
		err := s.sync(ctx)
		if ctx.Err() == nil {
			s.errors.report(s.Log, "keep the certificates", err)
		}
		wait := min(time.Minute, s.Lifetimes.leaf()/10, s.Lifetimes.ca()/10)
		if err != nil || s.waiting() {
			wait = min(wait, time.Second)
		}
		wait = min(wait, s.untilRetired())
		pause(ctx, changed, wait)
		pause(ctx, nil, 100*time.Millisecond) // changes come in bursts, and someone may undo every one of ours
	}
	return nil
}

// GetCertificate implements [Source]. It checks the leaf, because a machine may
// get a request before Start notices that it was suspended.
func (s *SelfSigned) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := s.leaf.Load()
	if cert == nil {
		return nil, errors.New("no certificate yet")
	}
	if now := now(s.Now); !valid(cert.Leaf, now) {
		if err := s.renewLeaf(now); err != nil {
			s.Log.Error("renew an expired serving certificate", "error", err)
		}
		cert = s.leaf.Load()
	}
	return cert, nil
}

// sync does one round of Start.
func (s *SelfSigned) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	now := now(s.Now)
	leafErr := s.renewLeaf(now) // needs no API server
	// In this order: a bundle is only written if nothing was written since the
	// Secret was read.
	live, liveErr := s.Trust.read(ctx)
	a, err := s.authority(ctx, now)
	if err != nil {
		s.Metrics.failed("ca")
		return errors.Join(leafErr, err)
	}
	wrote, applyErr := s.write(ctx, live, a, a.bundle())
	if wrote {
		live, liveErr = s.Trust.read(ctx)
	}
	if liveErr == nil {
		s.observe(a, live)
	}
	return errors.Join(leafErr, liveErr, applyErr, s.adopt(a, live, liveErr == nil, now))
}

// write writes the bundle into the configurations that lack it, gives up the
// ownership that an earlier round got by that, and says whether to read again.
func (s *SelfSigned) write(ctx context.Context, live []configuration, a *authority, bundle []byte,
) (wrote bool, errs error) {
	for _, c := range live {
		holds := c.holds(bundle)
		write := func() error { return c.disown(ctx, s.Client) }
		if !holds {
			write = func() error { return c.apply(ctx, s.Client, bundle) }
		}
		err := write()
		switch {
		case apierrors.IsConflict(err) || apierrors.IsNotFound(err):
			wrote = true // changed, or deleted: read again
		case err != nil:
			s.Metrics.failed("caBundle")
			errs = errors.Join(errs, err)
		case !holds:
			wrote = true
			s.Log.Info("wrote the caBundle", "kind", c.kind, "name", c.name, "certificates", len(a.trusted))
		}
	}
	return wrote, errs
}

// renewLeaf makes a new leaf when it is due, under the authority of the last
// one.
func (s *SelfSigned) renewLeaf(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cert := s.leaf.Load()
	if cert == nil || !due(cert.Leaf, now) {
		return nil
	}
	return s.issue(now)
}

func (s *SelfSigned) issue(now time.Time) error {
	if !valid(s.ca, now) {
		s.Metrics.failed("leaf")
		return fmt.Errorf("renew the serving certificate: the CA is valid from %s to %s", s.ca.NotBefore.Format(time.RFC3339),
			s.ca.NotAfter.Format(time.RFC3339))
	}
	cert, err := newLeaf(s.names(), s.ca, s.signer, now, s.Lifetimes.leaf())
	if err != nil {
		s.Metrics.failed("leaf")
		return err
	}
	s.leaf.Store(cert)
	s.Metrics.renewed("leaf")
	s.Log.Info("made a serving certificate", "serial", cert.Leaf.SerialNumber.Text(16), "until", cert.Leaf.NotAfter,
		"names", s.names())
	return nil
}

// names returns the names for the certificate. The API server expects the
// first.
func (s *SelfSigned) names() []string {
	names := []string{s.Service + "." + s.Namespace + ".svc"}
	for _, n := range s.Names {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// observe records since when every configuration has had the authority's keys.
func (s *SelfSigned) observe(a *authority, live []configuration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := map[string]time.Time{}
	for _, ca := range a.trusted {
		if id := keyID(ca); allHold(live, ca) {
			since[id] = cmp.Or(s.since[id], time.Now()) // monotonic, not wall-clock time
		}
	}
	s.since = since
}

func allHold(live []configuration, ca *x509.Certificate) bool {
	for _, c := range live {
		for _, h := range c.hooks {
			if !slices.ContainsFunc(authorities([]configuration{{hooks: []hook{h}}}), ca.Equal) {
				return false
			}
		}
	}
	return true
}

// adopt begins to serve under the authority's key: at once if no API server
// could lose trust by that, or else when all have had time to trust it.
func (s *SelfSigned) adopt(a *authority, live []configuration, seen bool, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = a
	ca := a.certificate(a.key, now)
	if ca == nil {
		return errors.New("the CA of the Secret has no valid certificate")
	}
	old := s.leaf.Load()
	switch {
	case old == nil, keyID(ca) == keyID(s.ca):
	case !seen:
		return nil // a replica that cannot read the configurations changes nothing
	case len(live) == 0, verifyAll(live, old, now) != nil:
	default:
		since, ok := s.since[keyID(ca)]
		if !ok || time.Since(since) < cmp.Or(s.Settle, settle) {
			return nil
		}
	}
	changed := old == nil || keyID(ca) != keyID(s.ca)
	s.signer, s.ca = a.key, ca
	if changed || due(old.Leaf, now) {
		return s.issue(now)
	}
	return nil
}

// waiting says whether the key in the Secret is not used for signing yet.
func (s *SelfSigned) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held != nil && s.ca != nil && !certifies(s.ca, s.held.key)
}

// untilRetired returns the time until the next key must be removed.
func (s *SelfSigned) untilRetired() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := time.Minute
	if s.held != nil {
		for _, until := range s.held.retired {
			if d := until.Sub(now(s.Now)); d >= 0 {
				wait = min(wait, d+time.Millisecond)
			}
		}
	}
	return wait
}
