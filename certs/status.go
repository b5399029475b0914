package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An Overview describes the certificates of one deployment, from any source.
type Overview struct {
	*SelfSigned
	Certificate string // of cert-manager
}

// Status writes for people the CA, the authorities that the API server trusts
// and, if an address is given, the certificate that the replica there serves.
// It reports whether something is wrong.
func (s Overview) Status(ctx context.Context, out io.Writer, address string) (wrong bool, err error) {
	at := now(s.Now)
	bad := func(format string, args ...any) {
		wrong = true
		fmt.Fprintf(out, "  WRONG: "+format+"\n", args...)
	}
	live, err := readConfigurations(ctx, s.Client, s.Trust.Name)
	if err != nil {
		return false, err
	}
	secret, err := s.readSecret(ctx)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(out, "Secret %s/%s\n", s.Namespace, s.Secret)
	var a *authority
	if secret == nil {
		fmt.Fprintln(out, "  does not exist: certificates are not self-signed, or Stayput has not run yet")
	} else if a, err = decode(secret, s.subject()); err != nil {
		bad("%v", err)
	} else {
		s.describe(out, a, at)
	}
	if secret != nil && frozen(secret) {
		bad("%v", s.errFrozen())
	}
	for _, c := range live {
		fmt.Fprintf(out, "%s %s\n", c.kind, c.name)
		for _, h := range c.hooks {
			cas, err := decodeCertificates(h.bundle)
			switch {
			case len(h.bundle) == 0:
				bad("%s: the caBundle is empty", h.name)
				continue
			case err != nil:
				bad("%s: the caBundle cannot be read: %v", h.name, err)
				continue
			}
			fmt.Fprintf(out, "  %s: %d trusted for %s, the last until %s\n", h.name, len(cas), h.host, date(latest(cas), at))
			if a != nil && !allHold([]configuration{{hooks: []hook{h}}}, a.certificate(a.key, at)) {
				bad("%s: does not trust the CA of the Secret", h.name)
			}
		}
	}
	if len(live) == 0 {
		fmt.Fprintf(out, "no webhook configuration %s: the API server asks nobody\n", s.Trust.Name)
	}
	if s.Certificate != "" && certificateStatus(ctx, s.Client, client.ObjectKey{Namespace: s.Namespace,
		Name: s.Certificate}, out) {
		wrong = true
	}
	if address == "" {
		return wrong, nil
	}
	fmt.Fprintf(out, "%s\n", address)
	cert, err := served(ctx, address)
	if err != nil {
		bad("%v", err)
		return wrong, nil
	}
	leaf := cert.Leaf
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	fmt.Fprintf(out, "  serves %s for %q, until %s\n", leaf.SerialNumber.Text(16), names, date(leaf.NotAfter, at))
	if err := verifyAll(live, cert, at); err != nil {
		bad("%v", err)
	}
	return wrong, nil
}

func (s Overview) describe(out io.Writer, a *authority, at time.Time) {
	for _, c := range a.trusted {
		role := "trusted, no longer signs"
		until, retired := a.retired[keyID(c)]
		switch {
		case certifies(c, a.key) && c.Equal(a.certificate(a.key, at)):
			role = "signs"
		case certifies(c, a.key):
			role = "trusted, has the key that signs"
		case a.next != nil && certifies(c, a.next):
			role = "trusted, will sign: a change of the key was begun, and stayput certs rotate-key finishes it"
		case retired:
			role = "its key was replaced: trusted until " + date(until, at)
		}
		fmt.Fprintf(out, "  CA %s until %s: %s\n", c.SerialNumber.Text(16), date(c.NotAfter, at), role)
	}
}

// served returns the certificate that an address serves. The caller must verify
// it.
func served(ctx context.Context, address string) (*tls.Certificate, error) {
	var cert *tls.Certificate
	d := tls.Dialer{Config: &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // it is displayed, and verified afterwards
		VerifyConnection: func(state tls.ConnectionState) error {
			cert = &tls.Certificate{Leaf: state.PeerCertificates[0]}
			for _, c := range state.PeerCertificates {
				cert.Certificate = append(cert.Certificate, c.Raw)
			}
			return nil
		},
	}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		err = conn.Close()
	}
	if cert == nil {
		return nil, errors.Join(fmt.Errorf("connect to %s", address), err)
	}
	return cert, nil // a server that requires a client certificate has shown its own already
}

func latest(cas []*x509.Certificate) time.Time {
	var t time.Time
	for _, ca := range cas {
		if ca.NotAfter.After(t) {
			t = ca.NotAfter
		}
	}
	return t
}

func date(t, at time.Time) string {
	days := int(t.Sub(at).Hours() / 24)
	if t.Before(at) {
		return t.UTC().Format(time.RFC3339) + " (over)"
	}
	return fmt.Sprintf("%s (%d days)", t.UTC().Format(time.RFC3339), days)
}

// certificateStatus writes the state of cert-manager's Certificate, if it
// exists.
func certificateStatus(ctx context.Context, c client.Reader, key client.ObjectKey, out io.Writer) (wrong bool) {
	cert, err := readCertificate(ctx, c, key)
	if err != nil {
		return false // not installed, or not used
	}
	fmt.Fprintf(out, "Certificate %s\n", key)
	if why := notReady(cert); why != "" {
		fmt.Fprintf(out, "  WRONG: %s\n", why)
		return true
	}
	until := "an unknown time"
	if t := cert.Status.NotAfter; t != nil {
		until = date(t.Time, time.Now())
	}
	fmt.Fprintf(out, "  ready, until %s\n", until)
	return false
}
