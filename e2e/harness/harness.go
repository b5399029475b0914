// Package harness runs the real stayput binary beside a local cluster, for the
// end-to-end tests and the demo.
package harness

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

// Build builds the stayput binary of this checkout into dir.
func Build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "stayput")
	return binary, BuildProgram(ctx, "stayput", binary)
}

// BuildProgram builds a program of cmd/ in this checkout, with more flags of go
// build.
func BuildProgram(ctx context.Context, name, binary string, flags ...string) error {
	args := append([]string{"build", "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "stayput.dev/cmd/"+name)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}

// A Cluster is the cluster that a Stayput serves, from inside or outside.
type Cluster interface {
	Config() *rest.Config
	Kubeconfig() string // a file
	Kubectl() string    // a program
}

// ModuleDir returns the directory with the sources of a module that the go.mod in
// dir requires.
func ModuleDir(ctx context.Context, dir, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var found struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err == nil && found.Dir == "" {
		err = fmt.Errorf("it has no directory: %s", out)
	}
	if err != nil {
		return "", fmt.Errorf("find the module %s: %w\n%s", module, err, stderr.Bytes())
	}
	return found.Dir, nil
}

// A Stayput is the binary as a process beside a cluster. Its certificate and
// its port stay the same when it is stopped and started again.
type Stayput struct {
	Cluster Cluster
	Binary  string
	Dir     string // for its files and its log
	Config  string // the text of its configuration, or empty

	address, health, metrics string
	process                  *exec.Cmd
	exited                   chan error
	reader                   reader
}

// Prepare writes what Stayput needs before its first start: certificate,
// configuration, and an account with the permissions that it asks for.
func (s *Stayput) Prepare(ctx context.Context) error {
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)},
		[]string{"localhost"})
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	for name, data := range map[string][]byte{"tls.crt": certPEM, "tls.key": keyPEM, "config.yaml": []byte(s.Config)} {
		if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
			return err
		}
	}
	if err := FreeAddresses(&s.address, &s.health, &s.metrics); err != nil {
		return err
	}
	return s.account(ctx)
}

func (s *Stayput) path(name string) string { return filepath.Join(s.Dir, name) }

