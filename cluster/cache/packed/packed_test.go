package packed_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	source "k8s.io/client-go/tools/cache/testing"

	"stayput.dev/cluster/cache/packed"
)

// words are the keys of an index of which objects have none, one or several,
// and some of them twice.
const words = "words"

func indexers() cache.Indexers {
	return cache.Indexers{
		cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
		words: func(obj any) ([]string, error) {
			return strings.Fields(obj.(*corev1.Pod).Spec.Hostname), nil
		},
	}
}

func pod(r *rand.Rand) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("ns%d", r.IntN(3)),
		Name: fmt.Sprintf("pod-%d", r.IntN(20))}}
	for range r.IntN(4) {
		pod.Spec.Hostname += fmt.Sprintf("w%d ", r.IntN(4))
	}
	pod.Status.PodIP = fmt.Sprint(r.IntN(1000))
	return pod
}

// clear forgets what the transform of these tests removes.
func clear(obj any) (any, error) {
	pod := obj.(*corev1.Pod).DeepCopy() // two informers have it
	pod.Status.PodIP = ""
	return pod, nil
}

// TestStore holds that a packed store finds what client-go's own finds, after
// any changes.
func TestStore(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		want := cache.NewIndexer(cache.DeletionHandlingMetaNamespaceKeyFunc, indexers())
		informer := packed.New(nil, &corev1.Pod{}, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		got := informer.GetIndexer()
		late := r.IntN(200)
		for step := range 200 {
			if step == late { // of what is there by then
				if err := got.AddIndexers(cache.Indexers{words: indexers()[words]}); err != nil {
					t.Fatal(err)
				}
			}
			var list []any
			for range r.IntN(30) {
				p := pod(r)
				list = slices.DeleteFunc(list, func(o any) bool { return name(o) == name(p) })
				list = append(list, p)
			}
			p, what := pod(r), r.IntN(20)
			for _, s := range []cache.Indexer{want, got} {
				var err error
				switch {
				case what == 0:
					err = s.Replace(slices.Clone(list), "7")
				case what < 8:
					err = s.Delete(p)
				case what == 8:
					err = s.Delete(cache.DeletedFinalStateUnknown{Key: p.Namespace + "/" + p.Name, Obj: p})
				case what < 14:
					err = s.Add(p)
				default:
					err = s.Update(p)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		compare(t, seed, want, got, pod(r))
	}
}

func compare(t *testing.T, seed uint64, want, got cache.Indexer, like *corev1.Pod) {
	t.Helper()
	same := func(what string, w, g any) {
		t.Helper()
		if !reflect.DeepEqual(w, g) {
			t.Fatalf("seed %d: %s: %v, want %v", seed, what, g, w)
		}
	}
	same("List", sorted(want.List()), sorted(got.List()))
	same("ListKeys", sortedText(want.ListKeys()), sortedText(got.ListKeys()))
	for ns := range 3 {
		for n := range 20 {
			key := fmt.Sprintf("ns%d/pod-%d", ns, n)
			w, wok, _ := want.GetByKey(key)
			g, gok, err := got.GetByKey(key)
			if err != nil {
				t.Fatal(err)
			}
			same(key, wok, gok)
			same(key, w, g)
		}
		w, _ := want.ByIndex(cache.NamespaceIndex, fmt.Sprintf("ns%d", ns))
		g, err := got.ByIndex(cache.NamespaceIndex, fmt.Sprintf("ns%d", ns))
		same("ByIndex", sorted(w), sorted(g))
		same("ByIndex", nil, err)
	}
	for n := range 4 {
		w, _ := want.ByIndex(words, fmt.Sprintf("w%d", n))
		g, err := got.ByIndex(words, fmt.Sprintf("w%d", n))
		same("ByIndex", sorted(w), sorted(g))
		same("ByIndex", nil, err)
		wk, _ := want.IndexKeys(words, fmt.Sprintf("w%d", n))
		gk, err := got.IndexKeys(words, fmt.Sprintf("w%d", n))
		same("IndexKeys", sortedText(wk), sortedText(gk))
		same("IndexKeys", nil, err)
	}
	w, _ := want.Index(words, like)
	g, err := got.Index(words, like)
	same("Index", sorted(w), sorted(g))
	same("Index", nil, err)
	same("ListIndexFuncValues", sortedText(want.ListIndexFuncValues(words)), sortedText(got.ListIndexFuncValues(words)))
	same("GetIndexers", len(want.GetIndexers()), len(got.GetIndexers()))
}

func name(obj any) string {
	key, _ := cache.MetaNamespaceKeyFunc(obj)
	return key
}

func sorted(objs []any) []any {
	objs = slices.Clone(objs)
	slices.SortFunc(objs, func(a, b any) int { return strings.Compare(name(a), name(b)) })
	return append([]any{}, objs...)
}

func sortedText(s []string) []string {
	s = append([]string{}, s...)
	slices.Sort(s)
	return s
}

func TestStoreErrors(t *testing.T) {
	s := packed.New(nil, &corev1.Pod{}, nil).GetIndexer()
	if err := s.Add("text"); err == nil || !strings.Contains(err.Error(), "store a Pod: a string is none") {
		t.Errorf("Add: %v", err)
	}
	if _, err := s.ByIndex("nothing", ""); err == nil || !strings.Contains(err.Error(),
		`find Pod: no index is called "nothing"`) {
		t.Errorf("ByIndex: %v", err)
	}
	if err := s.AddIndexers(indexers()); err != nil {
		t.Error(err)
	}
	if err := s.AddIndexers(indexers()); err == nil || !strings.Contains(err.Error(), "there is an index") {
		t.Errorf("AddIndexers: %v", err)
	}
}

// A diary writes down what a handler is told.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) handler() cache.ResourceEventHandlerDetailedFuncs {
	line := func(format string, objs ...any) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for i, obj := range objs {
			if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = unknown.Obj
			}
			p := obj.(*corev1.Pod)
			objs[i] = fmt.Sprintf("%s %q %q", name(p), p.Spec.Hostname, p.Status.PodIP)
		}
		d.lines = append(d.lines, fmt.Sprintf(format, objs...))
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(obj any, _ bool) { line("add %s", obj) },
		UpdateFunc: func(was, now any) { line("update %s to %s", was, now) },
		DeleteFunc: func(obj any) { line("delete %s", obj) },
	}
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// TestInformer holds a packed informer to client-go's own: beside the same
// source, both hold the same objects and tell their handlers the same story,
// those that come late, too.
func TestInformer(t *testing.T) {
	src := source.NewFakeControllerSource()
	r := rand.New(rand.NewPCG(1, 2))
	present := map[string]bool{}
	changes := 0
	change := func() {
		p := pod(r)
		changes++
		switch exists := present[name(p)]; {
		case !exists:
			src.Add(p)
			present[name(p)] = true
		case r.IntN(3) == 0:
			src.Delete(p)
			present[name(p)] = false
		default:
			src.Modify(p)
		}
	}
	for range 40 {
		change()
	}
	// There is a line for each object that is there at first, and for each change.
	lines := func() (n int) {
		for _, is := range present {
			if is {
				n++
			}
		}
		return n - changes
	}
	sinceStart := lines()
	ctx, cancel := context.WithCancel(t.Context())
	informers := []cache.SharedIndexInformer{
		cache.NewSharedIndexInformer(src, &corev1.Pod{}, 0, indexers()),
		packed.New(src, &corev1.Pod{}, indexers()),
	}
	var early, late [2]diary
	var running sync.WaitGroup
	for n, i := range informers {
		if err := i.SetTransform(clear); err != nil {
			t.Fatal(err)
		}
		if _, err := i.AddEventHandler(early[n].handler()); err != nil {
			t.Fatal(err)
		}
		if i.HasSynced() || i.IsStopped() {
			t.Errorf("%T has synced or stopped before it has started", i)
		}
		running.Go(func() { i.RunWithContext(ctx) })
		if !cache.WaitFor(ctx, "", i.HasSyncedChecker()) {
			t.Fatal("not synced")
		}
	}
	for range 200 {
		change()
	}
	know := func(diaries *[2]diary, since int) func() bool {
		return func() bool {
			return len(diaries[0].read()) >= since+changes && len(diaries[1].read()) >= since+changes
		}
	}
	eventually(t, know(&early, sinceStart))
	sinceJoined := lines()
	handles := [2]cache.ResourceEventHandlerRegistration{}
	for n, i := range informers {
		var err error
		if handles[n], err = i.AddEventHandler(late[n].handler()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return handles[0].HasSynced() && handles[1].HasSynced() })
	eventually(t, know(&late, sinceJoined))
	for n := range late { // what was there comes in any order
		late[n].mu.Lock()
		slices.Sort(late[n].lines)
		late[n].mu.Unlock()
	}
	for range 100 {
		change()
	}
	eventually(t, know(&early, sinceStart))
	eventually(t, know(&late, sinceJoined))
	for n, i := range informers {
		if err := i.RemoveEventHandler(handles[n]); err != nil {
			t.Fatal(err)
		}
	}
	before := len(late[1].read())
	for range 20 {
		change()
	}
	eventually(t, know(&early, sinceStart))
	if !reflect.DeepEqual(sorted(informers[0].GetStore().List()), sorted(informers[1].GetStore().List())) {
		t.Error("they hold different objects")
	}
	if n := len(late[1].read()); n != before {
		t.Errorf("a handler that was removed was told %d times", n-before)
	}
	byObject := func(lines []string) map[string][]string {
		of := map[string][]string{}
		for _, l := range lines {
			object := strings.Fields(l)[1]
			of[object] = append(of[object], l)
		}
		return of
	}
	for _, pair := range [][2]*diary{{&early[0], &early[1]}, {&late[0], &late[1]}} {
		want, got := byObject(pair[0].read()), byObject(pair[1].read())
		if len(want) != len(got) {
			t.Errorf("told of %d objects, want %d", len(got), len(want))
		}
		for object, w := range want {
			if g := got[object]; !slices.Equal(w, g) {
				t.Fatalf("%s: told %q\nwant %q", object, g, w)
			}
		}
	}
	cancel()
	running.Wait()
	if !informers[1].IsStopped() {
		t.Error("not stopped")
	}
	if _, err := informers[1].AddEventHandler(late[1].handler()); err == nil {
		t.Error("a stopped informer takes a handler")
	}
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 30*time.Second, true,
		func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		t.Fatal(err)
	}
}
