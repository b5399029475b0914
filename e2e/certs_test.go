package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/certs"
	"stayput.dev/webhook"
)

// TestCertificatesAreRenewedUnderLoad has lives of seconds, and a connection
// for every request.
func TestCertificatesAreRenewedUnderLoad(t *testing.T) {
	l := newCertLab(t)
	l.configure()
	l.start(3, certs.Lifetimes{CA: 15 * time.Second, Leaf: 4500 * time.Millisecond})
	end := l.load()
	leaves, cas := float64(rounds(50, 1000)), float64(rounds(5, 50))
	deadline := time.Now().Add(time.Hour)
	for l.count("stayput_certificate_renewals_total", "leaf") < leaves || l.count("stayput_certificate_renewals_total", "ca") < cas {
		if time.Now().After(deadline) || t.Failed() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%.0f leaves and %.0f CAs, %d admissions, each over a connection of its own",
		l.count("stayput_certificate_renewals_total", "leaf"), l.count("stayput_certificate_renewals_total", "ca"), end())
	if n := l.count("stayput_certificate_expiry_seconds", "leaf"); n <= 0 || n > 3*5 {
		t.Errorf("leaves expire in %f s", n)
	}
}

func TestTheKeyIsRotatedUnderLoad(t *testing.T) {
	l := newCertLab(t)
	l.configure()
	l.start(3, certs.Lifetimes{CA: time.Hour, Leaf: 9 * time.Second})
	before := l.secret()
	end := l.load()
	for range rounds(2, 20) {
		operator := l.prepare(9, certs.Lifetimes{CA: time.Hour, Leaf: 9 * time.Second})
		l.must(operator.server.Listener.Close())
		l.must(operator.source.RotateKey(t.Context(), 0, func(s string) { t.Log(s) }))
		l.one("the old key is dropped")
	}
	t.Logf("%d admissions", end())
	after := l.secret()
	if string(before.Data["tls.key"]) == string(after.Data["tls.key"]) || len(after.Data["next.key"]) > 0 {
		t.Error("the key is the same, or still being changed")
	}
}

// one waits until the Secret trusts one CA, which all replicas and the two
// configurations have.
func (l *certLab) one(what string) {
	l.Helper()
	eventually(l.T, what, func() error {
		secret := l.secret()
		cas, err := pki.DecodeX509CertificateSetBytes(secret.Data["ca.crt"])
		if err != nil {
			return err
		}
		if len(cas) != 1 {
			return fmt.Errorf("%d CAs are trusted", len(cas))
		}
		for i, r := range l.replicas {
			if err := r.server.Ready(nil); err != nil {
				return err
			}
			leaf, err := r.source.GetCertificate(nil)
			if err != nil {
				return err
			}
			if err := leaf.Leaf.CheckSignatureFrom(cas[0]); err != nil {
				return fmt.Errorf("replica %d: %w", i, err)
			}
		}
		for kind, bundles := range l.bundles() {
			for _, b := range bundles {
				if b != string(secret.Data["ca.crt"]) {
					return fmt.Errorf("%s: has another caBundle", kind)
				}
			}
		}
		return nil
	})
}

func (l *certLab) bundles() map[string][]string {
	l.Helper()
	out := map[string][]string{}
	var m admissionv1.MutatingWebhookConfiguration
	if err := l.admin.Get(l.Context(), client.ObjectKey{Name: l.ns}, &m); client.IgnoreNotFound(err) != nil {
		l.Fatal(err)
	}
	for _, w := range m.Webhooks {
		out["mutating"] = append(out["mutating"], string(w.ClientConfig.CABundle))
	}
	var v admissionv1.ValidatingWebhookConfiguration
	if err := l.admin.Get(l.Context(), client.ObjectKey{Name: l.ns}, &v); client.IgnoreNotFound(err) != nil {
		l.Fatal(err)
	}
	for _, w := range v.Webhooks {
		out["validating"] = append(out["validating"], string(w.ClientConfig.CABundle))
	}
	return out
}

func TestReplicasAgreeOnOneCA(t *testing.T) {
	l := newCertLab(t)
	l.configure()
	for i := range rounds(5, 100) {
		l.stop()
		l.must(client.IgnoreNotFound(l.admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: webhook.DefaultSecret}})))
		if i%2 == 1 { // empty, as a chart might render it
			l.make(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: webhook.DefaultSecret}})
		}
		l.start(3, certs.Lifetimes{})
		l.one("one CA")
		if n := l.count("stayput_certificate_renewals_total", "ca"); n != 1 {
			t.Errorf("%f CAs were made", n)
		}
		l.admitted()
	}
}

