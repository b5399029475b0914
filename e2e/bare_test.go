package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// A bare cluster is a separate cluster with its own Stayput and without
// controllers: only the test changes objects.
type bare struct{ *harness.Stayput }

// newBare starts a bare cluster and a Stayput with a configuration. It calls the
// functions before Stayput starts.
func newBare(t *testing.T, config string, first ...func(s *harness.Stayput)) *bare {
	t.Helper()
	// Nothing binds claims here, so nothing must hold them back either.
	cluster, err := localcluster.Start(t.Context(), localcluster.Options{
		Bare: true, APIServerArgs: append(testdataGates(), "--disable-admission-plugins=StorageObjectInUseProtection"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	s := &harness.Stayput{Cluster: cluster, Binary: env.Binary, Dir: t.TempDir(), Config: config}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, f := range first {
		f(s)
	}
	t.Cleanup(func() { _ = s.Stop() })
	for _, step := range []func(context.Context) error{s.Start, s.Install} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return &bare{s}
}

// try runs kubectl, which may fail, for no longer than a minute.
func (b *bare) try(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := b.Kubectl(ctx, stdin, args...)
	if ctx.Err() != nil {
		t.Fatalf("kubectl %s hangs\n%s", strings.Join(args, " "), out)
	}
	return out, err
}

// kubectl runs kubectl, which must succeed, and returns what it prints.
func (b *bare) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := b.try(t, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// caller returns a client that sends requests to Stayput, as an API server does,
// over n connections that it keeps open.
func (b *bare) caller(connections int) (*http.Client, error) {
	pem, err := os.ReadFile(filepath.Join(b.Dir, "tls.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConns: connections, MaxIdleConnsPerHost: connections,
	}}, nil
}
