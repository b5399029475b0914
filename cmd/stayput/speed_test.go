package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// tree writes applications of five manifests each, in as many namespaces or,
// crowded, all in one.
func tree(tb testing.TB, applications int, crowded bool) string {
	tb.Helper()
	dir := tb.TempDir()
	for i := range applications {
		ns := fmt.Sprintf("team-%d", i)
		if crowded {
			ns = "everybody"
		}
		text := strings.NewReplacer("NS", ns, "APP", fmt.Sprintf("app-%d", i)).Replace(application)
		for j, doc := range strings.Split(text, "---\n") {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%d.yaml", i, j)), []byte(doc), 0o644); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return dir
}

const application = `apiVersion: v1
kind: Service
metadata: {name: APP, namespace: NS}
spec: {clusterIP: None, selector: {app: APP}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: APP, namespace: NS}
spec:
  serviceName: APP
  replicas: 3
  selector: {matchLabels: {app: APP}}
  template:
    metadata: {labels: {app: APP}}
    spec:
      containers:
      - name: main
        image: registry.example.org/APP
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: APP, namespace: NS}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: APP}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: APP-front, namespace: NS}
spec:
  selector: {matchLabels: {app: APP-front}}
  template: {metadata: {labels: {app: APP-front}}, spec: {containers: [{name: main, image: front}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: APP-extra, namespace: NS}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
`

func lintTree(tb testing.TB, dir string) {
	l := linter{reportFlags: reportFlags{outputFlags: outputFlags{failOn: "deny", color: "never"}}}
	if err := l.run(context.Background(), []string{dir}, nil, io.Discard, new(bytes.Buffer)); err != nil {
		tb.Fatal(err)
	}
}

// TestLintGrowsLinearly counts allocations, which no busy neighbour changes:
// twice the tree must not cost much more than twice as many.
func TestLintGrowsLinearly(t *testing.T) {
	for name, crowded := range map[string]bool{"a namespace each": false, "one namespace": true} {
		t.Run(name, func(t *testing.T) {
			cost := func(applications int) (allocations, bytes uint64) {
				dir := tree(t, applications, crowded)
				lintTree(t, dir) // what is made once in the life of a process
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				lintTree(t, dir)
				runtime.ReadMemStats(&after)
				return after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc
			}
			n1, b1 := cost(100)
			n2, b2 := cost(200)
			t.Logf("500 manifests: %d allocations, %d bytes; 1000: %d, %d", n1, b1, n2, b2)
			if float64(n2) > 2.2*float64(n1) || float64(b2) > 2.2*float64(b1) {
				t.Errorf("twice the tree takes %.2f times the allocations and %.2f times the memory", float64(n2)/float64(n1),
					float64(b2)/float64(b1))
			}
		})
	}
}

// BenchmarkLint lints 10 000 manifests in one tree.
func BenchmarkLint(b *testing.B) {
	dir := tree(b, 2000, false)
	b.ReportAllocs()
	for b.Loop() {
		lintTree(b, dir)
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "manifests/s")
}
