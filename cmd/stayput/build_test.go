package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"stayput.dev/internal/whole"
)

// maxSize is what the released program stayput-cluster may have, in bytes: not much
// more than it has. A program that starts a controller-runtime manager and does nothing
// else has 31.5 million, a third of them the protobuf methods of every kind
// that Kubernetes has. What can double it at once is one use of reflection by
// which the linker must keep every method of every type: html/template's, for
// one. `go build -ldflags=-dumpdep` shows it as <ReflectMethod>.
const maxSize = 42_000_000

// maxLight is the same of stayput, which starts stayput-cluster for what needs a
// cluster or kustomize.
const maxLight = 29_500_000

// maxServer is the same of the server alone, which is the image.
const maxServer = 36_500_000

// TestBuild has make build the same bytes of the programs in two places.
func TestBuild(t *testing.T) {
	whole.NotShort(t, "builds three programs twice")
	here, there := filepath.Join("..", ".."), t.TempDir()
	for _, part := range []string{"Makefile", "go.mod", "go.sum", "certs", "cluster", "cmd", "internal", "manifest",
		"mutators", "recovery", "rehearsal", "report", "serve", "validators", "webhook"} {
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", filepath.Join(here, part),
			there).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	files := []string{"stayput", "stayput-cluster", "stayput-webhook"}
	build := func(root string, env ...string) (programs [][]byte) {
		t.Helper()
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "make", "-C", root, "build", "build-webhook", "VERSION=v0.0.0-test",
			"BIN="+filepath.Join(dir, files[0]), "WEBHOOK_BIN="+filepath.Join(dir, files[2]))
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, file := range files {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			programs = append(programs, data)
		}
		return programs
	}
	one, other := build(here), build(there, "TZ=Asia/Tokyo", "USER=somebody", "LANG=C")
	for i, most := range []int{maxLight, maxSize, maxServer} {
		if !bytes.Equal(one[i], other[i]) {
			t.Errorf("%s: %d bytes here, %d bytes there, and not the same", files[i], len(one[i]), len(other[i]))
		}
		if len(one[i]) > most {
			t.Errorf("%s has %d bytes, and may have %d", files[i], len(one[i]), most)
		}
	}
}
