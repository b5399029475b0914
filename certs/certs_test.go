package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMemoryServesItsNamesUnderItsCA(t *testing.T) {
	m, err := NewMemory("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ca := m.CA()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatalf("no CA in %s", ca)
	}
	first, _ := m.GetCertificate(nil)
	if err := m.renew(time.Now()); err != nil {
		t.Fatal(err)
	}
	second, _ := m.GetCertificate(nil)
	if first.Leaf.SerialNumber.Cmp(second.Leaf.SerialNumber) == 0 {
		t.Error("two certificates with one serial number")
	}
	for _, cert := range []*tls.Certificate{first, second} {
		for _, name := range []string{"localhost", "127.0.0.1"} {
			if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: pool}); err == nil {
			t.Error("valid for a name that was not asked for")
		}
	}
}

func TestUsable(t *testing.T) {
	m, err := NewMemory("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		at   time.Time
		want string
	}{
		"now":           {time.Now(), ""},
		"too early":     {time.Now().Add(-time.Hour), "not valid before"},
		"when it's old": {time.Now().Add(leafLife + time.Hour), "expired at"},
	} {
		err := Usable(m, tc.at)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestFilesNamesWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if _, err := Files(cert, key, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), cert) {
		t.Errorf("%v does not name %s", err, cert)
	}
	m, err := NewMemory("localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, _ := m.GetCertificate(nil)
	keyPEM, err := encodeKey(pair.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{cert: encodeCertificate(pair.Leaf), key: keyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Files(cert, key, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Usable(s, time.Now()); err != nil {
		t.Error(err)
	}
}
