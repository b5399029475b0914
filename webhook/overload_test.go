package webhook

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"stayput.dev/internal/whole"
	"stayput.dev/validators"
)

// apiServer returns the client that the API server asks webhooks with: where
// the answer is 429 or 5xx with Retry-After, it sends the request again, up to ten
// times within the webhook's timeout.
// Source: k8s.io/apiserver@v0.37.1 pkg/util/webhook/client.go.
func apiServer(t *testing.T, s *Server, client *http.Client, clients int) *rest.RESTClient {
	t.Helper()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = clients
	c, err := rest.RESTClientForConfigAndClient(&rest.Config{
		Host: "https://" + s.Listener.Addr().String(),
		QPS:  -1,
		ContentConfig: rest.ContentConfig{
			GroupVersion: &schema.GroupVersion{},
			NegotiatedSerializer: runtime.NewSimpleNegotiatedSerializer(runtime.SerializerInfo{
				MediaType: runtime.ContentTypeJSON, Serializer: scheme.Codecs.LegacyCodec()}),
		},
	}, client)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestThreeTimesTheCapacity has three times as many ask at a time as there are
// slots, each again as soon as it has its answer: figure R7. A client that finds
// no slot waits for one or is told to ask again; at most one in a thousand goes
// without a verdict, and none comes after the deadline (R8). A rule that takes
// 20 ms is the capacity, so that it is not that of the machine.
func TestThreeTimesTheCapacity(t *testing.T) {
	whole.NotShort(t, "is busy for three seconds")
	const slots, timeout = 8, 10 * time.Second
	length := 3 * time.Second
	if os.Getenv("STAYPUT_PROOF") != "" {
		length = time.Minute
	}
	w := newWebhook(t)
	w.Limits.InFlight = slots
	w.Policy.Rules = []*validators.Rule{ruleOf(validators.Warn, func(*validators.Pass, *corev1.Pod) error {
		time.Sleep(20 * time.Millisecond)
		return nil
	})}
	s, client, stop := startServer(t, w.Handler(), time.Millisecond)
	defer func() { _ = stop() }()
	api := apiServer(t, s, client, 3*slots)
	var group sync.WaitGroup
	var mu sync.Mutex
	var answered, late int
	var failures []error
	until := time.Now().Add(length)
	for range 3 * slots {
		group.Go(func() {
			for time.Now().Before(until) {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				start := time.Now()
				raw, err := api.Post().AbsPath(ValidatePath).Timeout(timeout).SetHeader("Content-Type",
					"application/json").Body([]byte(createPod)).Do(ctx).Raw()
				cancel()
				mu.Lock()
				if time.Since(start) > timeout {
					late++
				}
				if err == nil && strings.Contains(string(raw), `"allowed":true`) {
					answered++
				} else {
					failures = append(failures, err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	total := answered + len(failures)
	t.Logf("%d clients of %d slots for %s: %d verdicts (%.0f a second), %d failures (%.3f %%), %d after the deadline",
		3*slots, slots, length, answered, float64(answered)/length.Seconds(), len(failures),
		100*float64(len(failures))/float64(total), late)
	if len(failures)*1000 > total || late > 0 {
		t.Errorf("the first failure: %v", append(failures, nil)[0])
	}
}

// TestABodyThatIsHeldUpIsAskedForAgain has an API server that is held up in the
// middle of its first request, for longer than a body may take, and has time
// left: the kind proof failed one creation of 31 445 so.
func TestABodyThatIsHeldUpIsAskedForAgain(t *testing.T) {
	whole.NotShort(t, "waits six seconds")
	t.Parallel()
	s, client, stop := startServer(t, newWebhook(t).Handler(), time.Millisecond)
	defer func() { _ = stop() }()
	api := apiServer(t, s, client, 1)
	const padding = 8 << 10 // more than the transport holds back
	var held atomic.Int64
	transport := client.Transport
	client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if held.Add(1) == 1 {
			body := r.Body
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(body, padding), readerFunc(func([]byte) (int, error) {
				time.Sleep(bodyTimeout + time.Second)
				return 0, io.EOF
			}), body))
		}
		return transport.RoundTrip(r)
	})
	raw, err := api.Post().AbsPath(ValidatePath).Timeout(10*time.Second).SetHeader("Content-Type",
		"application/json").Body([]byte(strings.Repeat(" ", padding) + createPod)).Do(t.Context()).Raw()
	if err != nil || !strings.Contains(string(raw), `"allowed":true`) {
		t.Errorf("%v: %s", err, raw)
	}
	if n := held.Load(); n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestLargeBodiesDoNotKeepOthersOut holds all the memory that there is for large
// bodies: another is asked to come again before it is read, and an ordinary
// one is answered.
func TestLargeBodiesDoNotKeepOthersOut(t *testing.T) {
	w := newWebhook(t)
	h := w.Handler()
	large := review(podKind + `,"operation":"CREATE","object":{"apiVersion":"v1","kind":"Pod","x":"` +
		strings.Repeat("x", 3<<20) + `"}`)
	if rec := post(t, h, ValidatePath, large); rec.Code != http.StatusOK {
		t.Fatalf("a large body: %d %s", rec.Code, rec.Body)
	}
	others := reservation{limiter: w.limiter}
	if !others.extend(w.limiter.large.size) {
		t.Fatal("nothing is in flight, and yet there is no memory")
	}
	if rec := post(t, h, ValidatePath, large); rec.Code != http.StatusTooManyRequests ||
		rec.Header().Get("Retry-After") == "" {
		t.Errorf("a large body too many: %d %v", rec.Code, rec.Header())
	}
	if rec := post(t, h, ValidatePath, createPod); rec.Code != http.StatusOK {
		t.Errorf("an ordinary body: %d %s", rec.Code, rec.Body)
	}
	others.release()
	if rec := post(t, h, ValidatePath, large); rec.Code != http.StatusOK {
		t.Errorf("a large body once there is room: %d %s", rec.Code, rec.Body)
	}
	for _, p := range []pool{w.limiter.large, w.limiter.ordinary} {
		if !p.free.TryAcquire(p.size) {
			t.Errorf("of %d bytes, some are held by nobody", p.size)
		}
	}
}
