package webhook

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"stayput.dev/internal/whole"
)

// dial opens a connection and does the handshake. Who waits for longer than a
// minute on it waits for nothing.
func dial(t *testing.T, s *Server, client *http.Client) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), client.Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// TestUnusedConnections is of what clients keep for later: a connection that
// has carried no request yet stays open for the first, which then has its
// time; one that has begun it does not.
func TestUnusedConnections(t *testing.T) {
	whole.NotShort(t, "waits eleven seconds")
	t.Parallel()
	s, client, stop := startServer(t, newWebhook(t).Handler(), time.Millisecond)
	defer func() { _ = stop() }()
	wire := postOf(ValidatePath, wellFormed)
	begun, unused := dial(t, s, client), dial(t, s, client)
	time.Sleep(100 * time.Millisecond) // handshake and header are read apart
	if _, err := begun.Write(wire[:20]); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if said, err := io.ReadAll(begun); err != nil {
		t.Errorf("half a header: still open after %s: %q %v", time.Since(start), said, err)
	}
	time.Sleep(time.Until(start.Add(11 * time.Second))) // longer than net/http would wait for header and body
	for i := range 2 {
		for _, part := range [][]byte{wire[:20], wire[20 : len(wire)-10], wire[len(wire)-10:]} {
			if _, err := unused.Write(part); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		resp, err := http.ReadResponse(bufio.NewReader(unused), nil)
		if err != nil {
			t.Fatalf("request %d on an unused connection: %v", i+1, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(body), `"allowed":true`) {
			t.Errorf("request %d: %v: %s", i+1, err, body)
		}
	}
}

// TestTooManyConnections has far more connect than may be connected, each to say nothing.
// A client that has just been served keeps its connection, newcomers are served, and
// the silent ones go, those that are longest there first.
func TestTooManyConnections(t *testing.T) {
	whole.NotShort(t, "waits five seconds")
	t.Parallel()
	const most = 32
	s, client, stop := startServer(t, ok, time.Millisecond, func(s *Server) { s.connectionsMax = most })
	defer func() { _ = stop() }()
	ask := func(conn *tls.Conn, what string) {
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := conn.Write(httpRequest("GET /", nil, "\r\n")); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	served := dial(t, s, client)
	ask(served, "the first")
	var silent []*tls.Conn
	for range 3 * most {
		silent = append(silent, dial(t, s, client))
	}
	ask(dial(t, s, client), "a newcomer")
	ask(served, "the first, again")
	if n := s.connections.Load(); n > most {
		t.Errorf("%d connections, of %d", n, most)
	}
	closed := func(conn *tls.Conn) bool {
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := conn.Read(make([]byte, 1))
		var late net.Error
		ok := errors.As(err, &late)
		return !ok || !late.Timeout()
	}
	if !closed(silent[0]) || closed(silent[len(silent)-1]) {
		t.Error("of the silent ones, the first should be gone and the last be there")
	}
}

// TestManySlowBodies has more connections send half a body than may be
// connected: a newcomer does not have to wait for the time that each may take.
func TestManySlowBodies(t *testing.T) {
	whole.NotShort(t, "waits five seconds")
	t.Parallel()
	const most = 32
	s, client, stop := startServer(t, newWebhook(t).Handler(), time.Millisecond,
		func(s *Server) { s.connectionsMax = most })
	defer func() { _ = stop() }()
	wire := postOf(ValidatePath, wellFormed)
	for range most {
		if _, err := dial(t, s, client).Write(wire[:len(wire)-10]); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	resp, err := client.Post("https://"+s.Listener.Addr().String()+ValidatePath, "application/json",
		strings.NewReader(wellFormed))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if took := time.Since(begun); resp.StatusCode != http.StatusOK || took > bodyTimeout {
		t.Errorf("%s after %s", resp.Status, took)
	}
}

// TestHalfAHandshake has many send half of the first message of a handshake, or
// something else: none of them is worked at, and others are served.
func TestHalfAHandshake(t *testing.T) {
	t.Parallel()
	s, client, stop := startServer(t, ok, time.Millisecond)
	defer func() { _ = stop() }()
	for i := range 20 * runtime.GOMAXPROCS(0) {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte([]string{"\x16\x03\x01\x02\x00\x01\x00", "\x16",
			"GET / HTTP/1.1\r\n\r\n"}[i%3])); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	resp, err := client.Get("https://" + s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if took := time.Since(begun); took > headerTimeout {
		t.Errorf("answered after %s, when the others were gone", took)
	}
}
