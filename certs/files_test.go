package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// pemOf returns a certificate for localhost with the certificate of its CA as
// the rest of its chain, and its key.
func pemOf(t *testing.T) (leaf, ca, key []byte) {
	t.Helper()
	m, err := NewMemory("localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, _ := m.GetCertificate(nil)
	if key, err = encodeKey(pair.PrivateKey.(crypto.Signer)); err != nil {
		t.Fatal(err)
	}
	return encodeCertificate(pair.Leaf), m.CA(), key
}

func TestFilesAreComparedWholeAndABadPairChangesNothing(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(file string, parts ...[]byte) {
		t.Helper()
		if err := os.WriteFile(file, bytes.Join(parts, nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, ca, key := pemOf(t)
	otherLeaf, otherCA, otherKey := pemOf(t)
	write(certFile, leaf, ca)
	write(keyFile, key)
	var log bytes.Buffer
	m := NewMetrics()
	f, err := Files(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)), m)
	if err != nil {
		t.Fatal(err)
	}
	served := func() *tls.Certificate {
		c, err := f.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := served()
	for name, tc := range map[string]struct {
		cert, key []byte
		said      string
	}{
		"the key of another":   {leaf, otherKey, "private key does not match"},
		"no key":               {leaf, []byte("nothing"), "PEM"},
		"an empty certificate": {nil, key, "PEM"},
		"half a certificate":   {leaf[:len(leaf)/2], key, "PEM"},
	} {
		write(certFile, leaf, ca)
		write(keyFile, key)
		f.reload()
		log.Reset()
		write(certFile, tc.cert)
		write(keyFile, tc.key)
		before := counted(t, m.failures, "files")
		f.reload()
		f.reload()
		if served() != first {
			t.Errorf("%s: it was taken", name)
		}
		if n := strings.Count(log.String(), "the serving certificate stays as it was"); n != 1 ||
			!strings.Contains(log.String(), tc.said) || !strings.Contains(log.String(), certFile) {
			t.Errorf("%s: said %d times, without %q:\n%s", name, n, tc.said, log.String())
		}
		if n := counted(t, m.failures, "files") - before; n != 2 {
			t.Errorf("%s: counted %f failures, want 2", name, n)
		}
	}
	// The same leaf in another chain.
	write(certFile, leaf, otherCA)
	write(keyFile, key)
	f.reload()
	if bytes.Equal(served().Certificate[1], first.Certificate[1]) {
		t.Error("the chain was not read again")
	}
	write(certFile, otherLeaf)
	write(keyFile, otherKey)
	f.reload()
	if len(served().Certificate) != 1 || counted(t, m.renewals, "leaf") != 2 {
		t.Errorf("%d certificates after %f renewals", len(served().Certificate), counted(t, m.renewals, "leaf"))
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	f.reload()
	if err := Usable(f, time.Now()); err != nil {
		t.Error(err)
	}
}

// counted returns how far a counter has come.
func counted(t *testing.T, c prometheus.Collector, label string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
