package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"stayput.dev/e2e/localcluster"
)

// TestAFullQueue halts the API server that Stayput asks, while another one, as
// a cluster has several, has more reviewed at a time than there are slots, each
// of which has to ask. Every slot is held until the deadline, and yet each
// request is answered before it, with a verdict or with an error that leaves it
// to the failurePolicy or has it sent again: nothing that nobody could confirm
// is allowed. Afterwards all slots are free, and what they held is given back.
func TestAFullQueue(t *testing.T) {
	t.Parallel()
	const (
		slots    = 256 // webhook.DefaultLimits
		hanging  = 2 * slots
		good     = 8
		deadline = 5 * time.Second
		halted   = 15 * time.Second
	)
	b := newBare(t, "")
	probes := newProbes(t, b, unthrottled(t, b))
	right(t, probes, "the start")
	client, err := b.caller(hanging + good)
	if err != nil {
		t.Fatal(err)
	}
	// What may be a StatefulSet's goes when the API server says that there is none.
	asking, alone := deletionOf(t, "data-unheard-of-0"), deletionOf(t, "of-nobody")
	ask := func(body []byte) (what string, took time.Duration) {
		begun := time.Now()
		resp, err := client.Post(fmt.Sprintf("https://%s/validate?timeout=%s", b.Address(), deadline), "application/json",
			bytes.NewReader(body))
		if err != nil {
			return err.Error(), time.Since(begun)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		took = time.Since(begun)
		switch {
		case err != nil:
			return err.Error(), took
		case resp.StatusCode == http.StatusOK && strings.Contains(string(text), `"allowed":true`):
			return "allowed", took
		case resp.StatusCode == http.StatusOK:
			return "denied", took
		case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
			return "to be sent again", took
		case resp.StatusCode == http.StatusInternalServerError && strings.Contains(string(text), "undecided"):
			return "undecided", took
		}
		return fmt.Sprintf("%s: %.200s", resp.Status, text), took
	}
	// askAll sends body from n connections until then, from each at least once.
	type seen struct {
		answers map[string]int
		longest time.Duration
	}
	askAll := func(n int, body []byte, until time.Time) (s seen) {
		s.answers = map[string]int{}
		var group sync.WaitGroup
		var mu sync.Mutex
		for range n {
			group.Go(func() {
				for first := true; first || time.Now().Before(until); first = false {
					what, took := ask(body)
					mu.Lock()
					s.answers[what]++
					s.longest = max(s.longest, took)
					mu.Unlock()
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		group.Wait()
		return s
	}
	only := func(s seen, what string, allowed ...string) {
		t.Logf("%s: %v, the longest took %s", what, s.answers, s.longest.Round(time.Millisecond))
		n := 0
		for _, a := range allowed {
			n += s.answers[a]
		}
		total := 0
		for _, m := range s.answers {
			total += m
		}
		if n != total {
			t.Errorf("%s: %v, which should be %v only", what, s.answers, allowed)
		}
		// On a machine that does other things, the way back takes its time.
		if what != "before" && s.longest > deadline+time.Second {
			t.Errorf("%s: an answer came after %s, and the deadline is %s", what, s.longest, deadline)
		}
	}
	only(askAll(hanging, asking, time.Now()), "before", "allowed")
	client.CloseIdleConnections()
	time.Sleep(time.Second)
	before := usageOf(t, b)
	only(askAll(hanging, asking, time.Now()), "before", "allowed") // opens connections again

	apiserver := b.Cluster.(*localcluster.Cluster).PIDs()["kube-apiserver"]
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(apiserver, s); err != nil {
			t.Error(err)
		}
	}
	signal(syscall.SIGSTOP)
	goOn := sync.OnceFunc(func() { signal(syscall.SIGCONT) })
	t.Cleanup(goOn)
	until := time.Now().Add(halted)
	var group sync.WaitGroup
	var held, others seen
	group.Go(func() { held = askAll(hanging, asking, until) })
	group.Go(func() {
		time.Sleep(time.Second) // when all slots are taken
		others = askAll(good, alone, until)
	})
	group.Wait()
	during := usageOf(t, b)
	goOn()
	client.CloseIdleConnections()
	only(held, "what has to ask", "undecided", "to be sent again")
	only(others, "what has not", "allowed", "to be sent again")
	if held.answers["undecided"] < slots || held.answers["to be sent again"] == 0 {
		t.Errorf("the slots were not full: %v", held.answers)
	}

	right(t, probes, "the API server goes on")
	eventually(t, "as many answers as there are slots", func() error {
		if s := askAll(slots, asking, time.Now()); s.answers["allowed"] != slots {
			return fmt.Errorf("%v", s.answers)
		}
		return nil
	})
	client.CloseIdleConnections()
	var after usage
	eventually(t, "what was held is given back", func() error {
		if after = usageOf(t, b); after.goroutines > before.goroutines*5/4 ||
			after.resident > max(before.resident*3/2, 128<<20) {
			return fmt.Errorf("%d goroutines and %d MiB, before %d and %d MiB", after.goroutines, after.resident>>20,
				before.goroutines, before.resident>>20)
		}
		return nil
	})
	t.Logf("goroutines: %d before, %d with full slots, %d after; resident: %d, %d, %d MiB",
		before.goroutines, during.goroutines, after.goroutines, before.resident>>20, during.resident>>20, after.resident>>20)
}

// deletionOf returns an AdmissionReview of the deletion of a claim.
func deletionOf(t *testing.T, name string) []byte {
	t.Helper()
	claim := claimNamed(name)
	claim.TypeMeta, claim.Namespace = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, "app"
	raw, err := json.Marshal(claim)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "u-1", Kind: metav1.GroupVersionKind{Version: "v1", Kind: claim.Kind},
			Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"},
			Operation: admissionv1.Delete, Namespace: claim.Namespace, Name: claim.Name,
			OldObject: runtime.RawExtension{Raw: raw},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}
