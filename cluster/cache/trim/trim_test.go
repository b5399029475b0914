package trim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/randfill"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/cluster/cache/trim"
)

type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// throughTrim returns what comes of an answer.
func throughTrim(t *testing.T, ctx context.Context, media string, body io.Reader) ([]byte, error) {
	t.Helper()
	next := answers(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {media}},
			Body: io.NopCloser(body)}, nil
	})
	resp, err := trim.Transport(next, next).RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	return io.ReadAll(resp.Body)
}

const watchMedia = "application/vnd.kubernetes.protobuf;stream=watch"

func kindOf(t *testing.T, obj runtime.Object) schema.GroupVersionKind {
	t.Helper()
	gvk, err := cluster.GVK(obj)
	if err != nil {
		t.Fatal(err)
	}
	return gvk
}

func encoded(t *testing.T, obj runtime.Object) []byte {
	t.Helper()
	raw, err := runtime.Encode(protobuf.NewSerializer(cluster.Scheme(), cluster.Scheme()), obj)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// events encodes objects as the API server does in a watch.
func events(t *testing.T, kind watch.EventType, objs ...cluster.Object) []byte {
	t.Helper()
	var stream bytes.Buffer
	frames := protobuf.LengthDelimitedFramer.NewFrameWriter(&stream)
	for _, obj := range objs {
		obj.GetObjectKind().SetGroupVersionKind(kindOf(t, obj))
		raw := encoded(t, obj)
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
		if errors.Is(err, io.EOF) {
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
		o, err := cache.Strip(obj)
		if err != nil {
			t.Fatal(err)
		}
		objs = append(objs, event.Type, o)
	}
}

// ofEachKind calls test with objects of each kind that is trimmed, and of one
// that is not, filled at random.
func ofEachKind(test func(like cluster.Object, objs []cluster.Object)) {
	fill := randfill.NewWithSeed(1).NilChance(0.2).NumElements(0, 3).MaxDepth(15).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewQuantity(c.Int63n(1<<40), resource.BinarySI)
		},
		func(v *intstr.IntOrString, c randfill.Continue) { *v = intstr.FromInt32(c.Int31()) },
		func(m *metav1.ManagedFieldsEntry, c randfill.Continue) {
			*m = metav1.ManagedFieldsEntry{Manager: []string{"kubectl", "kube-controller-manager"}[c.Intn(2)],
				FieldsV1: &metav1.FieldsV1{}}
			m.FieldsV1.SetRawString(`{"f:spec":{"f:accessModes":{}}}`)
		},
		func(of *corev1.PersistentVolumeClaimConditionType, c randfill.Continue) {
			*of = []corev1.PersistentVolumeClaimConditionType{corev1.PersistentVolumeClaimUnused,
				corev1.PersistentVolumeClaimResizing}[c.Intn(2)]
		},
		func(s *corev1.ConditionStatus, c randfill.Continue) {
			*s = []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse}[c.Intn(2)]
		},
	)
	likes := []cluster.Object{&corev1.Secret{}}
	for _, kind := range cluster.Kinds {
		if !kind.Unread {
			likes = append(likes, kind.Object)
		}
	}
	for _, like := range likes {
		var objs []cluster.Object
		for range 50 {
			obj := reflect.New(reflect.TypeOf(like).Elem()).Interface().(cluster.Object)
			fill.Fill(obj)
			objs = append(objs, obj)
		}
		test(like, objs)
	}
}

// TestTrim holds that nothing is trimmed but what Strip removes, whatever is in
// an object, and that a Pod becomes a small one.
func TestTrim(t *testing.T) {
	ofEachKind(func(like cluster.Object, objs []cluster.Object) {
		for _, kind := range []watch.EventType{watch.Added, watch.Deleted, watch.Bookmark} {
			whole := events(t, kind, objs...)
			part, err := throughTrim(t, t.Context(), watchMedia, iotest.HalfReader(bytes.NewReader(whole)))
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
	})
}

// TestTrimLeaves sends what is no watch of objects, which comes through as it is,
// with the error that it ends in.
func TestTrimLeaves(t *testing.T) {
	whole := events(t, watch.Added,
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"b": "c"}}})
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
		got, err := throughTrim(t, t.Context(), tt.media, bytes.NewReader(tt.body))
		if !errors.Is(err, tt.err) || err == nil && !bytes.Equal(got, tt.body) {
			t.Errorf("%s: %q, %v; want %v", name, got, err, tt.err)
		}
	}
	got, err := throughTrim(t, t.Context(), watchMedia, bytes.NewReader(whole[:3]))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("part of a length: %q, %v", got, err)
	}
}

