package hostile

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFloodOfLargeBodies has 5 000 connections send 3 MiB each and 5 000 send
// nothing (500 in short), all at once, for a minute (ten seconds in short):
// figure R6. Each that is answered or closed is opened again.
func TestFloodOfLargeBodies(t *testing.T) {
	n := either(500, 5000)
	s := start(t)
	idle := s.memory(t, "VmHWM")
	w, others, k := s.witness(8, 5*time.Millisecond), s.newcomers(4, 50*time.Millisecond), s.keepWatch()
	seen := s.attack(t, flood{Bodies: n, Silent: n, For: either(10*time.Second, time.Minute)})
	t.Logf("%d connections that send 3 MiB: %s", n, &seen.Bodies)
	t.Logf("%d that send nothing: %s", n, &seen.Silent)
	k.report(t, idle)
	w.report(t)
	others.report(t)
	if seen.MostOpen < int64(2*n) {
		t.Errorf("%d connections at a time, of %d", seen.MostOpen, 2*n)
	}
}

// TestFloodOfBodiesAlone is the flood without those that send nothing, so that
// more of the bodies get through.
func TestFloodOfBodiesAlone(t *testing.T) {
	n := either(500, 5000)
	s := start(t)
	idle := s.memory(t, "VmHWM")
	w, k := s.witness(8, 5*time.Millisecond), s.keepWatch()
	seen := s.attack(t, flood{Bodies: n, For: either(10*time.Second, time.Minute)})
	t.Logf("%d connections that send 3 MiB: %s", n, &seen.Bodies)
	k.report(t, idle)
	w.report(t)
}

// TestSlowSenders keeps connections busy in every way that costs a client
// nothing: no handshake, half a handshake, half a header, a header that never
// ends, half a body. None lasts, and nobody else notices.
func TestSlowSenders(t *testing.T) {
	n := either(100, 1000)
	attacks := map[string]func(conn net.Conn) net.Conn{
		"no handshake":       func(conn net.Conn) net.Conn { return conn },
		"half a ClientHello": func(conn net.Conn) net.Conn { _, _ = conn.Write([]byte{22, 3, 1, 2, 0, 1, 0}); return conn },
		"no header":          nil,
		"half a header":      nil,
		"a slow header":      nil,
		"half a body":        nil,
		"a slow body":        nil,
		"half a MiB":         nil,
		"an endless body":    nil,
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
						var timeout net.Error
						if errors.As(err, &timeout) && timeout.Timeout() {
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
	case "an endless body":
		if _, err := conn.Write([]byte("POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: " +
			"application/json\r\nTransfer-Encoding: chunked\r\n\r\n")); err != nil {
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
		{s.health, "/healthz"}, {s.health, "/readyz"}, {s.health, "/nowhere"}, {s.metrics, "/metrics"},
		{s.metrics, "/nowhere"},
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
