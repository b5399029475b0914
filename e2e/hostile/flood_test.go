package hostile

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFloodOfLargeBodies opens 5 000 connections that send 3 MiB each and 5 000
// that send nothing (500 in short), all at once: figure R6. Bodies are of both
// kinds that cost most: long strings, which are read and scanned in full, and
// wide lists, which are denied for their width.
func TestFloodOfLargeBodies(t *testing.T) {
	n := either(500, 5000)
	s := start(t)
	idle := s.memory(t, "VmHWM")
	w := s.witness(8, 5*time.Millisecond)
	var sent, silent tally
	var quiet []net.Conn
	for range n {
		conn, err := s.dial()
		if err != nil {
			silent.add(err.Error())
			continue
		}
		silent.add("open")
		quiet = append(quiet, conn)
	}
	waiting := s.memory(t, "VmRSS")

	const size = 3 << 20
	start := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"apiVersion":"v1","kind":"Pod","x":`
	long := []byte(start + `"` + strings.Repeat("x", size) + `"}}}`)
	wide := []byte(start + `[` + strings.Repeat("{},", size/3) + `{}]}}}`)
	var group sync.WaitGroup
	begun := time.Now()
	for i := range n {
		body := long
		if i%2 == 1 {
			body = wide
		}
		group.Go(func() { sent.add(s.send(body)) })
	}
	group.Wait()
	took := time.Since(begun)
	for _, conn := range quiet {
		_ = conn.Close()
	}
	t.Logf("%d connections with bodies of 3 MiB in %s: %s", n, took.Round(time.Millisecond), &sent)
	t.Logf("%d connections that send nothing: %s", n, &silent)
	most := s.memory(t, "VmHWM")
	t.Logf("memory: %d MiB idle, %d MiB with the silent connections, %d MiB at most, of %d MiB", idle>>20, waiting>>20, most>>20, containerMemory>>20)
	w.report(t)
	if most > containerMemory {
		t.Errorf("%d MiB are more than the container has", most>>20)
	}
	if silent.counts["open"] != n {
		t.Errorf("silent connections: %s", &silent)
	}
}

// send sends a body on a connection of its own and says what came of it.
func (s *server) send(body []byte) string {
	conn, err := s.dial()
	if err != nil {
		return "refused"
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	go func() {
		if _, err := fmt.Fprint(conn, head("/validate?timeout=30s", len(body))); err == nil {
			_, _ = conn.Write(body)
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "cut off"
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
		return "429 without Retry-After"
	}
	return resp.Status[:3]
}

// TestSlowSenders keeps connections busy in every way that costs a client
// nothing: no handshake, half a handshake, half a header, a header that never
// ends, half a body. None lasts, and nobody else notices.
func TestSlowSenders(t *testing.T) {
	n := either(100, 1000)
	attacks := map[string]func(conn net.Conn) net.Conn{
		"no handshake":   func(conn net.Conn) net.Conn { return conn },
		"half a hello":   func(conn net.Conn) net.Conn { _, _ = conn.Write([]byte{22, 3, 1, 2, 0, 1, 0}); return conn },
		"no header":      nil,
		"half a header":  nil,
		"a slow header":  nil,
		"half a body":    nil,
		"a slow body":    nil,
		"half a MiB":     nil,
		"an endless one": nil,
	}
	s := start(t)
	w := s.witness(8, 5*time.Millisecond)
	var ended tally
	var group sync.WaitGroup
	for name, before := range attacks {
		for range n {
			group.Go(func() {
				conn, err := net.DialTimeout("tcp", s.webhook, 30*time.Second)
				if err != nil {
					ended.add(name + ": refused")
					return
				}
				defer conn.Close()
				if before != nil {
					conn = before(conn)
				} else {
					secure := tls.Client(conn, s.tls)
					if err := secure.Handshake(); err != nil {
						ended.add(name + ": closed") // too slow a client, on a busy machine
						return
					}
					go dawdle(secure, name)
					conn = secure
				}
				// An idle connection may stay for two minutes, and so may 512 that are
				// unused, as the server sees it: what comes together with the end of the
				// handshake it does not see. One that has begun may not.
				_ = conn.SetReadDeadline(time.Now().Add(40 * time.Second))
				for buf := make([]byte, 4096); ; {
					if _, err := conn.Read(buf); err != nil {
						if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
							ended.add(name + ": still open after 40 s")
						} else {
							ended.add(name + ": closed")
						}
						return
					}
				}
			})
		}
	}
	group.Wait()
	t.Logf("%d connections of each kind: %s", n, &ended)
	w.report(t)
	for name := range attacks {
		closed := ended.counts[name+": closed"]
		if name == "no header" || name == "half a header" { // API servers keep unused connections, too
			closed += ended.counts[name+": still open after 40 s"]
		}
		if closed != n {
			t.Errorf("%s: %d of %d were closed: %s", name, closed, n, &ended)
		}
	}
	most := s.memory(t, "VmHWM")
	t.Logf("memory: %d MiB at most, of %d MiB", most>>20, containerMemory>>20)
	if most > containerMemory {
		t.Errorf("%d MiB are more than the container has", most>>20)
	}
}

// dawdle sends what an attack is named for, until the connection is closed.
func dawdle(conn net.Conn, attack string) {
	slowly := func(text string) {
		for i := range len(text) {
			if _, err := conn.Write([]byte{text[i]}); err != nil {
				return
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
	switch attack {
	case "half a header":
		_, _ = conn.Write([]byte("POST /validate HTTP/1.1\r\nHost: x\r\nContent-"))
	case "a slow header":
		slowly(head("/validate", 10))
	case "half a body":
		_, _ = conn.Write([]byte(head("/validate", len(review)) + review[:len(review)/2]))
	case "a slow body":
		if _, err := conn.Write([]byte(head("/mutate", len(review)))); err == nil {
			slowly(review)
		}
	case "half a MiB":
		_, _ = conn.Write([]byte(head("/validate", 1<<20) + `"` + strings.Repeat("x", 512<<10)))
	case "an endless one":
		if _, err := conn.Write([]byte("POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")); err != nil {
			return
		}
		for {
			if _, err := conn.Write([]byte("1\r\n[\r\n")); err != nil {
				return
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
}

// TestEveryPathIsFed sends 16 MiB to every path of every port, also to those
// that want no body.
func TestEveryPathIsFed(t *testing.T) {
	s := start(t)
	before := s.memory(t, "VmHWM")
	garbage := []byte(strings.Repeat("x", 16<<20))
	var seen tally
	for _, at := range []struct{ address, path string }{
		{s.webhook, "/validate"}, {s.webhook, "/mutate"}, {s.webhook, "/"}, {s.webhook, "/nowhere"}, {s.webhook, "/healthz"},
		{s.health, "/healthz"}, {s.health, "/readyz"}, {s.health, "/nowhere"}, {s.metrics, "/metrics"}, {s.metrics, "/nowhere"},
	} {
		for range 4 {
			conn, err := net.Dial("tcp", at.address)
			if err != nil {
				t.Fatal(err)
			}
			if at.address == s.webhook {
				conn = tls.Client(conn, s.tls)
			}
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			go func() {
				_, _ = conn.Write([]byte(head(at.path, len(garbage))))
				_, _ = conn.Write(garbage)
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("%s: no answer: %v", at.path, err)
			} else {
				seen.add(at.path + " " + resp.Status[:3])
			}
			_ = conn.Close()
		}
	}
	grown := s.memory(t, "VmHWM") - before
	t.Logf("16 MiB to each path: %s; %d KiB more memory", &seen, grown>>10)
	if grown > 64<<20 {
		t.Errorf("16 MiB at a time have taken %d MiB", grown>>20)
	}
	if err := ask(s.client(1), "https://"+s.webhook+"/validate"); err != nil {
		t.Error(err)
	}
}
