package certs

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func newTestAuthority(t *testing.T, now time.Time) *authority {
	t.Helper()
	a, err := newAuthority(subject("ns", "svc"), now, caLife)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.certify(a.key, subject("ns", "svc"), now, caLife); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnAuthoritySurvivesItsSecret(t *testing.T) {
	now := time.Now()
	a := newTestAuthority(t, now)
	a.retired["abc"] = now.Add(time.Hour).Truncate(time.Second)
	next, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	a.next = next
	if err := a.certify(next, subject("ns", "svc"), now, caLife); err != nil {
		t.Fatal(err)
	}
	var secret corev1.Secret
	if err := a.encode(&secret, now); err != nil {
		t.Fatal(err)
	}
	b, err := decode(&secret, subject("ns", "svc"))
	if err != nil {
		t.Fatal(err)
	}
	if !certifies(a.certificate(a.key, now), b.key) || !certifies(b.trusted[0], b.next) ||
		len(b.trusted) != len(a.trusted) || !b.retired["abc"].Equal(a.retired["abc"]) {
		t.Errorf("read %d certificates, retired %v", len(b.trusted), b.retired)
	}
	for name, tc := range map[string]struct {
		spoil func(*corev1.Secret)
		want  string
	}{
		"nothing":            {func(s *corev1.Secret) { s.Data = nil }, "empty"},
		"no key":             {func(s *corev1.Secret) { delete(s.Data, keyField) }, "tls.key: "},
		"a next key unknown": {func(s *corev1.Secret) { s.Data[nextField] = s.Data[certField] }, "next.key: "},
		"no certificate":     {func(s *corev1.Secret) { delete(s.Data, certField) }, "tls.crt: "},
		"no bundle":          {func(s *corev1.Secret) { delete(s.Data, bundleField) }, "ca.crt: "},
		"a bundle without ours": {func(s *corev1.Secret) { s.Data[bundleField] = newTestAuthority(t, now).bundle() },
			"ca.crt has no certificate for it"},
		"a strange mark": {func(s *corev1.Secret) { s.Annotations[retireMark] = "abc" },
			"must be a key, = and a time"},
	} {
		spoilt := secret.DeepCopy()
		tc.spoil(spoilt)
		if _, err := decode(spoilt, subject("ns", "svc")); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := decode(&secret, subject("other", "svc")); err == nil || !strings.Contains(err.Error(), "it belongs to") {
		t.Errorf("another namespace's: %v", err)
	}
}

// TestACARenewedWithItsKey: yesterday's certificate of the CA verifies today's
// leaf, and today's verifies yesterday's leaf.
func TestACARenewedWithItsKey(t *testing.T) {
	now := time.Now()
	a := newTestAuthority(t, now)
	old := a.trusted[len(a.trusted)-1]
	later := now.Add(caLife * 3 / 4)
	if !due(old, later) || due(old, now.Add(caLife/2)) {
		t.Error("a CA is due at two thirds of its life, not earlier")
	}
	if err := a.certify(a.key, subject("ns", "svc"), later, caLife); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]*x509.Certificate{{old, a.trusted[0]}, {a.trusted[0], old}} {
		leaf, err := newLeaf([]string{"svc.ns.svc"}, pair[0], a.key, later, leafLife)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(pair[1])
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "svc.ns.svc",
			CurrentTime: later}); err != nil {
			t.Error(err)
		}
	}
	if len(a.trusted) != 3 {
		t.Errorf("%d are trusted, want all 3 unexpired ones", len(a.trusted))
	}
	if err := a.certify(a.key, subject("ns", "svc"), now.Add(caLife+time.Hour), caLife); err != nil {
		t.Fatal(err)
	}
	if len(a.trusted) != 2 {
		t.Errorf("%d are trusted, want 2: the others have expired", len(a.trusted))
	}
}

func TestARetiredKeyIsNeverTrustedAgain(t *testing.T) {
	now := time.Now()
	a, b := newTestAuthority(t, now), newTestAuthority(t, now)
	old := b.trusted[0]
	if !a.trust(old, now.Add(time.Hour)) || a.retire(now, caLife) {
		t.Error("not trusted for its hour")
	}
	if !a.retire(now.Add(2*time.Hour), caLife) || a.trust(old, now.Add(9*time.Hour)) {
		t.Error("trusted for more than its hour")
	}
	for _, c := range a.trusted {
		if c.Equal(old) {
			t.Error("still in the bundle")
		}
	}
}
