package docs

import (
	"os"
	"os/exec"
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
	notes, err := exec.Command("../.ci/release-notes", newest[1]).CombinedOutput()
	if err != nil || len(notes) < 1000 {
		t.Errorf("%v: %s", err, notes)
	}
	if _, err := exec.Command("../.ci/release-notes", "v99.0.0").Output(); err == nil {
		t.Error("a version that the changelog does not have was released")
	}
}
