// Package hostile attacks the real binary, as a process of its own beside no
// API server at all, and measures what well-behaved clients notice. Its traffic
// goes over loopback, and is bounded in number and in time.
package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stayput.dev/e2e/harness"
	"stayput.dev/internal/whole"
)

var binary string

func TestMain(m *testing.M) {
	if order := os.Getenv(flooder); order != "" {
		if err := runFlooder(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if whole.LeavesOut("minutes of floods, on Linux") {
		return 0
	}
	dir, err := os.MkdirTemp("", "stayput-hostile-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = harness.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// proof says whether the long form of a test is wanted: make proof.
func proof() bool { return os.Getenv("STAYPUT_PROOF") != "" }

// either returns what a test works with: in short, or as proof.
func either[T any](short, long T) T {
	if proof() {
		return long
	}
	return short
}

// A server is a stayput process. Its memory is limited as in the chart: 512 MiB
// for the container, nine tenths of it for the Go runtime.
type server struct {
	webhook, health, metrics string // addresses
	tls                      *tls.Config
	pid                      int
	log                      *bytes.Buffer
}

const containerMemory = 512 << 20

func start(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{log: new(bytes.Buffer)}
	if err := harness.FreeAddresses(&s.webhook, &s.health, &s.metrics); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "ca.crt")
	cmd := exec.Command(binary, "serve", "--standalone", "--ca-file", ca, "--listen", s.webhook, "--health-listen",
		s.health,
		"--metrics-listen", s.metrics, "--drain", "1s", "--log-level", "error")
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", containerMemory/10*9))
	cmd.Stderr = s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("stayput ended: %v", err)
			}
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
			t.Error("stayput did not end in 30 s")
		}
		if s.log.Len() > 0 {
			t.Errorf("errors in the log, such as a panic: %.2000s", s.log)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get("http://" + s.health + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("stayput is not ready after 30 s")
		}
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	s.tls = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	s.tls.RootCAs.AppendCertsFromPEM(pem)
	return s
}

// memory returns what the kernel says in a field of the process's status, in
// bytes: VmRSS is resident, VmHWM the most that ever was.
func (s *server) memory(t *testing.T, field string) int64 {
	t.Helper()
	bytes, err := harness.Memory(s.pid, field)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// review is what well-behaved clients ask: a StatefulSet that is denied.
var review = func() string {
	set := `{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db","namespace":"prod"},
		"spec":{"replicas":3,"serviceName":"db",
		"selector":{"matchLabels":{"app":"db"}},"template":{"metadata":{"labels":{"app":"db"}},
			"spec":{"terminationGracePeriodSeconds":0,
		"containers":[{"name":"db","image":"db",
			"env":[` + strings.TrimSuffix(strings.Repeat(`{"name":"A","value":"b"},`, 100), ",") + `]}]}}}}`
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",
		"request":{"uid":"u-1","kind":{"group":"apps","version":"v1","kind":"StatefulSet"},
		"resource":{"group":"apps","version":"v1","resource":"statefulsets"},"operation":"CREATE","namespace":"prod",
			"name":"db","object":` + set + `}}`
}()

// head begins a request with a body of n bytes.
func head(path string, n int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: stayput\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		path, n)
}

// client returns an HTTP client that keeps its connections, as the API server.
func (s *server) client(idle int) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: s.tls.Clone(),
		MaxIdleConnsPerHost: idle, MaxIdleConns: idle}}
}

// judged checks that an answer is the verdict about review.
func judged(resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var got struct {
		Response struct {
			UID     string
			Allowed bool
			Status  struct{ Message string }
		}
	}
	if err := json.Unmarshal(body, &got); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.300s", resp.Status, body)
	}
	if r := got.Response; r.UID != "u-1" || r.Allowed || !strings.Contains(r.Status.Message, "statefulset-grace-period") {
		return fmt.Errorf("a wrong verdict: %.300s", body)
	}
	return nil
}
