package certs

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"sync/atomic"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
)

const (
	caLife   = 365 * 24 * time.Hour
	leafLife = 7 * 24 * time.Hour
	backdate = 5 * time.Minute // clocks differ
)

// Memory is a Source with a certificate authority of its own, which nothing
// but this process knows. Whoever asks must be told its CA each time the
// process starts.
type Memory struct {
	names   []string
	ca      *x509.Certificate
	key     crypto.Signer
	current atomic.Pointer[tls.Certificate]
}

// NewMemory returns a Source that serves certificates for the names, which are
// DNS names or IP addresses.
func NewMemory(names ...string) (*Memory, error) {
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	if err != nil {
		return nil, fmt.Errorf("generate the key of the CA: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "stayput-ca"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	_, ca, err := pki.SignCertificate(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA: %w", err)
	}
	m := &Memory{names: names, ca: ca, key: key}
	return m, m.renew(now)
}

// CA returns the certificate of the authority, in PEM.
func (m *Memory) CA() ([]byte, error) { return pki.EncodeX509(m.ca) }

// GetCertificate implements [Source].
func (m *Memory) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.current.Load(), nil
}

// Start renews the certificate at two thirds of its life, by the clock on the
// wall: a suspended machine does not count the hours that it slept.
func (m *Memory) Start(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		leaf := m.current.Load().Leaf
		if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotBefore.Add(leafLife*2/3)) {
			if err := m.renew(now); err != nil {
				slog.Error("renew the serving certificate", "error", err)
			}
		}
	}
}

func (m *Memory) renew(now time.Time) error {
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	if err != nil {
		return fmt.Errorf("generate the key of the serving certificate: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "stayput"},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range m.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	_, leaf, err := pki.SignCertificate(template, m.ca, key.Public(), m.key)
	if err != nil {
		return fmt.Errorf("sign the serving certificate: %w", err)
	}
	m.current.Store(&tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf})
	return nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}
