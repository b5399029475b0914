package packed_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"stayput.dev/webhook/cluster/packed"
	"stayput.dev/webhook/cluster/trim"
)

// An apiServer lists Pods page by page, and can break off a list. Its watches say
// nothing but that they are too old, when they are told to.
type apiServer struct {
	mu      sync.Mutex
	pods    []corev1.Pod
	version int
	breaks  int      // how many lists are broken off from now on
	asked   []string // the queries of lists
	expired chan struct{}
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "" {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf+";stream=watch")
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-s.expired:
			_, _ = w.Write(gone())
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	query := r.URL.Query()
	s.asked = append(s.asked, fmt.Sprintf("rv=%q limit=%s continue=%s", query.Get("resourceVersion"), query.Get("limit"), query.Get("continue")))
	const page = 7
	from, _ := strconv.Atoi(query.Get("continue"))
	to := min(from+page, len(s.pods))
	list := &corev1.PodList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"},
		ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}, Items: s.pods[from:to],
	}
	if to < len(s.pods) {
		list.Continue = strconv.Itoa(to)
	}
	raw, err := runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), list)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	if from > 0 && s.breaks > 0 {
		s.breaks--
		_, _ = w.Write(raw[:len(raw)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(raw)
}

// gone is the event of a watch that is too old.
func gone() []byte {
	raw, err := runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: http.StatusGone,
	})
	if err != nil {
		panic(err)
	}
	event, err := (&metav1.WatchEvent{Type: string(watch.Error), Object: runtime.RawExtension{Raw: raw}}).Marshal()
	if err != nil {
		panic(err)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(event))), event...)
}

// TestListIsStoredWhileItIsRead lists several pages from a server, some of which
// break off, and lists again when the watch is too old: the store then holds what
// the last whole list has, without what nobody reads, and the handlers were told.
func TestListIsStoredWhileItIsRead(t *testing.T) {
	server := &apiServer{version: 10, expired: make(chan struct{})}
	for n := range 20 {
		server.pods = append(server.pods, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("pod-%d", n), ResourceVersion: "1"},
			Spec:       corev1.PodSpec{Hostname: "w1", Containers: []corev1.Container{{Name: "trimmed"}}},
		})
	}
	web := httptest.NewServer(server)
	defer web.Close()
	config := &rest.Config{Host: web.URL, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeProtobuf}}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return trim.Transport(next, next) })
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	informer := packed.New(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return c.CoreV1().Pods("").List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.CoreV1().Pods("").Watch(ctx, o)
		},
	}, &corev1.Pod{}, indexers())
	var told diary
	if _, err := informer.AddEventHandler(told.handler()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { informer.RunWithContext(ctx) })
	if !cache.WaitFor(ctx, "", informer.HasSyncedChecker()) {
		t.Fatal("not synced")
	}
	holds := func(version string, names ...string) func() bool {
		return func() bool {
			return informer.LastSyncResourceVersion() == version && slices.Equal(sortedText(informer.GetStore().ListKeys()), sortedText(names))
		}
	}
	var all []string
	for n := range 20 {
		all = append(all, fmt.Sprintf("ns/pod-%d", n))
	}
	eventually(t, holds("10", all...))
	for _, obj := range informer.GetStore().List() {
		if p := obj.(*corev1.Pod); p.Spec.Hostname != "w1" || len(p.Spec.Containers) > 0 {
			t.Fatalf("this is stored: %v", p.Spec)
		}
	}
	server.mu.Lock()
	for n := range server.pods {
		server.pods[n].ResourceVersion, server.pods[n].Spec.Hostname = "2", "w2"
	}
	server.pods, server.version, server.breaks = append(server.pods[2:15:15], corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "new"}}), 20, 1
	server.mu.Unlock()
	close(server.expired)
	eventually(t, holds("20", append(all[2:15:15], "ns/new")...))
	found, err := informer.GetIndexer().ByIndex(words, "w1")
	if err != nil || len(found) > 0 {
		t.Errorf("found by what it was: %v, %v", found, err)
	}
	// What is there now, at once; then what is not older than that; but in pages,
	// after a list was broken off.
	want := []string{
		`rv="" limit= continue=`, `rv="" limit=500 continue=7`, `rv="" limit=500 continue=14`, `rv="10" limit=500 continue=`, `rv="" limit=500 continue=7`,
		`rv="" limit=10000 continue=`, `rv="" limit=10000 continue=7`,
	}
	server.mu.Lock()
	if !slices.Equal(server.asked[:len(want)], want) {
		t.Errorf("asked for %q, want %q", server.asked, want)
	}
	server.mu.Unlock()
	count := map[string]int{}
	for _, line := range told.read() {
		count[line[:3]]++
	}
	if count["add"] != 21 || count["upd"] != 13 || count["del"] != 7 {
		t.Errorf("told of %v", count)
	}
}
