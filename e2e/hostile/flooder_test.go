package hostile

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A flood is what a flooder does to a server.
type flood struct {
	Address string

	// Bodies is how many connections send 3 MiB at any time, and Silent how many
	// send nothing. A connection that is answered, or closed, is replaced.
	Bodies, Silent int

	For time.Duration
}

// A flooded is what a flooder has seen.
type flooded struct {
	Bodies, Silent tally
	MostOpen       int64 // connections at a time, as the client has them
}

// flooder names the variable that makes the test's binary a flooder.
const flooder = "STAYPUT_FLOODER"

// attack runs a flood in a process of its own, as a client that floods a webhook is
// elsewhere: at the lowest priority, so that what is measured on these cores is
// the server and not the flooder. It returns when the flood is over.
func (s *server) attack(t *testing.T, f flood) *flooded {
	t.Helper()
	needFiles(t, uint64(f.Bodies+f.Silent))
	f.Address = s.webhook
	order, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "nice", "-n", "19", self)
	cmd.Env = append(os.Environ(), flooder+"="+string(order), "GOMEMLIMIT=2GiB")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("the flooder: %v\n%.2000s", err, complaint.Bytes())
	}
	seen := new(flooded)
	if err := json.Unmarshal(out.Bytes(), seen); err != nil {
		t.Fatalf("the flooder: %v: %.300s", err, out.Bytes())
	}
	return seen
}

// needFiles makes sure that processes may have so many connections. Go raises
// the soft limit to the hard one by itself; root may raise that, for the
// processes that it starts too.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	n += 1000 // for what there is beside connections
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max >= n {
		return
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		t.Fatalf("raise the limit of open files from %d to %d (ulimit -Hn): %v", limit.Max, n, err)
	}
}

// careless is TLS at the least that it costs a client.
var careless = &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}

// runFlooder is the flooder's process.
func runFlooder(order string) error {
	var f flood
	if err := json.Unmarshal([]byte(order), &f); err != nil {
		return err
	}
	var seen flooded
	var open, most atomic.Int64
	dial := func() (net.Conn, error) {
		conn, err := net.DialTimeout("tcp", f.Address, 30*time.Second)
		if err != nil {
			return nil, err
		}
		for now := open.Add(1); ; {
			if was := most.Load(); now <= was || most.CompareAndSwap(was, now) {
				break
			}
		}
		return conn, nil
	}
	// All connect before the first says anything.
	var connected, group sync.WaitGroup
	connected.Add(f.Silent + f.Bodies)
	ended := sync.OnceValue(func() time.Time { return time.Now().Add(f.For) })
	keep := func(n int, t *tally, do func(conn *tls.Conn, i int) string) {
		for i := range n {
			group.Go(func() {
				conn, err := dial()
				connected.Done()
				connected.Wait()
				for ; time.Now().Before(ended()); conn, err = dial() {
					if err != nil {
						t.add("refused")
						continue
					}
					t.add(strings.ReplaceAll(do(tls.Client(conn, careless), i), conn.LocalAddr().String(), "X"))
					_ = conn.Close()
					open.Add(-1)
				}
			})
		}
	}
	keep(f.Silent, &seen.Silent, func(conn *tls.Conn, _ int) string {
		_ = conn.SetDeadline(ended())
		if err := conn.Handshake(); err != nil {
			return "no handshake"
		}
		_, err := conn.Read(make([]byte, 1))
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return "open to the end"
		}
		return "closed"
	})
	bodies := costlyBodies()
	keep(f.Bodies, &seen.Bodies, func(conn *tls.Conn, i int) string {
		_ = conn.SetDeadline(ended().Add(30 * time.Second))
		return send(conn, bodies[i%len(bodies)])
	})
	group.Wait()
	seen.MostOpen = most.Load()
	return json.NewEncoder(os.Stdout).Encode(&seen)
}

// costlyBodies are of 3 MiB and of both kinds that cost most: a long string,
// which is read and scanned in full, and a wide list, which is denied for its
// width.
func costlyBodies() [][]byte {
	const size = 3 << 20
	start := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","kind":{"group":"",` +
		`"version":"v1","kind":"Pod"},"operation":"CREATE","object":{"apiVersion":"v1","kind":"Pod","x":`
	return [][]byte{
		[]byte(start + `"` + strings.Repeat("x", size) + `"}}}`),
		[]byte(start + `[` + strings.Repeat("{},", size/3) + `{}]}}}`),
	}
}

// send sends a body on a connection and says what came of it.
func send(conn net.Conn, body []byte) string {
	go func() {
		if _, err := fmt.Fprint(conn, head("/validate?timeout=30s", len(body))); err == nil {
			_, _ = conn.Write(body)
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "cut off: " + err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
		return "429 without Retry-After"
	}
	return resp.Status[:3]
}
