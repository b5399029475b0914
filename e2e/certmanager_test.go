package e2e

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applyv1 "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/certs"
)

// TestCertManager has cert-manager's own kinds, from its module, and a test
// that writes what its controllers would: the condition of the Certificate,
// and the files of the mounted Secret.
func TestCertManager(t *testing.T) {
	l := newCertLab(t)
	l.configure()
	apply := func() string {
		out, _ := exec.CommandContext(t.Context(), env.Binary, "certs", "apply", "--kubeconfig", env.Cluster.Kubeconfig(),
			"--namespace", l.ns, "--configurations", l.ns).CombinedOutput()
		return string(out)
	}
	contains(t, apply(), "Issuer stayput-self-signed: cert-manager is not installed")
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	l.must(err)
	crds := filepath.Join(strings.TrimSpace(string(dir)), "deploy", "crds")
	kubectl(t, "create", "-f", crds)
	defer kubectl(t, "delete", "--wait=false", "-f", crds)
	kubectl(t, "wait", "--for=condition=Established", "-f", crds)
	for range 2 { // as often as one likes
		contains(t, apply(), "issuer "+l.ns+"/stayput-self-signed applied", "certificate "+l.ns+"/stayput-ca applied", "issuer "+l.ns+"/stayput-ca applied",
			"certificate "+l.ns+"/stayput applied", "ValidatingWebhookConfiguration "+l.ns+": the caBundle is cert-manager's to write")
	}
	output(t, l.ns+"/stayput", "get", "mutatingwebhookconfiguration", l.ns, "-o", `jsonpath={.metadata.annotations.cert-manager\.io/inject-ca-from}`)
	output(t, "stayput."+l.ns+".svc", "get", "certificate.cert-manager.io", "stayput", "-n", l.ns, "-o", "jsonpath={.spec.dnsNames[0]}")

	scheme, err := certs.Scheme()
	l.must(err)
	c, err := client.NewWithWatch(env.Cluster.Config(), client.Options{Scheme: scheme})
	l.must(err)
	files := t.TempDir()
	log := slog.New(slog.NewTextHandler(l.log, nil))
	source := &certs.CertManager{
		FileSource: &certs.FileSource{CertFile: filepath.Join(files, "tls.crt"), KeyFile: filepath.Join(files, "tls.key"), Log: log},
		Client:     c, Namespace: l.ns, Name: "stayput",
	}
	trust := &certs.Trust{Client: c, Name: l.ns, Log: log}
	go func() { _ = source.Start(t.Context()) }()
	go func() { _ = trust.Start(t.Context()) }()
	says := func(what ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("readiness says %q", what), func() error {
			err := trust.Verify(source)
			for _, w := range what {
				if err == nil || !strings.Contains(err.Error(), w) {
					return fmt.Errorf("it says %v", err)
				}
			}
			return nil
		})
	}
	says("no certificate yet", "does cert-manager run?")
	condition := func(status cmmeta.ConditionStatus, reason, message string) {
		t.Helper()
		var cert cmapi.Certificate
		l.must(c.Get(t.Context(), client.ObjectKey{Namespace: l.ns, Name: "stayput"}, &cert))
		cert.Status.Conditions = []cmapi.CertificateCondition{{Type: cmapi.CertificateConditionReady, Status: status, Reason: reason, Message: message, LastTransitionTime: new(metav1.Now())}}
		l.must(c.Status().Update(t.Context(), &cert))
	}
	condition(cmmeta.ConditionFalse, "DoesNotExist", "Issuing certificate as Secret does not exist")
	says("no certificate yet", "Certificate "+l.ns+"/stayput is not ready: DoesNotExist: Issuing certificate as Secret does not exist")
	contains(t, l.log.String(), "cert-manager has no certificate ready", "Issuing certificate as Secret does not exist")

	// The Secret is mounted, the caBundle not yet injected.
	m, err := certs.NewMemory("stayput."+l.ns+".svc", "127.0.0.1")
	l.must(err)
	pair, err := m.GetCertificate(nil)
	l.must(err)
	key, err := pki.EncodePKCS8PrivateKey(pair.PrivateKey)
	l.must(err)
	l.must(os.WriteFile(filepath.Join(files, "tls.key"), key, 0o600))
	l.must(os.WriteFile(filepath.Join(files, "tls.crt"), encode(t, pair.Leaf), 0o600))
	condition(cmmeta.ConditionTrue, "Ready", "Certificate is up to date and has not expired")
	says("the caBundle of mutate.stayput.dev is empty")
	ca, err := m.CA()
	l.must(err)
	l.must(l.admin.Apply(t.Context(), applyv1.MutatingWebhookConfiguration(l.ns).
		WithWebhooks(applyv1.MutatingWebhook().WithName("mutate.stayput.dev").WithClientConfig(applyv1.WebhookClientConfig().WithCABundle(ca...))), client.FieldOwner("cainjector")))
	says("the caBundle of one.stayput.dev is empty")
	v := applyv1.ValidatingWebhookConfiguration(l.ns)
	for _, name := range []string{"one.stayput.dev", "two.stayput.dev"} {
		v.WithWebhooks(applyv1.ValidatingWebhook().WithName(name).WithClientConfig(applyv1.WebhookClientConfig().WithCABundle(ca...)))
	}
	l.must(l.admin.Apply(t.Context(), v, client.FieldOwner("cainjector")))
	eventually(t, "ready", func() error { return trust.Verify(source) })
	// A renewal that fails takes nothing away from a certificate that is valid.
	condition(cmmeta.ConditionFalse, "Failed", "the issuer is gone")
	eventually(t, "said", func() error {
		if !strings.Contains(l.log.String(), "the issuer is gone") {
			return fmt.Errorf("not said")
		}
		return nil
	})
	l.must(trust.Verify(source))
}

// TestAWebhookRemovedByServerSideApply is about who installs with server-side
// apply: docs/operations.md says what happens.
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
	if err := l.admin.Apply(t.Context(), manifest("one.stayput.dev"), helm); err == nil || !strings.Contains(err.Error(), "sideEffects: Required value") {
		t.Errorf("a webhook can be dropped: docs/operations.md is wrong: %v", err)
	}
}
