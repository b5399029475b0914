package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Callers are the clients that may send requests: the API server, and no others
// that merely reach the port. A nil *Callers is everybody.
type Callers struct {
	File    string   // PEM of the CAs of their certificates; read again when it changes
	Names   []string // common names or DNS names, one of which must match; none means any
	Log     *slog.Logger
	Metrics *Metrics

	current atomic.Pointer[callerCA]
	errors  errorLog
}

type callerCA struct {
	text []byte
	pool *x509.CertPool
}

// Load reads the file, and must be called before anything else.
func (c *Callers) Load() error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	if last := c.current.Load(); last != nil && bytes.Equal(last.text, text) {
		return nil
	}
	cas, err := decodeCertificates(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca)
	}
	if c.current.Swap(&callerCA{text, pool}) != nil {
		c.Log.Info("read other authorities of the callers", "file", c.File, "certificates", len(cas))
		c.Metrics.renewed("client-ca")
	}
	return nil
}

// Start reads the file again every second. An unusable file changes nothing.
func (c *Callers) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		err := c.Load()
		if err != nil {
			c.Metrics.failed("client-ca")
		}
		c.errors.report(c.Log, "the authorities of the callers stay as they were", err)
		pause(ctx, nil, time.Second)
	}
	return nil
}

// Require returns config with a required client certificate of a caller.
func (c *Callers) Require(config *tls.Config) *tls.Config {
	if c == nil {
		return config
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	// A resumed session would accept a client of an authority that was
	// replaced.
	config.SessionTicketsDisabled = true
	config.VerifyConnection = c.verify
	base := config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := base.Clone()
		now.ClientCAs = c.current.Load().pool
		return now, nil
	}
	return config
}

func (c *Callers) verify(state tls.ConnectionState) error {
	if len(c.Names) == 0 {
		return nil
	}
	if len(state.PeerCertificates) == 0 {
		return errors.New("no certificate of the caller")
	}
	cert := state.PeerCertificates[0]
	for _, name := range append([]string{cert.Subject.CommonName}, cert.DNSNames...) {
		if slices.Contains(c.Names, name) {
			return nil
		}
	}
	return fmt.Errorf("the certificate of the caller is for %q, not for one of %q", cert.Subject.CommonName,
		strings.Join(c.Names, ", "))
}
