package cache

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// Servers of two releases answer at one address in turn, as behind a load balancer.
func TestServers(t *testing.T) {
	answer, status, connections := "", http.StatusOK, atomic.Int32{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/behind/version" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("asked for %s with %q", r.URL, r.Header.Get("Authorization"))
		}
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	var log bytes.Buffer
	s, err := NewServers(&rest.Config{Host: server.URL + "/behind", BearerToken: "secret"},
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Versions(); got.Known() {
		t.Errorf("%s is known before anything was asked", got)
	}
	asked := int32(0)
	for i, tt := range []struct {
		times  int32
		answer string
		status int
		want   string
		pause  time.Duration
	}{
		{1, "no", http.StatusForbidden, "unknown", rereadEvery},
		{1, `{"gitVersion":"?"}`, http.StatusOK, "unknown", rereadEvery},
		{1, `{"gitVersion":"v1.34.4"}`, http.StatusOK, "1.34.4", rereadEvery},
		{1, `{"gitVersion":"v1.35.1"}`, http.StatusOK, "1.34.4 to 1.35.1", rereadSeveral},
		{forgottenAfter - 1, `{"gitVersion":"v1.34.4"}`, http.StatusOK, "1.34.4 to 1.35.1", rereadSeveral},
		// A failure forgets nothing.
		{2, "no", http.StatusInternalServerError, "1.34.4 to 1.35.1", rereadSeveral},
		{forgottenAfter - 1, `{"gitVersion":"v1.35.1"}`, http.StatusOK, "1.34.4 to 1.35.1", rereadSeveral},
		// The upgrade is over.
		{1, `{"gitVersion":"v1.35.1"}`, http.StatusOK, "1.35.1", rereadEvery},
		{1, `{"gitVersion":"v1.34.4"}`, http.StatusOK, "1.34.4 to 1.35.1", rereadSeveral},
	} {
		answer, status = tt.answer, tt.status
		for range tt.times {
			s.Ask(t.Context())
		}
		if got := s.Versions().String(); got != tt.want {
			t.Errorf("step %d, %d times %d %s: %s, want %s", i, tt.times, tt.status, tt.answer, got, tt.want)
		}
		if got := s.pause(atFirst); got != tt.pause || s.pause(atFirst-1) != time.Second {
			t.Errorf("step %d: the next question follows after %s, want %s", i, got, tt.pause)
		}
		if asked += tt.times; connections.Load() != asked {
			t.Errorf("step %d: %d connections for %d questions", i, connections.Load(), asked)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 3 { // two causes at first, and one that came twice
		t.Errorf("%d warnings:\n%s", n, &log)
	}
}

// Two API servers of neighbouring minors are soon known both, and what asks ends
// with its context.
func TestServersInTurn(t *testing.T) {
	n := atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"gitVersion":"v1.%d.2"}`, 34+n.Add(1)%2)
	}))
	defer server.Close()
	s, err := NewServers(&rest.Config{Host: server.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	// A command that asks once.
	if got, err := s.ReadAll(t.Context()); err != nil || got.String() != "1.34.2 to 1.35.2" {
		t.Errorf("all at once: %s, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	for ctx.Err() == nil && s.Versions().String() != "1.34.2 to 1.35.2" {
		time.Sleep(10 * time.Millisecond)
	}
	if got := s.Versions().String(); got != "1.34.2 to 1.35.2" {
		t.Errorf("known are %s", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
