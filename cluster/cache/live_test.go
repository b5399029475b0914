package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"stayput.dev/bench/paper"
	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
)

// A general reader counts the questions that are left to it.
type general struct {
	cluster.Reader
	asked []string
}

var errGeneral = errors.New("left to general")

func (g *general) Get(_ context.Context, key types.NamespacedName, _ cluster.Object) error {
	g.asked = append(g.asked, key.String())
	return errGeneral
}

func (g *general) List(_ context.Context, _ cluster.ObjectList, selected cluster.Selection) error {
	text, _ := selected.Text()
	g.asked = append(g.asked, selected.Namespace+"/?"+text)
	return errGeneral
}

func TestLive(t *testing.T) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"},
		Spec: corev1.ServiceSpec{ClusterIP: "None", Selector: map[string]string{"app": "db"}}}
	labelled := svc.DeepCopy()
	labelled.Name, labelled.Labels = "web", map[string]string{"tier": "front"}
	elsewhere := labelled.DeepCopy()
	elsewhere.Namespace = "other"
	on, err := paper.Start([]cluster.Object{svc, labelled, elsewhere,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer on.Stop()
	for _, prefix := range []string{"", "/", "/clusters/one", "/clusters/one/"} {
		proxy := httptest.NewServer(http.StripPrefix(strings.TrimSuffix(prefix, "/"), http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				if r.UserAgent() != rest.DefaultKubernetesUserAgent() {
					t.Errorf("%q: %s %s: the user agent is %q", prefix, r.Method, r.URL, r.UserAgent())
				}
				on.ServeHTTP(w, r)
			})))
		defer proxy.Close()
		other := &general{}
		live, err := cache.Live(&rest.Config{Host: proxy.URL + prefix}, other)
		if err != nil {
			t.Fatal(err)
		}
		var got corev1.Service
		if err := live.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "db"}, &got); err != nil ||
			got.Kind != "" {
			t.Errorf("%q: %v %v", prefix, err, got)
		}
		if err := live.Get(t.Context(), types.NamespacedName{Name: "shop"}, &corev1.Namespace{}); err != nil {
			t.Errorf("%q: %v", prefix, err)
		}
		if err := live.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "no"}, &corev1.Service{}); !apierrors.
			IsNotFound(err) {
			t.Errorf("%q: %v", prefix, err)
		}
		front, err := labels.Parse("tier in (front, back),!db")
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			selected cluster.Selection
			want     string
		}{
			{cluster.Selection{}, "other/web shop/db shop/web"},
			{cluster.InNamespace("shop"), "shop/db shop/web"},
			{cluster.Selection{Namespace: "shop", Labels: front}, "shop/web"},
			{cluster.Selection{Labels: labels.Everything()}, "other/web shop/db shop/web"},
			{cluster.InNamespace("nowhere"), ""},
		} {
			var (
				list  corev1.ServiceList
				names []string
			)
			err := live.List(t.Context(), &list, tt.selected)
			for i := range list.Items {
				names = append(names, cluster.KeyOf(&list.Items[i]).String())
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); err != nil || got != tt.want || list.ResourceVersion == "" {
				t.Errorf("%q: list %v: %v, %q, and it should be %q", prefix, tt.selected, err, got, tt.want)
			}
		}
		if len(other.asked) > 0 {
			t.Errorf("%q: left to the general reader: %q", prefix, other.asked)
		}
		for _, left := range []struct {
			selected cluster.Selection
			list     cluster.ObjectList
		}{
			{cluster.Selection{}, &storagev1.VolumeAttributesClassList{}}, // may not be served
			{cluster.InNamespace("../.."), &corev1.ServiceList{}},
			{cluster.InNamespace("shop"), &corev1.NamespaceList{}},
			{cluster.Selection{Labels: labels.Nothing()}, &corev1.ServiceList{}},
		} {
			if err := live.List(t.Context(), left.list, left.selected); !errors.Is(err, errGeneral) {
				t.Errorf("%q: list %v %T: %v", prefix, left.selected, left.list, err)
			}
		}
		for _, left := range []struct {
			key types.NamespacedName
			obj cluster.Object
		}{
			{types.NamespacedName{Name: "fast"}, &storagev1.VolumeAttributesClass{}}, // may not be served
			{types.NamespacedName{Namespace: "shop", Name: "../pods/db"}, &corev1.Service{}},
			{types.NamespacedName{Namespace: "shop", Name: "a%2fb"}, &corev1.Service{}},
			{types.NamespacedName{Namespace: "..", Name: "db"}, &corev1.Service{}},
			{types.NamespacedName{Name: "db"}, &corev1.Service{}},
			{types.NamespacedName{}, &corev1.Namespace{}},
		} {
			if err := live.Get(t.Context(), left.key, left.obj); !errors.Is(err, errGeneral) {
				t.Errorf("%q: %v %T: %v", prefix, left.key, left.obj, err)
			}
		}
		if got.Spec.ClusterIP != "None" || got.Spec.Selector["app"] != "db" { // later answers are read into the same memory
			t.Errorf("%q: the first object has become %v", prefix, got)
		}
	}
}

