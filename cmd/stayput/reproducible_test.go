package main

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuildIsReproducible builds what is released in two directories, and
// expects the same bytes; and the bill of materials of these bytes to name the
// modules that go.mod requires.
func TestBuildIsReproducible(t *testing.T) {
	files, err := exec.Command("git", "-C", "../..", "ls-files", "--cached", "--others", "--exclude-standard", "--full-name",
		"Makefile", "go.mod", "go.sum", "*.go", "*/testdata/*.yaml", "report/html/*", "tools/sbom/*").Output()
	if err != nil {
		t.Fatal(err)
	}
	var sums [2][32]byte
	var bom []byte
	for i := range sums {
		dir := filepath.Join(t.TempDir(), strings.Repeat("a", i+1))
		for _, file := range strings.Fields(string(files)) {
			data, err := os.ReadFile(filepath.Join("../..", file))
			if os.IsNotExist(err) {
				continue // deleted, and not committed yet
			}
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, file, string(data))
		}
		make := exec.Command("make", "-s", "sbom", "VERSION=v1.2.3", "BIN=bin/stayput")
		make.Dir = dir
		if out, err := make.CombinedOutput(); err != nil {
			t.Fatalf("make sbom: %v\n%s", err, out)
		}
		binary, err := os.ReadFile(filepath.Join(dir, "bin/stayput"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(binary)
		if bom, err = os.ReadFile(filepath.Join(dir, "bin/stayput.cdx.json")); err != nil {
			t.Fatal(err)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds differ: %x and %x", sums[0], sums[1])
	}
	var got struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(bom, &got); err != nil || got.BOMFormat != "CycloneDX" {
		t.Fatalf("no bill of materials: %v\n%.300s", err, bom)
	}
	names := map[string]bool{}
	for _, c := range got.Components {
		names[c.Name] = c.Version != "" && strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@")
	}
	for _, name := range []string{"std", "k8s.io/api", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/spf13/cobra"} {
		if !names[name] {
			t.Errorf("%s is not in the bill of materials", name)
		}
	}
}
