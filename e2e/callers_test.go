package e2e

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// TestOnlyTheAPIServerMayAsk has an API server that presents a certificate, and
// the binary with its defaults: certificates of its own.
func TestOnlyTheAPIServerMayAsk(t *testing.T) {
	dir := t.TempDir()
	ca := writeCallers(t, dir)
	cluster, err := localcluster.Start(t.Context(), localcluster.Options{
		Bare: true, APIServerArgs: []string{"--admission-control-config-file=" + filepath.Join(dir, "admission.yaml")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Stop() }()
	s := startBinary(t, cluster, dir, "--client-ca-file", filepath.Join(dir, "callers.crt"), "--client-names",
		"kube-apiserver")
	webhooks := s.stayput("webhooks", "--url", "https://"+s.address, "--namespace", "stayput")
	s.kubectl(webhooks, "apply", "-f", "-")
	eventually(t, "the API server's certificate is accepted, and Stayput's is trusted",
		func() error { return s.asked(true) })
	eventually(t, "ready", s.ready)

	// Somebody else reaches the port.
	if _, err := (&http.Client{Timeout: 5 * time.Second, Transport: insecure()}).Get("https://" + s.address +
		"/validate"); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("asked without a certificate: %v", err)
	}
	// Hot reload, both ways, and nothing for a broken file.
	file := filepath.Join(dir, "callers.crt")
	other := writeCallers(t, t.TempDir())
	for _, step := range []struct {
		content []byte
		want    bool
	}{{other, false}, {ca, true}, {[]byte("broken"), true}} {
		if err := os.WriteFile(file, step.content, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond) // read every second
		s.restartAPIServer()                // which keeps the connections it has
		eventually(t, fmt.Sprintf("asked: %t", step.want), func() error { return s.asked(step.want) })
	}

	// What a person sees, and the key changed.
	status := s.stayput("certs", "status", "--kubeconfig", cluster.Kubeconfig(), "--connect", s.address)
	contains(t, status, "Secret stayput/stayput-ca", ": signs", "MutatingWebhookConfiguration stayput",
		"deletion.stayput.dev: 1 trusted for 127.0.0.1", "serves ")
	if strings.Contains(status, "WRONG") {
		t.Error(status)
	}
	contains(t, s.stayput("certs", "rotate-key", "--kubeconfig", cluster.Kubeconfig(), "--keep-old", "2s"),
		"made a new key", "2 webhook configurations trust both keys", "the new key signs")
	eventually(t, "the old key is dropped", func() error {
		if status := s.stayput("certs", "status", "--kubeconfig", cluster.Kubeconfig(), "--connect",
			s.address); strings.Count(status, "  CA ") != 1 || strings.Contains(status, "WRONG") {
			return fmt.Errorf("%s", status)
		}
		return nil
	})
	s.restartAPIServer()
	eventually(t, "asked under the new key", func() error { return s.asked(true) })
	s.kubectl(webhooks, "replace", "-f", "-") // blanks the caBundle
	eventually(t, "repaired", func() error {
		if out := s.kubectl("", "get", "validatingwebhookconfiguration", "stayput", "-o",
			"jsonpath={.webhooks[0].clientConfig.caBundle}"); out == "" {
			return fmt.Errorf("blank")
		}
		return nil
	})
}

// writeCallers writes what an API server needs to present a certificate, and
// the authority that certifies it, which it returns.
func writeCallers(t *testing.T, dir string) (ca []byte) {
	t.Helper()
	caCert, caKey := certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "callers"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	caller, callerKey := certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, caCert, caKey)
	ca = encode(t, caCert)
	key, err := pki.EncodePKCS8PrivateKey(callerKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"callers.crt": string(ca), "caller.crt": string(encode(t, caller)), "caller.key": string(key),
		"admission.yaml": `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: MutatingAdmissionWebhook
  configuration: &webhooks
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: ` + filepath.Join(dir, "callers.yaml") + `
- name: ValidatingAdmissionWebhook
  configuration: *webhooks
`,
		"callers.yaml": `apiVersion: v1
kind: Config
users:
- name: "*"
  user: {client-certificate: ` + filepath.Join(dir, "caller.crt") + `,
    client-key: ` + filepath.Join(dir, "caller.key") + `}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return ca
}

func certify(t *testing.T, template, parent *x509.Certificate, parentKey crypto.Signer) (*x509.Certificate,
	crypto.Signer) {
	t.Helper()
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	_, cert, err := pki.SignCertificate(template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func encode(t *testing.T, c *x509.Certificate) []byte {
	t.Helper()
	data, err := pki.EncodeX509(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A binaryLab is the binary beside a cluster of the test's own.
type binaryLab struct {
	*testing.T
	cluster         *localcluster.Cluster
	address, health string
}

// startBinary starts the binary with certificates of its own, and more flags.
func startBinary(t *testing.T, cluster *localcluster.Cluster, dir string, args ...string) *binaryLab {
	t.Helper()
	s := &binaryLab{T: t, cluster: cluster}
	if err := harness.FreeAddresses(&s.address, &s.health); err != nil {
		t.Fatal(err)
	}
	s.kubectl("", "create", "namespace", "stayput")
	log, err := os.Create(filepath.Join(dir, "stayput.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(env.Binary, append([]string{"serve", "--listen", s.address, "--health-listen", s.health,
		"--metrics-listen", "0", "--drain", "100ms", "--kubeconfig", cluster.Kubeconfig(), "--tls-names", "127.0.0.1"},
		args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("stayput ended with %v", err)
		}
		_ = log.Close()
		if t.Failed() {
			t.Log(readFile(t, dir, "stayput.log"))
		}
	})
	return s
}

func (s *binaryLab) kubectl(stdin string, args ...string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	out, err := env.KubectlAs(ctx, s.cluster.Kubeconfig(), stdin, args...)
	if err != nil {
		s.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// stayput runs the binary to its end.
func (s *binaryLab) stayput(args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), env.Binary, args...).CombinedOutput()
	if err != nil {
		s.Logf("stayput %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// asked says whether the API server asks Stayput and understands its answer.
func (s *binaryLab) asked(want bool) error {
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	out, _ := env.KubectlAs(ctx, s.cluster.Kubeconfig(), `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: probe, namespace: default, annotations: {stayput.dev/reclaim-policy: Recycle}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`, "create", "--dry-run=server", "-f", "-")
	if strings.Contains(out, "stayput-annotation") != want || !want && !strings.Contains(out, "probe created") {
		return fmt.Errorf("%s", out)
	}
	return nil
}

func (s *binaryLab) ready() error {
	resp, err := http.Get("http://" + s.health + "/readyz?verbose")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s", body)
	}
	return nil
}

func (s *binaryLab) restartAPIServer() {
	s.Helper()
	if err := s.cluster.Restart(s.Context(), "kube-apiserver"); err != nil {
		s.Fatal(err)
	}
}

func insecure() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // it does not get as far
}