// TestLiveLeavesErrors answers in other ways than with an object, or with a
// Status about it: none is a finding that it does not exist.
func TestLiveLeavesErrors(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a proxy's 404":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such page", 404) },
		"JSON":              func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"kind":"Service"}`)) },
		"overloaded":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"a broken message":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("k8s\x00\xff\xff")) },
		"a hang-up":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"nothing":           func(http.ResponseWriter, *http.Request) {},
		"another's absence": absentOther(t),
		"part of a list":    pageOf(t),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			other := &general{}
			live, err := cache.Live(&rest.Config{Host: server.URL}, other)
			if err != nil {
				t.Fatal(err)
			}
			err = live.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "db"}, &corev1.Service{})
			if !errors.Is(err, errGeneral) || len(other.asked) != 1 {
				t.Errorf("%v, and the general reader was asked %d times", err, len(other.asked))
			}
			err = live.List(t.Context(), &corev1.ServiceList{}, cluster.InNamespace("shop"))
			if !errors.Is(err, errGeneral) || len(other.asked) != 2 {
				t.Errorf("a list: %v, and the general reader was asked %d times", err, len(other.asked)-1)
			}
		})
	}
}

// pageOf answers with a list of which there is more.
func pageOf(t *testing.T) http.HandlerFunc {
	list := &corev1.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"},
		ListMeta: metav1.ListMeta{Continue: "more"}, Items: []corev1.Service{{}}}
	var body bytes.Buffer
	if err := protobuf.NewSerializer(nil, nil).Encode(list, &body); err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body.Bytes()) }
}

// absentOther says that the path of another object has none.
func absentOther(t *testing.T) http.HandlerFunc {
	on, err := paper.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(on.Stop)
	return func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path += "-2"
		on.ServeHTTP(w, r)
	}
}

// A blockingReader lets reads begin, and end one by one with an object as it was
// when they began.
type blockingReader struct {
	cluster.Reader
	mu      sync.Mutex
	version string
	began   chan chan struct{}
}

func (g *blockingReader) set(version string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.version = version
}

func (g *blockingReader) Get(_ context.Context, _ types.NamespacedName, obj cluster.Object) error {
	obj.SetResourceVersion(g.read())
	return nil
}

func (g *blockingReader) List(_ context.Context, list cluster.ObjectList, selected cluster.Selection) error {
	if text, _ := selected.Text(); selected.Namespace != "shop" || text != "app=db" {
		return fmt.Errorf("asked for %q in %q", text, selected.Namespace)
	}
	list.SetResourceVersion(g.read())
	return nil
}

func (g *blockingReader) read() string {
	g.mu.Lock()
	version := g.version
	g.mu.Unlock()
	end := make(chan struct{})
	g.began <- end
	<-end
	return version
}

// TestShared holds that reads are shared with those who came before they began, and with
// nobody else.
func TestShared(t *testing.T) {
	reads := map[string]func(context.Context, cluster.Reader) (string, error){
		"an object": func(ctx context.Context, r cluster.Reader) (string, error) {
			var obj corev1.Service
			err := r.Get(ctx, types.NamespacedName{Name: "db"}, &obj)
			return obj.ResourceVersion, err
		},
		"a list": func(ctx context.Context, r cluster.Reader) (string, error) {
			var list corev1.PodList
			selected := cluster.Selection{Namespace: "shop", Labels: labels.SelectorFromSet(labels.Set{"app": "db"})}
			err := r.List(ctx, &list, selected)
			return list.ResourceVersion, err
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testShared(t, read) })
		})
	}
}

func testShared(t *testing.T, read func(context.Context, cluster.Reader) (string, error)) {
	g := &blockingReader{version: "1", began: make(chan chan struct{})}
	shared := cache.Shared(g)
	get := func(ctx context.Context) <-chan string {
		got := make(chan string, 1)
		go func() {
			version, err := read(ctx, shared)
			if err != nil {
				version = err.Error()
			}
			got <- version
		}()
		return got
	}
	first := get(t.Context())
	endFirst := <-g.began
	g.set("2") // after the first read has begun, and before the others are asked
	gone, leave := context.WithCancel(t.Context())
	others := []<-chan string{get(gone), get(t.Context()), get(t.Context())}
	synctest.Wait() // they wait
	leave()
	if got := <-others[0]; got != context.Canceled.Error() {
		t.Errorf("one who left got %s", got)
	}
	close(endFirst)
	if got := <-first; got != "1" {
		t.Errorf("the first got %s", got)
	}
	endSecond := <-g.began
	late := get(t.Context())
	g.set("3")
	synctest.Wait()
	close(endSecond)
	for _, other := range others[1:] {
		if got := <-other; got != "2" {
			t.Errorf("one who came after the first read began got %s", got)
		}
	}
	close(<-g.began)
	if got := <-late; got != "3" {
		t.Errorf("one who came after the second read began got %s", got)
	}
	// A read that hangs holds nobody up for long.
	hung := get(t.Context())
	endHung := <-g.began
	next := get(t.Context())
	close(<-g.began)
	if got := <-next; got != "3" {
		t.Errorf("beside a read that hangs: %s", got)
	}
	close(endHung)
	<-hung
	close(<-g.began) // the read that was meant for who did not wait
}
