package e2e

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A tap is a proxy between a program and the API server. It records Stayput's
// answers to the program and what it reads, and changes nothing.
type tap struct {
	kubeconfig string // leads to it, with the account's token

	mu       sync.Mutex
	requests int
	reads    map[string]int // by path
	denials  []string
	warnings []string
}

// record makes a service account in a namespace, as newAccount does, and has a
// tap listen to it until the test ends.
func record(t *testing.T, ns, name string, grants ...string) *tap {
	t.Helper()
	token := newAccount(t, ns, name, grants...)
	api := env.Cluster.Config()
	target, err := url.Parse(api.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(&rest.Config{
		Host: api.Host, TLSClientConfig: rest.TLSClientConfig{CAData: api.CAData, CAFile: api.CAFile},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &tap{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), reads: map[string]int{}}
	server := httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      transport,
		FlushInterval:  -1, // watches
		ModifyResponse: r.hear,
		// The program ends, and its watches with it.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:     log.New(io.Discard, "", 0),
	})
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	config := clientcmdapi.NewConfig()
	config.Clusters["local"] = &clientcmdapi.Cluster{
		Server:                   server.URL,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	config.AuthInfos["account"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["local"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: "account", Namespace: ns}
	config.CurrentContext = "local"
	if err := clientcmd.WriteToFile(*config, r.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *tap) hear(resp *http.Response) error {
	what := resp.Request.Method + " " + resp.Request.URL.Path
	var denial string
	if resp.StatusCode == http.StatusForbidden {
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		// JSON or protobuf: the message stands in either as it is.
		if bytes.Contains(body, []byte("stayput.dev")) {
			denial = fmt.Sprintf("%s: %s", what, body)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if resp.Request.Method == http.MethodGet {
		r.reads[resp.Request.URL.Path]++
	} else {
		r.requests++
	}
	if denial != "" {
		r.denials = append(r.denials, denial)
	}
	for _, w := range resp.Header.Values("Warning") {
		r.warnings = append(r.warnings, what+": "+w)
	}
	return nil
}

// said returns the denials and warnings that the account got since the last call,
// and the number of its requests that were writes.
func (r *tap) said() (denials, warnings []string, writes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	denials, warnings, writes = r.denials, r.warnings, r.requests
	r.denials, r.warnings, r.requests = nil, nil, 0
	return denials, warnings, writes
}

// unhindered fails the test if the account was refused anything.
func (r *tap) unhindered(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range slices.Compact(r.denials) {
		t.Errorf("refused: %s", strings.ToValidUTF8(d, "."))
	}
}

// config returns the configuration of a client that connects through the tap.
func (r *tap) config(t *testing.T) *rest.Config {
	t.Helper()
	c, err := clientcmd.BuildConfigFromFlags("", r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
