package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"stayput.dev/certs"
	"stayput.dev/internal/whole"
)

// startServer serves h until stop is called, and returns a client that trusts
// it. What follows is done to the server first.
func startServer(t *testing.T, h http.Handler, drain time.Duration, first ...func(s *Server)) (s *Server,
	client *http.Client, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	source, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(source.CA())
	s = &Server{Listener: l, Handler: h, Source: source, Log: slog.New(slog.DiscardHandler), Drain: drain}
	for _, f := range first {
		f(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	for s.Ready(nil) != nil {
		time.Sleep(time.Millisecond)
	}
	return s, client, func() error { cancel(); return <-ended }
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })

func TestTLS(t *testing.T) {
	s, client, stop := startServer(t, ok, time.Millisecond)
	defer func() { _ = stop() }()
	resp, err := client.Get("https://" + s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.ProtoMajor != 1 || resp.TLS.Version != tls.VersionTLS13 {
		t.Errorf("%s over TLS %x, want HTTP/1.1 over 1.3", resp.Proto, resp.TLS.Version)
	}
	client.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	client.CloseIdleConnections()
	if resp, err := client.Get("https://" + s.Listener.Addr().String()); err == nil {
		_ = resp.Body.Close()
		t.Error("TLS 1.2 was taken")
	}
}

// TestDrainLosesNothing stops the server under a load whose clients, like the
// API server, keep their connections: what it answers while it drains counts.
func TestDrainLosesNothing(t *testing.T) {
	whole.NotShort(t, "waits three seconds, twice")
	s, client, stop := startServer(t, ok, 3*time.Second)
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 16
	var wg sync.WaitGroup
	var mu sync.Mutex
	var served, closed int
	busy := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				resp, err := client.Get("https://" + s.Listener.Addr().String())
				if err != nil {
					t.Errorf("lost a request: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				mu.Lock()
				served++
				if served == 200 {
					close(busy)
				}
				if resp.Close {
					closed++
				}
				mu.Unlock()
				if resp.Close { // the API server goes elsewhere now
					return
				}
			}
		})
	}
	<-busy
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	wg.Wait()
	if err := s.Ready(nil); err == nil || !strings.Contains(err.Error(), "draining") {
		t.Errorf("ready while it drains: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if closed != 8 {
		t.Errorf("%d of 8 clients were asked to close their connection", closed)
	}
}

func TestDrainEnds(t *testing.T) {
	s, client, stop := startServer(t, ok, 500*time.Millisecond)
	resp, err := client.Get("https://" + s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close() // the connection stays open, idle
	start := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < 500*time.Millisecond || took > 20*time.Second {
		t.Errorf("took %s with an idle client and half a second to drain", took)
	}
}

// TestDrainSettles opens a connection long after the server has had a quiet
// moment: the endpoints of a Service are not known everywhere at once.
func TestDrainSettles(t *testing.T) {
	s, client, stop := startServer(t, ok, time.Minute)
	s.Settle = 4 * quiet
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	for s.Ready(nil) == nil {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(2 * quiet)
	resp, err := client.Get("https://" + s.Listener.Addr().String())
	if err != nil {
		t.Errorf("lost a request: %v", err)
	} else {
		_ = resp.Body.Close()
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
