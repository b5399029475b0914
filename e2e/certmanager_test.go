package e2e

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubernetesscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/certs"
	"stayput.dev/e2e/localcluster"
	"stayput.dev/webhook"
)

// TestCertManager has cert-manager's own controllers and its cainjector make the
// certificate, from nothing to a renewal under load.
func TestCertManager(t *testing.T) {
	l := newCertLab(t)
	l.configure()
	apply := func(args ...string) string {
		out, _ := exec.CommandContext(t.Context(), env.Binary,
			append([]string{"certs", "apply", "--kubeconfig", env.Cluster.Kubeconfig(),
				"--namespace", l.ns, "--configurations", l.ns, "--tls-names", "127.0.0.1"}, args...)...).CombinedOutput()
		return string(out)
	}
	contains(t, apply(), "Issuer stayput-self-signed: cert-manager is not installed")
	crds := filepath.Join(moduleDir(t, "..", "github.com/cert-manager/cert-manager"), "deploy", "crds")
	kubectl(t, "create", "-f", crds)
	defer kubectl(t, "delete", "--wait=false", "-f", crds)
	established(t, "-f", crds)
	scheme := runtime.NewScheme()
	l.must(errors.Join(kubernetesscheme.AddToScheme(scheme), cmapi.AddToScheme(scheme)))
	c, err := client.NewWithWatch(env.Cluster.Config(), client.Options{Scheme: scheme})
	l.must(err)

	mount := l.mount("stayput-tls")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.must(err)
	log := slog.New(slog.NewTextHandler(l.log, nil))
	source := &certs.CertManager{
		FileSource: &certs.FileSource{CertFile: filepath.Join(mount, "tls.crt"), KeyFile: filepath.Join(mount, "tls.key"),
			Log: log},
		Client: c, Namespace: l.ns, Name: "stayput",
	}
	trust := &certs.Trust{Client: c, Name: l.ns, Log: log}
	server := &webhook.Server{Listener: listener, Handler: http.HandlerFunc(admitAll), Source: source, Log: log,
		Trusted: func() error { return trust.Verify(source) }}
	for _, run := range []func(context.Context) error{source.Start, trust.Start, server.Start} {
		go func() { _ = run(t.Context()) }()
	}
	l.front.add(listener.Addr().String())
	says := func(what ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("readiness says %q", what), func() error {
			err := server.Ready(nil)
			for _, w := range what {
				if err == nil || !strings.Contains(err.Error(), w) {
					return fmt.Errorf("it says %v", err)
				}
			}
			return nil
		})
	}

	// Nobody is there to make it; then somebody is, and the Issuer is not.
	contains(t, apply("--issuer", "company-ca"), "certificate "+l.ns+"/stayput applied",
		"ValidatingWebhookConfiguration "+l.ns+": the caBundle is cert-manager's to write")
	says("no certificate yet", "Certificate "+l.ns+"/stayput is not ready: it has no condition yet: does cert-manager "+
		"run?")
	runCertManager(t)
	says("no certificate yet", "Certificate "+l.ns+"/stayput is not ready: DoesNotExist: Issuing certificate as Secret "+
		"does not exist")
	contains(t, l.log.String(), "cert-manager has no certificate ready")

	for range 2 { // as often as one likes
		contains(t, apply(), "issuer "+l.ns+"/stayput-self-signed applied", "certificate "+l.ns+"/stayput-ca applied",
			"issuer "+l.ns+"/stayput-ca applied")
	}
	eventually(t, "ready", func() error { return server.Ready(nil) })
	leaf := func() *x509.Certificate {
		t.Helper()
		cert, err := source.GetCertificate(nil)
		l.must(err)
		return cert.Leaf
	}
	l.must(leaf().VerifyHostname("stayput." + l.ns + ".svc"))
	for _, f := range l.managers() {
		if f != "cert-manager-cainjector" {
			t.Errorf("%s has written a caBundle", f)
		}
	}

	// A renewal, as cmctl renew asks for it.
	end, before := l.load(), leaf()
	eventually(t, "asked to renew", func() error {
		var cert cmapi.Certificate
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: l.ns, Name: "stayput"}, &cert); err != nil {
			return err
		}
		cert.Status.Conditions = append(cert.Status.Conditions, cmapi.CertificateCondition{
			Type: cmapi.CertificateConditionIssuing, Status: cmmeta.ConditionTrue, Reason: "ManuallyTriggered",
			LastTransitionTime: new(metav1.Now()),
		})
		return c.Status().Update(t.Context(), &cert)
	})
	eventually(t, "renewed", func() error {
		if leaf().Equal(before) {
			return errors.New("the certificate is the old one")
		}
		return server.Ready(nil)
	})
	time.Sleep(2 * time.Second)
	t.Logf("%d admissions, each over a connection of its own, while the certificate was renewed", end())

	// A Certificate that can no longer be issued takes nothing away from one that
	// is valid.
	apply("--issuer", "company-ca")
	eventually(t, "said", func() error {
		if !strings.Contains(l.log.String(), "previously issued by") {
			return errors.New("not said")
		}
		return nil
	})
	l.must(server.Ready(nil))
	l.admitted()
}