// list encodes a list as the API server does.
func list(t *testing.T, objs ...cluster.Object) []byte {
	t.Helper()
	of := kindOf(t, objs[0])
	of.Kind += "List"
	made, err := cluster.Scheme().New(of)
	if err != nil {
		t.Fatal(err)
	}
	made.GetObjectKind().SetGroupVersionKind(of)
	made.(client.ObjectList).SetResourceVersion("12")
	made.(client.ObjectList).SetContinue("there is more")
	var items []runtime.Object
	for _, obj := range objs {
		items = append(items, obj)
	}
	if err := meta.SetList(made, items); err != nil {
		t.Fatal(err)
	}
	return encoded(t, made)
}

// TestTrimList holds that the items of a list come one by one, and that nothing is
// trimmed of them but what Strip removes; the list comes without them.
func TestTrimList(t *testing.T) {
	ofEachKind(func(like cluster.Object, objs []cluster.Object) {
		whole := list(t, objs...)
		var got []cluster.Object
		bytesOfItems := 0
		ctx := trim.WithItems(t.Context(), func(item []byte) error {
			bytesOfItems += len(item)
			obj := reflect.New(reflect.TypeOf(like).Elem()).Interface().(cluster.Object)
			if err := obj.(interface{ Unmarshal([]byte) error }).Unmarshal(item); err != nil {
				return err
			}
			stripped, err := cache.Strip(obj)
			got = append(got, stripped.(cluster.Object))
			return err
		})
		part, err := throughTrim(t, ctx, runtime.ContentTypeProtobuf, iotest.HalfReader(bytes.NewReader(whole)))
		if err != nil {
			t.Fatal(err)
		}
		rest, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), part)
		if err != nil {
			t.Fatal(err)
		}
		if l := rest.(client.ObjectList); meta.LenList(l) != 0 || l.GetResourceVersion() != "12" ||
			l.GetContinue() != "there is more" {
			t.Errorf("%T: this is left of a list: %v", like, l)
		}
		var want []cluster.Object
		all, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), whole)
		if err != nil {
			t.Fatal(err)
		}
		_ = meta.EachListItem(all, func(item runtime.Object) error {
			stripped, err := cache.Strip(item)
			want = append(want, stripped.(cluster.Object))
			return err
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%T (-whole +trimmed):\n%s", like, diff)
		}
		if _, pod := like.(*corev1.Pod); pod && bytesOfItems > len(whole)/5 {
			t.Errorf("%d bytes of Pods became %d", len(whole), bytesOfItems)
		}
	})
}

// TestTrimListErrors sends what is no list, or a part of one: that is an error, and
// never a list that is shorter than it was.
func TestTrimListErrors(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"b": "c"}}}
	whole := list(t, pod, pod)
	nowhere := trim.WithItems(t.Context(), func([]byte) error { return nil })
	after := len("\x1a\x00\x22\x00") // fields behind the list, which say nothing
	for n := len("k8s\x00"); n < len(whole)-after; n++ {
		if got, err := throughTrim(t, nowhere, runtime.ContentTypeProtobuf, bytes.NewReader(whole[:n])); !errors.Is(err,
			io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %q, %v", n, len(whole), got, err)
		}
	}
	for name, body := range map[string]string{
		"a number":          "k8s\x00\x08\x01",
		"field 0":           "k8s\x00\x02\x00",
		"a long field":      "k8s\x00\x0a\xff\xff\xff\xff\x7f",
		"a long item":       "k8s\x00\x12\x03\x12\x05hello",
		"a number too long": "k8s\x00\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"a list too long":   "k8s\x00\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	} {
		if got, err := throughTrim(t, nowhere, runtime.ContentTypeProtobuf, strings.NewReader(body)); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	full := errors.New("full")
	ctx := trim.WithItems(t.Context(), func([]byte) error { return full })
	if got, err := throughTrim(t, ctx, runtime.ContentTypeProtobuf, bytes.NewReader(whole)); !errors.Is(err, full) {
		t.Errorf("%q, %v", got, err)
	}
	for media, body := range map[string]string{"application/json": `{"kind": "PodList"}`,
		runtime.ContentTypeProtobuf: "hello"} {
		if got, err := throughTrim(t, nowhere, media, strings.NewReader(body)); err != nil || string(got) != body {
			t.Errorf("%s: %q became %q, %v", media, body, got, err)
		}
	}
}
