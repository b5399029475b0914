package trim_test

import (
	"bytes"
	"io"
	"net/http"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/randfill"

	"stayput.dev/webhook/cluster"
	"stayput.dev/webhook/cluster/trim"
)

type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// throughTrim returns what comes of a watch.
func throughTrim(t *testing.T, media string, body io.Reader) ([]byte, error) {
	t.Helper()
	next := answers(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(body)}, nil
	})
	resp, err := trim.Transport(next).RoundTrip(nil)
	if err != nil {
		t.Fatal(err)
	}
	return io.ReadAll(resp.Body)
}

const watchMedia = "application/vnd.kubernetes.protobuf;stream=watch"

// events encodes objects as the API server does in a watch.
func events(t *testing.T, kind watch.EventType, objs ...client.Object) []byte {
	t.Helper()
	var stream bytes.Buffer
	frames := protobuf.LengthDelimitedFramer.NewFrameWriter(&stream)
	for _, obj := range objs {
		gvk, _, err := scheme.Scheme.ObjectKinds(obj)
		if err != nil {
			t.Fatal(err)
		}
		obj.GetObjectKind().SetGroupVersionKind(gvk[0])
		raw, err := runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), obj)
		if err != nil {
			t.Fatal(err)
		}
		event, err := (&metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: raw}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := frames.Write(event); err != nil {
			t.Fatal(err)
		}
	}
	return stream.Bytes()
}

// stripped decodes the objects of a watch as client-go does, and strips them.
func stripped(t *testing.T, stream []byte) (objs []any) {
	t.Helper()
	frames := protobuf.LengthDelimitedFramer.NewFrameReader(io.NopCloser(bytes.NewReader(stream)))
	buf := make([]byte, 16<<20)
	for {
		n, err := frames.Read(buf)
		if err == io.EOF {
			return objs
		}
		var event metav1.WatchEvent
		if err != nil || event.Unmarshal(buf[:n]) != nil {
			t.Fatalf("read an event: %v", err)
		}
		obj, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), event.Object.Raw)
		if err != nil {
			t.Fatal(err)
		}
		o, err := cluster.Strip(obj)
		if err != nil {
			t.Fatal(err)
		}
		objs = append(objs, event.Type, o)
	}
}

// TestTrim holds that nothing is trimmed but what Strip removes, whatever is in
// an object, and that a Pod becomes a small one.
func TestTrim(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0.2).NumElements(0, 3).MaxDepth(15).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewQuantity(c.Int63n(1<<40), resource.BinarySI)
		},
		func(v *intstr.IntOrString, c randfill.Continue) { *v = intstr.FromInt32(c.Int31()) },
		func(m *metav1.ManagedFieldsEntry, c randfill.Continue) {
			*m = metav1.ManagedFieldsEntry{Manager: []string{"kubectl", "kube-controller-manager"}[c.Intn(2)], FieldsV1: &metav1.FieldsV1{}}
			m.FieldsV1.SetRawString(`{"f:spec":{"f:accessModes":{}}}`)
		},
	)
	for _, like := range []client.Object{
		&corev1.Pod{}, &corev1.Node{}, &corev1.Service{}, &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{},
		&corev1.Namespace{}, &appsv1.StatefulSet{}, &appsv1.Deployment{},
	} {
		var objs []client.Object
		for range 50 {
			obj := reflect.New(reflect.TypeOf(like).Elem()).Interface().(client.Object)
			fill.Fill(obj)
			objs = append(objs, obj)
		}
		for _, kind := range []watch.EventType{watch.Added, watch.Deleted, watch.Bookmark} {
			whole := events(t, kind, objs...)
			part, err := throughTrim(t, watchMedia, iotest.HalfReader(bytes.NewReader(whole)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(stripped(t, whole), stripped(t, part)); diff != "" {
				t.Errorf("%T (-whole +trimmed):\n%s", like, diff)
			}
			if _, pod := like.(*corev1.Pod); pod && kind == watch.Added && len(part) > len(whole)/5 {
				t.Errorf("%d bytes of Pods became %d", len(whole), len(part))
			}
			if kind == watch.Bookmark && !bytes.Equal(whole, part) {
				t.Errorf("%T: a bookmark was trimmed", like)
			}
		}
	}
}

// TestTrimLeaves sends what is no watch of objects, which comes through as it is,
// with the error that it ends in.
func TestTrimLeaves(t *testing.T) {
	whole := events(t, watch.Added, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"b": "c"}}})
	odd := append([]byte{0, 0, 0, 5}, "hello"...)
	huge := append([]byte{0xff, 0, 0, 0}, bytes.Repeat([]byte("x"), 100_000)...)
	for name, tt := range map[string]struct {
		media string
		body  []byte
		err   error
	}{
		"a list":                   {runtime.ContentTypeProtobuf, whole, nil},
		"JSON":                     {"application/json", []byte("{}"), nil},
		"nothing":                  {watchMedia, []byte{}, nil},
		"no event":                 {watchMedia, odd, nil},
		"an event too large":       {watchMedia, huge, nil},
		"an event that is cut off": {watchMedia, whole[:len(whole)-1], io.ErrUnexpectedEOF},
	} {
		got, err := throughTrim(t, tt.media, bytes.NewReader(tt.body))
		if err != tt.err || err == nil && !bytes.Equal(got, tt.body) {
			t.Errorf("%s: %q, %v; want %v", name, got, err, tt.err)
		}
	}
	if got, err := throughTrim(t, watchMedia, bytes.NewReader(whole[:3])); err != io.ErrUnexpectedEOF {
		t.Errorf("part of a length: %q, %v", got, err)
	}
}