// runCertManager runs cert-manager until the test ends.
func runCertManager(t *testing.T) {
	t.Helper()
	binary, err := localcluster.BuildCertManager(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	log, end := startBeside(t, env.Cluster.Kubeconfig(), cmd)
	t.Cleanup(func() {
		if err := end(); err != nil || t.Failed() {
			t.Errorf("cert-manager: %v\n%s", err, log)
		}
	})
}

// startBeside starts a program that finds its cluster by $KUBECONFIG and ends when
// its input does, so that it also ends with this process. It returns the program's
// output, and a function that ends it.
func startBeside(t *testing.T, kubeconfig string, cmd *exec.Cmd) (log *safeBuffer, end func() error) {
	t.Helper()
	log = &safeBuffer{}
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return log, func() error {
		_ = stdin.Close()
		return cmd.Wait()
	}
}

// mount writes a Secret into a directory whenever it changes, as the kubelet
// does: all files at once, behind a symbolic link. It returns the link.
func (l *certLab) mount(secret string) string {
	dir := l.TempDir()
	link := filepath.Join(dir, "..data")
	var version string
	write := func() error {
		var s corev1.Secret
		if err := l.admin.Get(l.Context(), client.ObjectKey{Namespace: l.ns, Name: secret}, &s); err != nil ||
			s.ResourceVersion == version {
			return client.IgnoreNotFound(err)
		}
		version = s.ResourceVersion
		fresh := filepath.Join(dir, version)
		if err := os.Mkdir(fresh, 0o700); err != nil {
			return err
		}
		for name, data := range s.Data {
			if err := os.WriteFile(filepath.Join(fresh, name), data, 0o600); err != nil {
				return err
			}
		}
		return errors.Join(os.Symlink(fresh, link+".new"), os.Rename(link+".new", link))
	}
	var kubelet sync.WaitGroup
	kubelet.Go(func() {
		for l.Context().Err() == nil {
			if err := write(); err != nil && l.Context().Err() == nil {
				l.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	l.Cleanup(kubelet.Wait)
	return link
}

// managers returns who owns a caBundle.
func (l *certLab) managers() []string {
	l.Helper()
	var out []string
	var m admissionv1.MutatingWebhookConfiguration
	l.must(l.admin.Get(l.Context(), client.ObjectKey{Name: l.ns}, &m))
	var v admissionv1.ValidatingWebhookConfiguration
	l.must(l.admin.Get(l.Context(), client.ObjectKey{Name: l.ns}, &v))
	for _, f := range append(m.ManagedFields, v.ManagedFields...) {
		if strings.Contains(f.FieldsV1.GetRawString(), "f:caBundle") {
			out = append(out, f.Manager)
		}
	}
	return out
}
