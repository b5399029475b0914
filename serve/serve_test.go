package serve

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"

	"stayput.dev/cluster/cache/trim"
	"stayput.dev/internal/kubeconfig"
)

// TestRequestRate holds the commands that a person runs to a rate, and serve,
// whose requests have deadlines, to none.
func TestRequestRate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(`apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	command, err := kubeconfig.Connection(file, "")
	if err != nil || command.QPS <= 0 || command.Burst <= 0 {
		t.Errorf("a command: %+v, %v", command, err)
	}
	serve, err := (&serveFlags{kubeconfig: file}).restConfig()
	if err != nil || serve.QPS >= 0 {
		t.Errorf("serve: %+v, %v", serve, err)
	}
}

// TestWatchingClient asks a server that takes both: lists come in HTTP/1.1 and
// uncompressed, everything else in HTTP/2.
func TestWatchingClient(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %q", r.Proto, r.Header.Get("Accept-Encoding"))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	client, err := watchingClient(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}})
	if err != nil {
		t.Fatal(err)
	}
	list := trim.WithItems(t.Context(), func([]byte) error { return nil })
	for want, ctx := range map[string]context.Context{`HTTP/1.1 ""`: list, `HTTP/2.0 "gzip"`: t.Context()} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/pods", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		asked, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(asked) != want {
			t.Errorf("asked in %s (%v), want %s", asked, err, want)
		}
	}
}
