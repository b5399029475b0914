package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The notes say so where the suite has not passed on the cluster's Kubernetes.
func TestNotesSayWhereTheSuiteHasNotPassed(t *testing.T) {
	untested := regexp.MustCompile(`The whole test suite of Stayput has not passed on Kubernetes (1\.[0-9]+), ` +
		`but on 1\.1, 1\.2;`)
	found := untested.FindStringSubmatch(notes(t, `tested: ["1.1", "1.2"]`))
	if found == nil {
		t.Fatal("nothing is said where it was not tested")
	}
	if out := notes(t, `tested: ["1.1", "`+found[1]+`"]`); strings.Contains(out, "has not passed on") {
		t.Errorf("on a Kubernetes on which it was tested:\n%s", out)
	}
}

// notes returns what helm install prints of a chart that was tested on other
// minors.
func notes(t *testing.T, tested string) string {
	t.Helper()
	path, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "stayput")
	if err := os.CopyFS(dir, os.DirFS("chart")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "files", "versions.yaml"), []byte(tested), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "install", "stayput", dir, "-n", "stayput", "--dry-run=client").
		CombinedOutput()
	if err != nil {
		t.Fatalf("helm install: %v\n%s", err, out)
	}
	_, said, found := strings.Cut(string(out), "NOTES:")
	if !found {
		t.Fatalf("no notes:\n%s", out)
	}
	return said
}
