package hostile

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Witnesses are the well-behaved clients of a server under attack: each asks,
// waits for the answer and a moment, and asks again.
type witnesses struct {
	name  string
	stop  chan struct{}
	group sync.WaitGroup
	mu    sync.Mutex
	took  []time.Duration
	errs  []error
}

// witness starts n clients with connections of their own, which they have before
// the attack begins, as API servers do.
func (s *server) witness(n int, pause time.Duration) *witnesses {
	return s.witnessWith(s.client(n), "well-behaved clients", n, pause)
}

// newcomers are witnesses that open a connection for each request.
func (s *server) newcomers(n int, pause time.Duration) *witnesses {
	client := s.client(0)
	client.Transport.(*http.Transport).DisableKeepAlives = true
	return s.witnessWith(client, "those that open a connection for each request", n, pause)
}

func (s *server) witnessWith(client *http.Client, name string, n int, pause time.Duration) *witnesses {
	w := &witnesses{name: name, stop: make(chan struct{})}
	var connected sync.WaitGroup
	connected.Add(n)
	defer connected.Wait()
	for range n {
		w.group.Go(func() {
			for first := true; ; first = false {
				select {
				case <-w.stop:
					return
				case <-time.After(pause):
				}
				start := time.Now()
				err := ask(client, "https://"+s.webhook+"/validate?timeout=10s")
				w.mu.Lock()
				w.took = append(w.took, time.Since(start))
				if err != nil {
					w.errs = append(w.errs, err)
				}
				w.mu.Unlock()
				if first {
					connected.Done()
				}
			}
		})
	}
	return w
}

func ask(client *http.Client, url string) error {
	resp, err := client.Post(url, "application/json", strings.NewReader(review))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return judged(resp)
}

// report ends the clients and logs what they have seen. There must be no error,
// and no more than a second at the 99th percentile where that is the proof.
func (w *witnesses) report(t *testing.T) {
	t.Helper()
	close(w.stop)
	w.group.Wait()
	if len(w.took) == 0 {
		t.Fatal("nobody has asked")
	}
	slices.Sort(w.took)
	at := func(q float64) time.Duration {
		return w.took[int(q*float64(len(w.took)-1))].Round(10 * time.Microsecond)
	}
	t.Logf("%s: %d requests, %d errors, p50 %s, p99 %s, max %s", w.name, len(w.took), len(w.errs), at(.5), at(.99), at(1))
	for i, err := range w.errs {
		if i < 3 {
			t.Errorf("%s: %v", w.name, err)
		}
	}
	if proof() && at(.99) > time.Second {
		t.Errorf("%s: p99 is %s, more than a second", w.name, at(.99))
	}
}

// A tally counts what became of attackers.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[what]++
}

// MarshalJSON implements [json.Marshaler].
func (t *tally) MarshalJSON() ([]byte, error) { return json.Marshal(t.counts) }

// UnmarshalJSON implements [json.Unmarshaler].
func (t *tally) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &t.counts) }

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprint(t.counts)
}