func TestTheCABundleIsRepairedAndNothingElse(t *testing.T) {
	l := newCertLab(t)
	// Without a configuration nobody asks, and Stayput is ready all the same.
	l.start(2, certs.Lifetimes{})
	l.configure()
	l.one("the bundle reaches the configurations")
	l.admitted()
	key := client.ObjectKey{Name: l.ns}
	var v admissionv1.ValidatingWebhookConfiguration
	l.must(l.admin.Get(t.Context(), key, &v))
	for _, f := range v.ManagedFields {
		if f.Manager == "stayput-certificates" {
			const one = `{".":{},"f:clientConfig":{"f:caBundle":{}},"f:name":{}}`
			if got, want := f.FieldsV1.GetRawString(), `{"f:webhooks":{"k:{\"name\":\"one.stayput.dev\"}":`+one+`,"k:{\"name\":\"two.stayput.dev\"}":`+one+`}}`; got != want {
				t.Errorf("owns %s\nwant %s", got, want)
			}
		}
	}
	ignore := admissionv1.Ignore
	v.Webhooks[0].ClientConfig.CABundle, v.Webhooks[0].FailurePolicy = nil, &ignore
	l.must(l.admin.Update(t.Context(), &v))
	blanked := time.Now()
	for l.bundles()["validating"][0] == "" {
		time.Sleep(20 * time.Millisecond)
		if time.Since(blanked) > 20*time.Second {
			t.Fatalf("not repaired\n%s", l.log)
		}
	}
	if d := time.Since(blanked); d > 2*time.Second {
		t.Errorf("repaired after %s", d)
	}
	l.must(l.admin.Get(t.Context(), key, &v))
	if *v.Webhooks[0].FailurePolicy != admissionv1.Ignore {
		t.Error("the failurePolicy was changed back")
	}
	l.must(l.admin.Delete(t.Context(), &v))
	l.must(l.admin.Delete(t.Context(), &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: l.ns}}))
	time.Sleep(3 * time.Second)
	if b := l.bundles(); len(b) > 0 {
		t.Errorf("made again: %v", b)
	}
	l.ready()
}

// TestASecretThatIsLost has replicas at work which know what it held: nothing
// is interrupted.
func TestASecretThatIsLost(t *testing.T) {
	l := newCertLab(t)
	l.configure()
	l.start(3, certs.Lifetimes{})
	l.one("one CA")
	ca := string(l.secret().Data["ca.crt"])
	other, err := certs.NewMemory("other")
	l.must(err)
	otherCA, err := other.CA()
	l.must(err)
	foreign := newForeign(t)
	end := l.load()
	for name, tc := range map[string]struct {
		spoil func(*corev1.Secret)
		said  string
	}{
		"deleted":              {nil, "it does not exist"},
		"key corrupted":        {func(s *corev1.Secret) { s.Data["tls.key"] = []byte("no key") }, "tls.key: "},
		"bundle corrupted":     {func(s *corev1.Secret) { s.Data["ca.crt"] = s.Data["ca.crt"][:100] }, "ca.crt: "},
		"certificate of other": {func(s *corev1.Secret) { s.Data["ca.crt"] = otherCA }, "ca.crt: holds the certificate of"},
		"emptied":              {func(s *corev1.Secret) { s.Data = nil }, "it is empty"},
		"another team's":       {func(s *corev1.Secret) { s.Data = foreign }, "it belongs to"},
	} {
		secret := l.secret()
		if tc.spoil == nil {
			l.must(l.admin.Delete(t.Context(), secret))
		} else {
			tc.spoil(secret)
			l.must(l.admin.Update(t.Context(), secret))
		}
		eventually(t, name+": not recovered", func() error {
			var s corev1.Secret
			if err := l.admin.Get(t.Context(), client.ObjectKeyFromObject(secret), &s); err != nil {
				return err
			}
			if string(s.Data["ca.crt"]) != ca {
				return fmt.Errorf("holds another CA")
			}
			return nil
		})
		l.one(name)
		if log := l.log.String(); !strings.Contains(log, "written again from memory") || !strings.Contains(log, tc.said) {
			t.Errorf("%s: %q was not said", name, tc.said)
		}
	}
	t.Logf("%d admissions", end())
	// Nobody knows any more: another CA, and what stood there is kept.
	l.stop()
	secret := l.secret()
	secret.Data = newForeign(t)
	l.must(l.admin.Update(t.Context(), secret))
	l.start(3, certs.Lifetimes{})
	l.one("a new CA")
	l.admitted()
	if got := l.secret().Data["unusable.tls.key"]; string(got) != string(secret.Data["tls.key"]) {
		t.Error("the other team's key is gone")
	}
}

// newForeign is what another team's Stayput would keep in its Secret.
func newForeign(t *testing.T) map[string][]byte {
	l := newCertLab(t)
	l.start(1, certs.Lifetimes{})
	defer l.stop()
	eventually(t, "no Secret", func() error {
		return l.admin.Get(t.Context(), client.ObjectKey{Namespace: l.ns, Name: webhook.DefaultSecret}, &corev1.Secret{})
	})
	return l.secret().Data
}

// TestClocksThatJump has replicas whose clock is a year ahead, then a day
// behind.
func TestClocksThatJump(t *testing.T) {
	l := newCertLab(t)
	l.configure()
	l.start(2, certs.Lifetimes{Leaf: 20 * time.Second})
	for _, jump := range []time.Duration{366 * 24 * time.Hour, -24 * time.Hour, 0} {
		start := time.Now()
		for _, r := range l.replicas {
			r.offset.Store(int64(jump))
		}
		eventually(t, jump.String(), func() error {
			for _, r := range l.replicas {
				cert, err := r.source.GetCertificate(nil)
				if err != nil {
					return err
				}
				at := time.Now().Add(jump)
				if at.Before(cert.Leaf.NotBefore) || at.After(cert.Leaf.NotAfter) {
					return fmt.Errorf("the leaf is valid from %s to %s", cert.Leaf.NotBefore, cert.Leaf.NotAfter)
				}
				if err := r.source.Trust.Verify(r.source); err != nil {
					return err
				}
			}
			return nil
		})
		t.Logf("%s: right after %s", jump, time.Since(start).Round(time.Millisecond))
	}
	l.admitted()
}
