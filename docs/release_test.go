package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestReleaseNotes prints the notes of the next release as the release workflow
// does: changelog, chart and tag agree on the version.
func TestReleaseNotes(t *testing.T) {
	changes, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## (v\d+\.\d+\.\d+)$`).FindStringSubmatch(string(changes))
	if newest == nil {
		t.Fatal("CHANGELOG.md: no heading is a version such as ## v0.1.0")
	}
	// What is not released yet is taken out in a copy: its heading becomes a version
	// only with the release.
	unreleased := regexp.MustCompile(`(?s)\n## Unreleased\n.*?(\n## v)`)
	tree := t.TempDir()
	for file, edit := range map[string]func([]byte) []byte{
		".ci/release-notes":       bytes.Clone,
		"deploy/chart/Chart.yaml": bytes.Clone,
		"CHANGELOG.md":            func(data []byte) []byte { return unreleased.ReplaceAll(data, []byte("$1")) },
	} {
		data, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, file), edit(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(tree, ".ci", "release-notes")
	notes, err := exec.Command(script, newest[1]).CombinedOutput()
	if err != nil || len(notes) < 1000 {
		t.Errorf("%v: %s", err, notes)
	}
	for _, dir := range []string{tree, ".."} {
		if _, err := exec.Command(filepath.Join(dir, ".ci", "release-notes"), "v99.0.0").Output(); err == nil {
			t.Error("a version that the changelog does not have was released")
		}
	}
	if _, err := exec.Command("../.ci/release-notes", newest[1]).Output(); (err != nil) != unreleased.Match(changes) {
		t.Errorf("while something is unreleased, and only then, %s must be refused: %v", newest[1], err)
	}
}
