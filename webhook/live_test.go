//go:build unix

package webhook

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/bench/paper"
	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/validators"
)

// A changing reader reads what a test puts there, and counts.
type changing struct {
	mu sync.Mutex
	cluster.Reader
	asked []string
}

func (c *changing) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() == nil { // or it is a read ahead, which nobody waits for any more
		c.asked = append(c.asked, kindName(obj))
	}
	return c.Reader.Get(ctx, key, obj)
}

// become lets the API server have other objects, and forgets what it was asked.
func (c *changing) become(t *testing.T, objs []cluster.Object) {
	t.Helper()
	snap := newWebhook(t, objs...).Environment.Source
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Reader, c.asked = snap, nil
}

func cacheObjects(t testing.TB) []cluster.Object {
	t.Helper()
	objs, err := paper.Read("cluster.json", readPayload(t, "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	return objs
}

func without[T cluster.Object](objs []cluster.Object, name string) (rest []cluster.Object) {
	for _, obj := range objs {
		if _, is := obj.(T); !is || obj.GetName() != name {
			rest = append(rest, obj)
		}
	}
	return rest
}

// TestNothingIsRemembered creates and deletes, between two requests, what an
// answer rests on and the cache does not show: the answer changes, and each
// object is asked for once.
func TestNothingIsRemembered(t *testing.T) {
	objs := cacheObjects(t)
	nowhere := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "nowhere", Namespace: "shop"},
		Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}}
	noSet := without[*appsv1.StatefulSet](objs, "db")
	for _, tt := range []struct {
		name, payload      string
		cached             []cluster.Object
		one, other         []cluster.Object // what the API server has
		saysOne, saysOther string
		reads              string // in the first case
	}{
		{"a missing Service is created", "statefulset-warned", objs, objs, append(objs[:len(objs):len(objs)], nowhere),
			"statefulset-service-missing=warn", "statefulset-service-selector=warn", "Service"},
		{"the StatefulSet of a claim is deleted", "claim-delete-denied", objs, objs, noSet,
			"claim-in-use=deny", `"allowed":true`, "Namespace PersistentVolume StatefulSet"},
		{"a StatefulSet that needs the claim is created", "claim-delete-denied", noSet, noSet, objs,
			`"allowed":true`, "claim-in-use=deny", "StatefulSet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWebhook(t, tt.cached...)
			world := &changing{}
			w.Environment.Source, w.Environment.Live = cache.Cached(w.Environment.Source), cache.Shared(world)
			h := w.Handler()
			ask := func(objs []cluster.Object, want string) {
				t.Helper()
				world.become(t, objs)
				c := newSender(t, h, tt.payload)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c.req = c.req.WithContext(ctx)
				if c.do(t); !strings.Contains(c.sink.body.String(), want) {
					t.Errorf("does not say %s: %s", want, c.sink.body.String())
				}
			}
			for range 2 {
				ask(tt.one, tt.saysOne)
				if got := strings.Join(slices.Sorted(slices.Values(world.asked)), " "); got != tt.reads {
					t.Errorf("the API server was asked for %q, and should be for %q", got, tt.reads)
				}
				ask(tt.other, tt.saysOther)
			}
		})
	}
}

// TestModeWarnLooksOnce: a denial that will be a warning is not looked at again,
// and is the same warning.
func TestModeWarnLooksOnce(t *testing.T) {
	for mode, want := range map[validators.Mode]struct{ says, reads string }{
		validators.ModeEnforce: {`"allowed":false`, "Namespace PersistentVolume StatefulSet"},
		validators.ModeWarn:    {`"allowed":true`, ""},
	} {
		objs := cacheObjects(t)
		for _, obj := range objs {
			if ns, is := obj.(*corev1.Namespace); is {
				delete(ns.Labels, cluster.LabelMode)
			}
		}
		w := newWebhook(t, objs...)
		w.Policy.Mode = mode
		world := &changing{}
		world.become(t, objs)
		w.Environment.Source, w.Environment.Live = cache.Cached(w.Environment.Source), cache.Shared(world)
		c := newSender(t, w.Handler(), "claim-delete-denied")
		c.do(t)
		if said := c.sink.body.String(); !strings.Contains(said, want.says) || !strings.Contains(said, "claim-in-use: ") {
			t.Errorf("mode %s: it does not say %s: %s", mode, want.says, said)
		}
		if got := strings.Join(slices.Sorted(slices.Values(world.asked)), " "); got != want.reads {
			t.Errorf("mode %s: the API server was asked for %q, and should be for %q", mode, got, want.reads)
		}
	}
}

// TestLiveReadsRunTogether lets no live read end before all of a denial have
// begun, lists too.
func TestLiveReadsRunTogether(t *testing.T) {
	for payload, tt := range map[string]struct {
		reads  int
		denied string
	}{
		"claim-delete-denied": {3, "claim-in-use=deny"},
		// The Service, the Namespace, and Pods that may run; not the Service of the remedy.
		"statefulset-denied": {3, "statefulset-service-headless=deny"},
	} {
		t.Run(payload, func(t *testing.T) {
			w := shop(t)
			meeting := &meeting{Reader: w.Environment.Source, all: tt.reads, met: make(chan struct{})}
			w.Environment.Source, w.Environment.Live = cache.Cached(w.Environment.Source), meeting
			c := newSender(t, w.Handler(), payload)
			if c.do(t); !strings.Contains(c.sink.body.String(), tt.denied) {
				t.Errorf("%s", c.sink.body.String())
			}
			if meeting.all != 0 {
				t.Errorf("%d reads more than awaited", -meeting.all)
			}
		})
	}
}

type meeting struct {
	cluster.Reader
	mu  sync.Mutex
	all int
	met chan struct{}
}

func (m *meeting) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	if err := m.meet(ctx); err != nil {
		return err
	}
	return m.Reader.Get(ctx, key, obj)
}

func (m *meeting) List(ctx context.Context, list cluster.ObjectList, selected cluster.Selection) error {
	if err := m.meet(ctx); err != nil {
		return err
	}
	return m.Reader.List(ctx, list, selected)
}

func (m *meeting) meet(ctx context.Context) error {
	m.mu.Lock()
	if m.all--; m.all == 0 {
		close(m.met)
	}
	m.mu.Unlock()
	select {
	case <-m.met:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// BenchmarkLive is eight requests at a time beside an API server on paper in the
// same process, whose CPU counts, too.
func BenchmarkLive(b *testing.B) {
	on, err := paper.Start(cacheObjects(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(on.Stop)
	config := &rest.Config{Host: on.URL, QPS: -1}
	general, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		b.Fatal(err)
	}
	live, err := cache.Live(config, cache.Reader(general))
	if err != nil {
		b.Fatal(err)
	}
	w := shop(b)
	w.Environment.Source, w.Environment.Live = cache.Cached(w.Environment.Source), cache.Shared(live)
	h := w.Handler()
	for _, name := range []string{"statefulset-create", "statefulset-warned", "statefulset-denied",
		"claim-delete-denied"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime()
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					c := newSender(b, h, name)
					for range b.N/8 + 1 {
						c.do(b)
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
		})
	}
}
