package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"stayput.dev/cluster/cache/trim"
)

// TestNoCluster runs every command that needs a cluster where there is none.
// Only serve speaks of --standalone, for only serve has it.
func TestNoCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0"},
		{"audit"}, {"recover"}, {"probe"},
		{"lint", "--against-cluster", "../../examples/notes"},
		{"certs", "status"}, {"certs", "rotate-key"}, {"certs", "apply"},
		{"review", "--live", writeFile(t, "review.json", "{}")},
	} {
		code, stdout, stderr := command(t, "", args...)
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		last := lines[len(lines)-1]
		if code != 2 || stdout != "" || !strings.Contains(last, errNoCluster.Error()) ||
			strings.Contains(last, "--standalone") != (args[0] == "serve") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

// TestRequestRate holds the commands that a person runs to a rate, and serve,
// whose requests have deadlines, to none.
func TestRequestRate(t *testing.T) {
	file := writeFile(t, "kubeconfig", `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
`)
	command, err := connection(file, "")
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
