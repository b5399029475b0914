//go:build unix

package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	made "stayput.dev/bench/payloads"
	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/mutators"
)

// payloads are AdmissionReviews that a real API server has sent, with the
// cluster that they are about. See bench/payloads/README.md.
const payloads = "../bench/payloads"

func readPayload(tb testing.TB, name string) []byte {
	tb.Helper()
	if annotated, silent := made.Silent[name]; silent {
		data, err := made.Update(readPayload(tb, made.Faulty), annotated)
		if err != nil {
			tb.Fatal(err)
		}
		return data
	}
	data, err := os.ReadFile(filepath.Join(payloads, name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// shop returns a webhook over the cluster of the payloads.
func shop(tb testing.TB) *Webhook {
	tb.Helper()
	manifests, _, err := manifest.ParseManifests("cluster.json", readPayload(tb, "cluster"))
	if err != nil {
		tb.Fatal(err)
	}
	var objs []cluster.Object
	for _, m := range manifests {
		objs = append(objs, m.Object)
	}
	return newWebhook(tb, objs...)
}

// benchmark runs f as a benchmark, and reports the CPU time beside the time that
// passed: it hardly minds what else the machine does.
func benchmark(b *testing.B, f func()) {
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
}

// A sink is a response that goes nowhere.
type sink struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(code int)        { s.code = code }
func (s *sink) Write(p []byte) (int, error) { return s.body.Write(p) }

// A sender sends one payload again and again.
type sender struct {
	handler http.Handler
	req     *http.Request
	body    *bytes.Reader
	sink    sink
}

func newSender(tb testing.TB, h http.Handler, payload string) *sender {
	path := ValidatePath
	if strings.HasSuffix(payload, "-mutate") {
		path = MutatePath
	}
	c := &sender{handler: h, body: bytes.NewReader(readPayload(tb, payload)), sink: sink{header: http.Header{}}}
	c.req = httptest.NewRequest(http.MethodPost, path+"?timeout=10s", c.body)
	c.req.ContentLength = c.body.Size()
	c.req.Header.Set("Content-Type", "application/json")
	return c
}

func (c *sender) do(tb testing.TB) {
	c.body.Seek(0, 0)
	c.sink.body.Reset()
	c.handler.ServeHTTP(&c.sink, c.req)
	if c.sink.code != http.StatusOK {
		tb.Fatalf("%d %s", c.sink.code, c.sink.body.Bytes())
	}
}

func payloadNames(tb testing.TB) (names []string) {
	tb.Helper()
	files, err := filepath.Glob(payloads + "/*.json")
	if err != nil || len(files) < 2 {
		tb.Fatalf("no payloads: %v", err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".json"); name != "cluster" {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(slices.AppendSeq(names, maps.Keys(made.Silent))))
}

// BenchmarkHandler is a whole request but for the network.
func BenchmarkHandler(b *testing.B) {
	h := shop(b).Handler()
	for _, name := range payloadNames(b) {
		b.Run(name, func(b *testing.B) {
			c := newSender(b, h, name)
			b.SetBytes(c.body.Size())
			benchmark(b, func() {
				c.do(b)
			})
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range payloadNames(b) {
		b.Run(name, func(b *testing.B) {
			body := readPayload(b, name)
			b.SetBytes(int64(len(body)))
			benchmark(b, func() {
				if _, no := DefaultLimits().decodeReview(body, room); no != nil {
					b.Fatal(no)
				}
			})
		})
	}
}

// decoded returns the request of a payload.
func decoded(tb testing.TB, payload string) *request {
	tb.Helper()
	req, no := DefaultLimits().decodeReview(readPayload(tb, payload), room)
	if no != nil {
		tb.Fatal(no)
	}
	return req
}

// BenchmarkReview is all rules over a decoded object.
func BenchmarkReview(b *testing.B) {
	w := shop(b)
	w.Handler()
	for _, name := range payloadNames(b) {
		if strings.HasSuffix(name, "-mutate") {
			continue
		}
		b.Run(name, func(b *testing.B) {
			req := decoded(b, name)
			benchmark(b, func() { reviewOnce(b, w, req) })
		})
	}
}

func reviewOnce(b *testing.B, w *Webhook, req *request) {
	if _, err := w.review(w.Environment.View(context.Background(), req.facts()), req); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPatch is the mutators, and the patch of what they set.
func BenchmarkPatch(b *testing.B) {
	w := shop(b)
	for _, name := range payloadNames(b) {
		if !strings.HasSuffix(name, "-mutate") {
			continue
		}
		b.Run(name, func(b *testing.B) {
			req := decoded(b, name)
			benchmark(b, func() {
				result, err := mutators.Apply(w.Environment.View(context.Background(), req.facts()), w.Mutators, req.old, req.obj)
				if err != nil {
					b.Fatal(err)
				}
				patch, err := result.Patch(req.Object.Raw)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(patch); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// room is memory without end.
func room(int64) bool { return true }