// account creates a service account and a kubeconfig for it. The account may read
// the objects that rules look up and write those that repair writes, and nothing
// else.
func (s *Stayput) account(ctx context.Context) error {
	role, err := s.run(ctx, append([]string{"webhooks", "--rbac"}, s.target()...)...)
	if err != nil {
		return err
	}
	_, role, _ = strings.Cut(role, "kind: ClusterRole\n")
	manifest := `apiVersion: v1
kind: Namespace
metadata: {name: stayput}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stayput, namespace: stayput}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: stayput}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: stayput}
subjects: [{kind: ServiceAccount, name: stayput, namespace: stayput}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: stayput, namespace: stayput}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: stayput}
subjects: [{kind: ServiceAccount, name: stayput, namespace: stayput}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
` + role
	if out, err := s.Kubectl(ctx, manifest, "apply", "-f", "-"); err != nil {
		return fmt.Errorf("make stayput's account: %w\n%s", err, out)
	}
	token, err := s.Kubectl(ctx, "", "create", "token", "stayput", "-n", "stayput", "--duration", "12h")
	if err != nil {
		return fmt.Errorf("make a token: %w\n%s", err, token)
	}
	config := s.Cluster.Config()
	data := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: local
clusters: [{name: local, cluster: {server: %q, certificate-authority-data: %q}}]
contexts: [{name: local, context: {cluster: local, user: stayput}}]
users: [{name: stayput, user: {token: %q}}]
`, config.Host, base64.StdEncoding.EncodeToString(config.CAData), strings.TrimSpace(token))
	return os.WriteFile(s.path("kubeconfig"), []byte(data), 0o600)
}

func (s *Stayput) target() []string {
	args := []string{"--url", "https://" + s.address, "--ca-file", s.path("tls.crt"), "--namespace", "stayput"}
	if s.Config != "" {
		args = append(args, "--config", s.path("config.yaml"))
	}
	return args
}

// Start starts the process and waits until it is ready.
func (s *Stayput) Start(ctx context.Context) error {
	args := []string{
		"serve", "--listen", s.address, "--health-listen", s.health, "--metrics-listen", s.metrics,
		"--kubeconfig", s.path("kubeconfig"), "--tls-cert-file", s.path("tls.crt"), "--tls-key-file", s.path("tls.key"),
		"--drain", "500ms", "--namespace", "stayput",
	}
	if s.Config != "" {
		args = append(args, "--config", s.path("config.yaml"))
	}
	log, err := os.OpenFile(s.path("stayput.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process = exec.Command(s.Binary, args...)
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start stayput: %w", err)
	}
	s.exited = make(chan error, 1)
	go func(p *exec.Cmd, exited chan<- error) { exited <- p.Wait() }(s.process, s.exited)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if err := s.Ready(ctx); err == nil {
			return nil
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("stayput ended: %w\n%s", err, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("stayput is not ready: %w\n%s", ctx.Err(), s.Log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Ready returns why /readyz does not answer that it is ready, or nil.
func (s *Stayput) Ready(ctx context.Context) error {
	_, err := s.get(ctx, s.health, "/readyz")
	return err
}

// Metrics returns the text of /metrics.
func (s *Stayput) Metrics(ctx context.Context) (string, error) {
	return s.get(ctx, s.metrics, "/metrics")
}

func (s *Stayput) get(ctx context.Context, address, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return string(body), err
}

// PID is the id of the process, which must run.
func (s *Stayput) PID() int { return s.process.Process.Pid }

// Address is the host:port at which the webhook listens.
func (s *Stayput) Address() string { return s.address }

// Log returns the output of the process.
func (s *Stayput) Log() string {
	data, err := os.ReadFile(s.path("stayput.log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Stop ends the process as Kubernetes would: by SIGTERM, and by SIGKILL if it does
// not end.
func (s *Stayput) Stop() error {
	if s.process == nil {
		return nil
	}
	p := s.process.Process
	s.process = nil
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop stayput: %w", err)
	}
	select {
	case err := <-s.exited:
		return err
	case <-time.After(20 * time.Second):
		_ = p.Kill()
		<-s.exited
		return errors.New("stayput did not end in 20 s and was killed")
	}
}

// Kill ends the process at once, as a failure of its node would.
func (s *Stayput) Kill() error {
	if s.process == nil {
		return nil
	}
	p := s.process.Process
	s.process = nil
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill stayput: %w", err)
	}
	<-s.exited
	return nil
}

// Webhooks returns the manifest of the webhook configurations.
func (s *Stayput) Webhooks(ctx context.Context) (string, error) {
	return s.run(ctx, append([]string{"webhooks"}, s.target()...)...)
}

// Install applies the webhook configurations, and waits until the API server calls
// the webhooks for creations.
func (s *Stayput) Install(ctx context.Context) error {
	manifest, err := s.Webhooks(ctx)
	if err != nil {
		return err
	}
	if out, err := s.Kubectl(ctx, manifest, "apply", "-f", "-"); err != nil {
		return fmt.Errorf("install the webhooks: %w\n%s", err, out)
	}
	return s.waitAsked(ctx, true)
}

// Uninstall removes the webhook configurations, as one does in an emergency.
func (s *Stayput) Uninstall(ctx context.Context) error {
	out, err := s.Kubectl(ctx, "", "delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "stayput")
	if err != nil {
		return fmt.Errorf("remove the webhooks: %w\n%s", err, out)
	}
	return s.waitAsked(ctx, false)
}

// probe is an object that the validating webhook denies, and for which the mutating
// webhook gives a hint.
const probe = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: stayput-probe, namespace: default, annotations: {stayput.dev/reclaim-policy: Recycle}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`

func (s *Stayput) waitAsked(ctx context.Context, want bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		out, _ := s.Kubectl(ctx, probe, "create", "--dry-run=server", "-f", "-")
		if strings.Contains(out, "stayput-annotation") == want {
			// The two configurations are watched separately: give the other the
			// same time again.
			time.Sleep(500 * time.Millisecond)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server does not notice the webhooks: %w\n%s", ctx.Err(), out)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Kubectl runs kubectl as the administrator, and returns its output and errors. Plain
// reads of fields are done as kubectl does them, without its process.
func (s *Stayput) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	if out, ok := s.reader.get(ctx, s.Cluster.Config(), args); ok {
		return out, nil
	}
	return s.KubectlAs(ctx, s.Cluster.Kubeconfig(), stdin, args...)
}

// KubectlAs runs kubectl with another kubeconfig.
func (s *Stayput) KubectlAs(ctx context.Context, kubeconfig, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Cluster.Kubectl(), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Command runs stayput as the administrator, and returns its output and errors.
func (s *Stayput) Command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Cluster.Kubeconfig())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs stayput to its end and returns its output.
func (s *Stayput) run(ctx context.Context, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("stayput %s: %w\n%s", args[0], err, complaint.String())
	}
	return out.String(), nil
}
