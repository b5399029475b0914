package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"stayput.dev/internal/whole"
)

// maxSize is what the released program may have, in bytes: not much more than
// it has. A program that starts a controller-runtime manager and does nothing
// else has 31.5 million, a third of them the protobuf methods of every kind
// that Kubernetes has. What can double it at once is one use of reflection by
// which the linker must keep every method of every type: html/template's, for
// one. `go build -ldflags=-dumpdep` shows it as <ReflectMethod>.
const maxSize = 42_500_000

// TestBuild has make build the same bytes in two places.
func TestBuild(t *testing.T) {
	whole.NotShort(t, "builds the program twice")
	here, there := filepath.Join("..", ".."), t.TempDir()
	for _, part := range []string{"Makefile", "go.mod", "go.sum", "certs", "cluster", "cmd", "internal", "manifest",
		"mutators", "recovery", "rehearsal", "report", "validators", "webhook"} {
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", filepath.Join(here, part),
			there).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	build := func(root string, env ...string) []byte {
		t.Helper()
		file := filepath.Join(t.TempDir(), "stayput")
		cmd := exec.CommandContext(t.Context(), "make", "-C", root, "build", "BIN="+file, "VERSION=v0.0.0-test")
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	one, other := build(here), build(there, "TZ=Asia/Tokyo", "USER=somebody", "LANG=C")
	if !bytes.Equal(one, other) {
		t.Errorf("%d bytes here, %d bytes there, and not the same", len(one), len(other))
	}
	if len(one) > maxSize {
		t.Errorf("the program has %d bytes, and may have %d", len(one), maxSize)
	}
}
