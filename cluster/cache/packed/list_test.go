package packed_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache/packed"
	"stayput.dev/cluster/cache/trim"
)

// An apiServer lists Pods, in pages where a limit is asked for, and does with one
// list after another what it is told to. Its watches say nothing, until they
// are told to: then that there is another Pod, and that they are too old.
type apiServer struct {
	json bool

	mu      sync.Mutex
	pods    []corev1.Pod
	version int
	asked   []string // the queries of lists
	faults  []string // what happens to the next lists
	expired chan struct{}
}

// A page is smaller than any limit that is asked for.
const page = 7

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("watch") != "" {
		s.watch(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("version=%s limit=%s continue=%s", query.Get("resourceVersion"),
		query.Get("limit"), query.Get("continue")))
	from, _ := strconv.Atoi(query.Get("continue"))
	to := len(s.pods)
	if query.Get("limit") != "" {
		to = min(from+page, to)
	}
	list := &corev1.PodList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"},
		ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}, Items: s.pods[from:to],
	}
	if to < len(s.pods) {
		list.Continue = strconv.Itoa(to)
	}
	fault := ""
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	media, raw := s.encode(list)
	switch fault {
	case "breaks off":
		w.Header().Set("Content-Type", media)
		_, _ = w.Write(raw[:len(raw)*2/3])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "timeout":
		s.refuse(w, apierrors.NewTimeoutError("it took too long", 0))
	case "expired":
		s.refuse(w, apierrors.NewResourceExpired("the continue token is too old"))
	case "forbidden":
		s.refuse(w, apierrors.NewForbidden(corev1.Resource("pods"), "", nil))
	default:
		w.Header().Set("Content-Type", media)
		_, _ = w.Write(raw)
	}
}

func (s *apiServer) encode(obj runtime.Object) (media string, raw []byte) {
	var err error
	if s.json {
		media = runtime.ContentTypeJSON
		raw, err = json.Marshal(obj)
	} else {
		media = runtime.ContentTypeProtobuf
		raw, err = runtime.Encode(protobuf.NewSerializer(cluster.Scheme(), cluster.Scheme()), obj)
	}
	if err != nil {
		panic(err)
	}
	return media, raw
}

func (s *apiServer) refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	media, raw := s.encode(&status)
	w.Header().Set("Content-Type", media)
	w.WriteHeader(int(status.Code))
	_, _ = w.Write(raw)
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	media := runtime.ContentTypeProtobuf + ";stream=watch"
	if s.json {
		media = runtime.ContentTypeJSON
	}
	w.Header().Set("Content-Type", media)
	w.(http.Flusher).Flush()
	select {
	case <-r.Context().Done():
		return
	case <-s.expired:
	}
	s.event(w, watch.Added, &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Namespace: "ns",
			Name: "passing", ResourceVersion: "11"},
	})
	status := apierrors.NewResourceExpired("too old").Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	s.event(w, watch.Error, &status)
}

func (s *apiServer) event(w http.ResponseWriter, kind watch.EventType, obj runtime.Object) {
	_, raw := s.encode(obj)
	event := metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: raw}}
	var err error
	if s.json {
		raw, err = json.Marshal(event)
	} else if raw, err = event.Marshal(); err == nil {
		_, _ = w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(raw))))
	}
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(raw)
}

