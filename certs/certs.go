// Package certs provides the serving certificate of the webhook and renews it.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// A Source provides the serving certificate and renews it while Start runs.
type Source interface {
	Start(ctx context.Context) error
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Usable returns why the certificate of a source cannot be served at a time,
// or nil.
func Usable(s Source, now time.Time) error { return explain(s, usable(s, now)) }

// explain adds to an error what a source knows about it.
func explain(s Source, err error) error {
	if e, ok := s.(interface{ Explain(error) error }); ok && err != nil {
		return e.Explain(err)
	}
	return err
}

func usable(s Source, now time.Time) error {
	cert, err := s.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		return err
	}
	if cert == nil || len(cert.Certificate) == 0 {
		return errors.New("no certificate yet")
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return fmt.Errorf("parse the serving certificate: %w", err)
	}
	if now.Before(leaf.NotBefore) {
		return fmt.Errorf("the serving certificate is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	}
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("the serving certificate expired at %s", leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}
