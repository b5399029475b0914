package certs

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"sync/atomic"
	"time"
)

// Memory is a Source with a certificate authority of its own, which only this
// process knows. Clients need its new CA each time the process starts.
type Memory struct {
	names   []string
	ca      *x509.Certificate
	key     crypto.Signer
	current atomic.Pointer[tls.Certificate]
}

// NewMemory returns a Source that serves certificates for the names, which are
// DNS names or IP addresses.
func NewMemory(names ...string) (*Memory, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca, err := newCA(pkix.Name{CommonName: "stayput-ca"}, key, now, caLife)
	if err != nil {
		return nil, err
	}
	m := &Memory{names: names, ca: ca, key: key}
	return m, m.renew(now)
}

// CA returns the certificate of the authority, in PEM.
func (m *Memory) CA() []byte { return encodeCertificate(m.ca) }

// GetCertificate implements [Source].
func (m *Memory) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.current.Load(), nil
}

// Start renews the certificate at two thirds of its life, by wall-clock time: a
// monotonic clock does not count the time that a machine is suspended.
func (m *Memory) Start(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if now := time.Now(); due(m.current.Load().Leaf, now) {
			if err := m.renew(now); err != nil {
				slog.Error("renew the serving certificate", "error", err)
			}
		}
	}
}

func (m *Memory) renew(now time.Time) error {
	cert, err := newLeaf(m.names, m.ca, m.key, now, leafLife)
	if err != nil {
		return err
	}
	m.current.Store(cert)
	return nil
}
