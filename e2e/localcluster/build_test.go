package localcluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A module of ten lines is built and cached as Kubernetes is.
func tinyBuilder(t *testing.T, log io.Writer) (*builder, program) {
	t.Helper()
	b, err := newBuilder(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	b.modules, b.cache = t.TempDir(), filepath.Join(t.TempDir(), "cache")
	write(t, filepath.Join(b.modules, "tiny", "go.mod"), "module tiny\n\ngo 1.26\n")
	write(t, filepath.Join(b.modules, "tiny", "go.sum"), "")
	write(t, filepath.Join(b.modules, newestModule, "go.mod"), "require k8s.io/kubernetes v1.99.1\n")
	write(t, filepath.Join(b.modules, "tiny", "main.go"), "package main\n\nfunc main() { println(1) }\n")
	return b, program{"tiny", "tiny", "."}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCacheIsByContent(t *testing.T) {
	var log bytes.Buffer
	b, p := tinyBuilder(t, &log)
	ensure := func() string {
		t.Helper()
		log.Reset()
		bin := Binaries{}
		if err := b.ensure(t.Context(), []program{p}, bin); err != nil {
			t.Fatal(err)
		}
		if !isExecutable(bin["tiny"]) {
			t.Fatalf("%s is not executable", bin["tiny"])
		}
		return bin["tiny"]
	}
	first := ensure()
	if !strings.Contains(log.String(), "building tiny") {
		t.Errorf("the first time it said %q", log.String())
	}
	if again := ensure(); again != first || log.Len() > 0 {
		t.Errorf("the second time it built %s, not %s, and said %q", again, first, log.String())
	}
	write(t, filepath.Join(b.modules, "tiny", "main.go"), "package main\n\nfunc main() { println(2) }\n")
	if changed := ensure(); changed == first {
		t.Errorf("a changed source is built as %s, too", changed)
	}
	left, _ := filepath.Glob(filepath.Join(b.cache, ".build-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBuildersAtOnceBuildOnce(t *testing.T) {
	var log lockedBuffer
	b, p := tinyBuilder(t, &log)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := b.ensure(t.Context(), []program{p}, Binaries{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(log.String(), "building tiny"); n != 1 {
		t.Errorf("built %d times, want once:\n%s", n, log.String())
	}
}

func TestBuildErrors(t *testing.T) {
	t.Run("source that does not compile", func(t *testing.T) {
		b, p := tinyBuilder(t, io.Discard)
		write(t, filepath.Join(b.modules, "tiny", "main.go"), "package main\n\nfunc main() { nosuch() }\n")
		err := b.ensure(t.Context(), []program{p}, Binaries{})
		if err == nil || !strings.Contains(err.Error(), "undefined: nosuch") {
			t.Errorf("got %v, want the compiler's message", err)
		}
		if entries, _ := os.ReadDir(b.cache); len(entries) != 1 || entries[0].Name() != "lock" {
			t.Errorf("the cache has %v, want only its lock", entries)
		}
	})
	t.Run("cancelled while another builds", func(t *testing.T) {
		b, p := tinyBuilder(t, io.Discard)
		if err := os.MkdirAll(b.cache, 0o755); err != nil {
			t.Fatal(err)
		}
		unlock, err := b.lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := b.ensure(ctx, []program{p}, Binaries{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
	})
	t.Run("no go command", func(t *testing.T) {
		t.Setenv("PATH", "")
		_, err := Build(t.Context(), io.Discard, "")
		if err == nil || !strings.Contains(err.Error(), "the go command is needed") {
			t.Errorf("got %v, want that go is needed", err)
		}
	})
}

func TestAssetsAreNotBuilt(t *testing.T) {
	dir := t.TempDir()
	for _, p := range programs(true) {
		write(t, filepath.Join(dir, p.name), "")
		if err := os.Chmod(filepath.Join(dir, p.name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	t.Setenv("PATH", "") // nothing is asked of go
	bin, err := build(t.Context(), io.Discard, programs(true))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs(true) {
		if want := filepath.Join(dir, p.name); bin[p.name] != want {
			t.Errorf("%s is %s, want %s", p.name, bin[p.name], want)
		}
	}
}

// lockedBuffer is a bytes.Buffer for several writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