// TestLists lists from a server, and lists again when the watch is too old, while
// lists break off, or are refused: the store then holds what the last whole list
// has, without what nobody reads, and the handlers were told. A version is never
// asked for, and pages where the whole was too much.
func TestLists(t *testing.T) {
	const whole, first, second, third = "version= limit= continue=", "version= limit=10000 continue=",
		"version= limit=10000 continue=7", "version= limit=10000 continue=14"
	for name, tt := range map[string]struct {
		json          bool
		before, after []string // what happens to lists
		asked         []string
	}{
		"protobuf": {asked: []string{whole, whole}},
		"JSON":     {json: true, asked: []string{whole, whole}},
		"the first breaks off": {before: []string{"breaks off"}, asked: []string{whole, first, second, third, first,
			second}},
		"JSON breaks off": {json: true, after: []string{"breaks off"},
			asked: []string{whole, whole, first, second}},
		"the second breaks off": {after: []string{"breaks off"}, asked: []string{whole, whole, first, second}},
		"a page breaks off": {before: []string{"timeout", "", "breaks off"},
			asked: []string{whole, first, second, first, second, third, first, second}},
		"a page is too old": {before: []string{"timeout", "", "expired"},
			asked: []string{whole, first, second, first, second, third, first, second}},
		"JSON, a page is too old": {json: true, before: []string{"timeout", "", "expired"},
			asked: []string{whole, first, second, first, second, third, first, second}},
		"refused, which is no help": {before: []string{"forbidden"}, asked: []string{whole, whole, whole}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &apiServer{json: tt.json, version: 10, expired: make(chan struct{}, 1), faults: tt.before}
			var all []string
			for n := range 20 {
				all = append(all, fmt.Sprintf("ns/pod-%d", n))
				server.pods = append(server.pods, corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("pod-%d", n), ResourceVersion: "1"},
					Spec:       corev1.PodSpec{Hostname: "w1"}, Status: corev1.PodStatus{PodIP: "1"},
				})
			}
			informer := informerOf(t, server)
			if err := informer.SetTransform(clear); err != nil {
				t.Fatal(err)
			}
			var told diary
			if _, err := informer.AddEventHandler(told.handler()); err != nil {
				t.Fatal(err)
			}
			run(t, informer)
			if keys := sortedText(informer.GetStore().ListKeys()); !slices.Equal(keys, sortedText(all)) {
				t.Fatalf("synced with %q", keys) // at once: this is what is relied on
			}
			server.mu.Lock()
			for n := range server.pods {
				server.pods[n].ResourceVersion, server.pods[n].Spec.Hostname = "2", "w2"
			}
			server.pods = append(server.pods[2:12:12], corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "new"}})
			server.version, server.faults = 20, tt.after
			server.mu.Unlock()
			server.expired <- struct{}{}
			eventually(t, func() bool { return informer.LastSyncResourceVersion() == "20" })
			if keys, want := sortedText(informer.GetStore().ListKeys()),
				sortedText(append(all[2:12:12], "ns/new")); !slices.Equal(keys, want) {
				t.Errorf("it holds %q, want %q", keys, want)
			}
			for _, obj := range informer.GetStore().List() {
				if p := obj.(*corev1.Pod); p.Name != "new" && p.Spec.Hostname != "w2" || p.Status.PodIP != "" {
					t.Errorf("this is stored: %v", p)
				}
			}
			if found, err := informer.GetIndexer().ByIndex(words, "w1"); err != nil || len(found) > 0 {
				t.Errorf("found by what it was: %v, %v", found, err)
			}
			server.mu.Lock()
			if !slices.Equal(server.asked[:min(len(tt.asked), len(server.asked))], tt.asked) {
				t.Errorf("asked for %q, want %q", server.asked, tt.asked)
			}
			server.mu.Unlock()
			count := map[string]int{}
			for _, line := range told.read() {
				count[line[:3]]++
			}
			if count["add"] != 22 || count["upd"] != 10 || count["del"] != 11 {
				t.Errorf("told of %v", count)
			}
		})
	}
}

// informerOf returns an informer of a server's Pods.
func informerOf(t *testing.T, server *apiServer) *packed.Informer {
	t.Helper()
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	config := &rest.Config{Host: web.URL, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeProtobuf}}
	if server.json {
		config.ContentType = runtime.ContentTypeJSON
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return trim.Transport(next, next) })
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return packed.New(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return c.CoreV1().Pods("").List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.CoreV1().Pods("").Watch(ctx, o)
		},
	}, &corev1.Pod{}, indexers())
}

// run runs an informer until the test ends, and waits until it has synced.
func run(t *testing.T, informer *packed.Informer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { informer.RunWithContext(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	if !cache.WaitFor(ctx, "", informer.HasSyncedChecker()) {
		t.Fatal("not synced")
	}
}

// TestEmptyList lists what there is none of.
func TestEmptyList(t *testing.T) {
	informer := informerOf(t, &apiServer{version: 10, expired: make(chan struct{}, 1)})
	run(t, informer)
	eventually(t, func() bool { return informer.LastSyncResourceVersion() == "10" })
	if keys := informer.GetStore().ListKeys(); len(keys) > 0 {
		t.Errorf("it holds %q", keys)
	}
}
