package paper

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"stayput.dev/e2e/harness"
)

const dropped = runtime.ContentTypeProtobuf + ";drop=metadata.managedFields"

// managed is a cluster of a size, with managed fields.
func managed(tb testing.TB, size Size) *Cluster {
	tb.Helper()
	data, err := os.ReadFile("../payloads/cluster.json")
	if err != nil {
		tb.Fatal(err)
	}
	objects, err := Read("cluster.json", data)
	if err != nil {
		tb.Fatal(err)
	}
	if objects, err = Fill(objects, size); err != nil {
		tb.Fatal(err)
	}
	if err := Manage(objects); err != nil {
		tb.Fatal(err)
	}
	c, err := Start(objects)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Stop)
	return c
}

// get asks for a list.
func (c *Cluster) get(path, accept string, w http.ResponseWriter) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	c.ServeHTTP(w, r)
}

// TestListsWithoutManagedFields: they are left out where that is asked for, and stay
// with the objects.
func TestListsWithoutManagedFields(t *testing.T) {
	c := managed(t, Size{StatefulSets: 1, Replicas: 1, Namespaces: 1})
	for _, tt := range []struct {
		accept string
		want   bool
	}{{dropped, false}, {runtime.ContentTypeProtobuf, true}, {dropped, false}} {
		w := httptest.NewRecorder()
		c.get("/api/v1/pods", tt.accept, w)
		decoded, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), w.Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		list := decoded.(*corev1.PodList)
		if len(list.Items) < 2 {
			t.Fatalf("%d Pods", len(list.Items))
		}
		for _, pod := range list.Items {
			fields := ""
			for _, entry := range pod.ManagedFields {
				fields += entry.FieldsV1.GetRawString()
			}
			if strings.Contains(fields, `"f:containers":{"k:{\"name\":`) != tt.want || !tt.want && fields != "" ||
				pod.Name == "" || len(pod.Spec.Containers) == 0 {
				t.Errorf("%s: the managed fields of Pod %q: %s", tt.accept, pod.Name, fields)
			}
		}
	}
}

// A counter is a response that goes nowhere.
type counter struct {
	header http.Header
	bytes  int64
}

func (c *counter) Header() http.Header { return c.header }
func (c *counter) WriteHeader(int)     {}
func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

// BenchmarkLists encodes what Stayput lists before it is ready, as every API server up to
// Kubernetes 1.37 sends it, and as one sends it that leaves out managed fields.
func BenchmarkLists(b *testing.B) {
	c := managed(b, Size{StatefulSets: 1000, Replicas: 10, Namespaces: 100})
	for _, bm := range []struct{ name, accept string }{{"all", runtime.ContentTypeProtobuf}, {"dropped", dropped}} {
		b.Run(bm.name, func(b *testing.B) {
			w := &counter{header: http.Header{}}
			start := cpu(b)
			for b.Loop() {
				for _, path := range []string{"/api/v1/pods", "/api/v1/persistentvolumeclaims", "/api/v1/persistentvolumes",
					"/api/v1/services", "/apis/apps/v1/statefulsets"} {
					c.get(path, bm.accept, w)
				}
			}
			b.ReportMetric((cpu(b)-start).Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(float64(w.bytes)/float64(b.N)/(1<<20), "MiB/op")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	used, err := harness.CPU(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	return used
}
