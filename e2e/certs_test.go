package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applyv1 "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
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
	for l.count("stayput_certificate_renewals_total", "leaf") < leaves ||
		l.count("stayput_certificate_renewals_total", "ca") < cas {
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

// one waits until the Secret contains one CA, which all replicas and both
// configurations trust.
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
		l.must(client.IgnoreNotFound(l.admin.Delete(t.Context(),
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: webhook.DefaultSecret}})))
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
	eventually(t, "nothing is owned", func() error {
		l.must(l.admin.Get(t.Context(), key, &v))
		for _, f := range v.ManagedFields {
			if f.Manager == "stayput-certificates" {
				return fmt.Errorf("%s", f.FieldsV1.GetRawString())
			}
		}
		return nil
	})
	l.one("and the bundle stays")
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
	l.must(l.admin.Delete(t.Context(),
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: l.ns}}))
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
	was := l.secret().Data
	other, err := certs.NewMemory("other")
	l.must(err)
	foreign := newForeign(t)
	end := l.load()
	for name, tc := range map[string]struct {
		spoil func(*corev1.Secret)
		said  string
	}{
		"deleted":          {nil, "it does not exist"},
		"key corrupted":    {func(s *corev1.Secret) { s.Data["tls.key"] = []byte("no key") }, "tls.key: "},
		"bundle corrupted": {func(s *corev1.Secret) { s.Data["ca.crt"] = s.Data["ca.crt"][:100] }, "ca.crt: "},
		"certificate of other": {func(s *corev1.Secret) { s.Data["ca.crt"] = other.CA() },
			"ca.crt: holds the certificate of"},
		"emptied":        {func(s *corev1.Secret) { s.Data = nil }, "it is empty"},
		"another team's": {func(s *corev1.Secret) { s.Data = foreign }, "it belongs to"},
	} {
		secret, before := l.secret(), len(l.log.String())
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
			for _, field := range []string{"tls.key", "tls.crt", "ca.crt"} {
				if string(s.Data[field]) != string(was[field]) {
					return fmt.Errorf("%s is another", field)
				}
			}
			return nil
		})
		l.one(name)
		if log := l.log.String()[before:]; !strings.Contains(log, "written again from memory") ||
			!strings.Contains(log, tc.said) {
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

// newForeign returns the contents of the Secret of another team's Stayput.
func newForeign(t *testing.T) map[string][]byte {
	l := newCertLab(t)
	l.start(1, certs.Lifetimes{})
	defer l.stop()
	eventually(t, "no Secret", func() error {
		return l.admin.Get(t.Context(), client.ObjectKey{Namespace: l.ns, Name: webhook.DefaultSecret}, &corev1.Secret{})
	})
	return l.secret().Data
}

// TestASecretThatIsImmutable can no longer be renewed, until somebody deletes it:
// that is said at once, and nothing is interrupted by either.
func TestASecretThatIsImmutable(t *testing.T) {
	l := newCertLab(t)
	l.configure()
	l.start(2, certs.Lifetimes{CA: 45 * time.Second, Leaf: 15 * time.Second})
	l.one("one CA")
	end := l.load()
	secret := l.secret()
	secret.Immutable = new(true)
	l.must(l.admin.Update(t.Context(), secret))
	says := func(what string) {
		t.Helper()
		eventually(t, what, func() error {
			if !strings.Contains(l.log.String(), what) {
				return errors.New("not said")
			}
			return nil
		})
	}
	says(`level=WARN msg="the Secret ` + l.ns +
		`/stayput-ca is immutable, so its CA cannot be renewed: kubectl delete secret stayput-ca -n ` + l.ns)
	status, _ := exec.CommandContext(t.Context(), env.Binary, "certs", "status", "--kubeconfig", env.Cluster.Kubeconfig(),
		"--namespace", l.ns, "--configurations", l.ns).Output()
	contains(t, string(status), "WRONG: the Secret "+l.ns+"/stayput-ca is immutable")
	says(`error="renewed the CA, with its key: the Secret ` + l.ns + `/stayput-ca is immutable`)
	l.must(l.admin.Delete(t.Context(), secret))
	says("the Secret of the CA cannot be used: written again from memory")
	eventually(t, "the CA is renewed, with its key", func() error {
		now := l.secret()
		if now.Immutable != nil || string(now.Data["tls.key"]) != string(secret.Data["tls.key"]) ||
			string(now.Data["tls.crt"]) == string(secret.Data["tls.crt"]) {
			return errors.New("it is not")
		}
		return nil
	})
	t.Logf("%d admissions", end())
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

// TestAWebhookRemovedByServerSideApply is about who installs with server-side
// apply: a webhook that is left out goes, with the caBundle that was written
// into it.
func TestAWebhookRemovedByServerSideApply(t *testing.T) {
	l := newCertLab(t)
	fail, none, url := admissionv1.Ignore, admissionv1.SideEffectClassNone, "https://"+l.front.address()+"/admit"
	manifest := func(names ...string) *applyv1.ValidatingWebhookConfigurationApplyConfiguration {
		a := applyv1.ValidatingWebhookConfiguration(l.ns)
		for _, n := range names {
			a.WithWebhooks(applyv1.ValidatingWebhook().WithName(n).WithFailurePolicy(fail).WithSideEffects(none).
				WithAdmissionReviewVersions("v1").WithClientConfig(applyv1.WebhookClientConfig().WithURL(url)))
		}
		return a
	}
	helm := client.FieldOwner("helm")
	l.must(l.admin.Apply(t.Context(), manifest("one.stayput.dev", "two.stayput.dev"), helm))
	l.Cleanup(func() { _, _ = env.Kubectl(t.Context(), "", "delete", "validatingwebhookconfiguration", l.ns) })
	l.start(1, certs.Lifetimes{})
	l.one("the bundle is there")
	l.must(l.admin.Apply(t.Context(), manifest("one.stayput.dev", "two.stayput.dev"), helm)) // no conflict
	l.one("and stays")
	eventually(t, "a webhook can be dropped",
		func() error { return l.admin.Apply(t.Context(), manifest("one.stayput.dev"), helm) })
	l.one("the other one keeps its bundle")
	if b := l.bundles()["validating"]; len(b) != 1 {
		t.Errorf("%d webhooks are left", len(b))
	}
	l.must(l.admin.Apply(t.Context(), manifest("one.stayput.dev", "three.stayput.dev"), helm))
	l.one("a new one gets one")
}
