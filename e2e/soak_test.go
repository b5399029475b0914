package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stayput.dev/e2e/harness"
)

var soak = flag.Duration("soak", 0, "how long TestSoak runs; with STAYPUT_PROOF two hours, else not at all")

// TestSoak keeps one Stayput at work: probes with known verdicts, applications
// that come in random orders and go again, malformed reviews, while etcd and the
// API server are killed in turn. Every verdict is right, and what the process
// holds at the end is what it held when all had happened once.
func TestSoak(t *testing.T) {
	lasts := *soak
	if lasts == 0 && os.Getenv("STAYPUT_PROOF") != "" {
		lasts = 2 * time.Hour
	}
	if lasts == 0 {
		t.Skip("takes as long as -soak says, or two hours with STAYPUT_PROOF=1")
	}
	b := newBare(t, "")
	client := unthrottled(t, b)
	probes := newProbes(t, b, client)
	right(t, probes, "the start")
	l := startLoad(t, probes, 200*time.Millisecond) // this is about hours, not about load
	var applications, malformed atomic.Int64
	l.group.Go(func() { comeAndGo(l.ctx, t, client, &applications) })
	l.group.Go(func() { keepSendingHalves(l.ctx, t, b, &malformed) })

	// Half of the rounds kill etcd, the others the API server.
	round := max(20*time.Second, lasts/60)
	var held []usage
	begun, faults := time.Now(), 0
	for ; time.Since(begun) < lasts; faults++ {
		time.Sleep(round)
		component := []string{"etcd", "kube-apiserver"}[faults%2]
		kill(t, b, component, 3*time.Second)
		right(t, probes, "the death of "+component)
		u := usageOf(t, b)
		held = append(held, u)
		verdicts, none, open := l.counts()
		t.Logf("%6s: %d MiB resident, %d goroutines; %d verdicts, %d requests without one, %d let pass; %d applications, "+
			"%d malformed reviews",
			time.Since(begun).Round(time.Second), u.resident>>20, u.goroutines, verdicts, none, open, applications.Load(),
			malformed.Load())
	}
	l.stop()
	if verdicts, _, _ := l.counts(); verdicts < 100 || applications.Load() == 0 || malformed.Load() == 0 || faults < 4 {
		t.Fatalf("hardly anything was tried: %d verdicts, %d applications, %d malformed reviews, %d faults", verdicts,
			applications.Load(), malformed.Load(), faults)
	}
	// What one round has more than another is garbage and open connections; a
	// leak has it in every round.
	first, last := most(held[:(len(held)+1)/2]), most(held[len(held)/2:])
	if last.resident > 3*first.resident/2 {
		t.Errorf("memory grows: %d MiB in the first half, %d MiB in the second", first.resident>>20, last.resident>>20)
	}
	if last.goroutines > 3*first.goroutines/2 {
		t.Errorf("goroutines grow: %d in the first half, %d in the second", first.goroutines, last.goroutines)
	}
}

// usage is what a process holds.
type usage struct{ resident, goroutines int64 }

func most(of []usage) (m usage) {
	for _, u := range of {
		m.resident, m.goroutines = max(m.resident, u.resident), max(m.goroutines, u.goroutines)
	}
	return m
}

// usageOf reads what Stayput holds from its metrics.
func usageOf(t *testing.T, b *bare) usage {
	t.Helper()
	metrics, err := b.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gauge := func(name string) int64 {
		v, err := harness.Metric(metrics, name)
		if err != nil {
			t.Fatal(err)
		}
		return int64(v)
	}
	return usage{gauge("process_resident_memory_bytes"), gauge("go_goroutines")}
}

// comeAndGo creates well-made applications in random orders and deletes them,
// each step until the API server has taken it: none may be denied.
func comeAndGo(ctx context.Context, t *testing.T, client kubernetes.Interface, count *atomic.Int64) {
	r := rand.New(rand.NewSource(1))
	until := func(what string, step func() error) {
		for ctx.Err() == nil {
			err := step()
			switch {
			case err == nil, apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
				return
			case apierrors.IsForbidden(err):
				t.Errorf("%s: %v", what, err)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	const ns = "app"
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprint("soak-", i)
		steps := application(ctx, client, ns, name)
		for _, at := range r.Perm(len(steps)) {
			until("create "+steps[at].what, steps[at].create)
		}
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
		until("delete the StatefulSet", func() error { return client.AppsV1().StatefulSets(ns).Delete(ctx, name, now) })
		until("delete the Service", func() error { return client.CoreV1().Services(ns).Delete(ctx, name, now) })
		for ordinal := range 2 {
			until("delete a claim", func() error {
				return client.CoreV1().PersistentVolumeClaims(ns).Delete(ctx, fmt.Sprintf("data-%s-%d", name, ordinal), now)
			})
		}
		until("delete the class", func() error { return client.StorageV1().StorageClasses().Delete(ctx, name, now) })
		if ctx.Err() == nil {
			count.Add(1)
		}
	}
}

// keepSendingHalves sends halves of reviews to both webhooks, past the API server,
// each of which must be refused.
func keepSendingHalves(ctx context.Context, t *testing.T, b *bare, count *atomic.Int64) {
	client, err := b.caller(1)
	if err != nil {
		t.Error(err)
		return
	}
	half := []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"",` +
		`"object":{"metadata":{"name":"` + strings.Repeat("x", 100<<10))
	for i := 0; ctx.Err() == nil; i++ {
		url := "https://" + b.Address() + []string{"/validate", "/mutate"}[i%2]
		resp, err := client.Post(url, "application/json", bytes.NewReader(half))
		if err != nil {
			t.Errorf("half a review: %v", err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("half a review: %s", resp.Status)
			return
		}
		count.Add(1)
		time.Sleep(50 * time.Millisecond)
	}
}
