package cache_test

import (
	"os"
	"reflect"
	"runtime"
	"testing"
	"time"

	apiruntime "k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"

	"stayput.dev/bench/paper"
	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
)

// BenchmarkMemory prints how much of the heap an object takes in Stayput's
// informers, with its indexes, and in client-go's own: B/object.
func BenchmarkMemory(b *testing.B) {
	file := "../../bench/payloads/cluster.json"
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	objects, err := paper.Read(file, data)
	if err != nil {
		b.Fatal(err)
	}
	if objects, err = paper.Fill(objects, paper.Size{StatefulSets: 1000, Replicas: 10, Namespaces: 100}); err != nil {
		b.Fatal(err)
	}
	kinds := map[string][]cluster.Object{}
	for _, obj := range append(objects, paper.Jobs(10_000, 100)...) {
		kind := obj.GetObjectKind().GroupVersionKind().Kind
		kinds[kind] = append(kinds[kind], obj)
	}
	type newInformer = func(toolscache.ListerWatcher, apiruntime.Object, time.Duration,
		toolscache.Indexers) toolscache.SharedIndexInformer
	for _, of := range []struct {
		name string
		new  newInformer
	}{{"client-go", toolscache.NewSharedIndexInformer}, {"stayput", cache.NewInformer}} {
		for _, kind := range []string{"Pod", "PersistentVolumeClaim", "PersistentVolume", "StatefulSet", "Service", "CronJob",
			"Job"} {
			b.Run(of.name+"/"+kind, func(b *testing.B) {
				for b.Loop() {
					before := heap()
					informer := fill(b, of.new, kinds[kind])
					b.ReportMetric(float64(heap()-before)/float64(len(kinds[kind])), "B/object")
					runtime.KeepAlive(informer)
				}
			})
		}
	}
}

func fill(b *testing.B, informerOf func(toolscache.ListerWatcher, apiruntime.Object, time.Duration,
	toolscache.Indexers) toolscache.SharedIndexInformer, objects []cluster.Object) toolscache.SharedIndexInformer {
	b.Helper()
	informer := informerOf(nil, objects[0], 0,
		toolscache.Indexers{toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc})
	if err := (cache.Caches{}).Add(objects[0], informer); err != nil {
		b.Fatal(err)
	}
	for _, obj := range objects {
		stripped, err := cache.Strip(decoded(b, obj))
		if err != nil {
			b.Fatal(err)
		}
		if err := informer.GetIndexer().Add(stripped); err != nil {
			b.Fatal(err)
		}
	}
	return informer
}

// decoded returns an object as a watch makes it: it shares nothing with others.
func decoded(b *testing.B, obj cluster.Object) cluster.Object {
	b.Helper()
	type encodes interface {
		cluster.Object
		Marshal() ([]byte, error)
		Unmarshal([]byte) error
	}
	data, err := obj.(encodes).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	made := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(encodes)
	if err := made.Unmarshal(data); err != nil {
		b.Fatal(err)
	}
	return made
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
