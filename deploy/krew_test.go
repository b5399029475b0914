package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"stayput.dev/internal/whole"
)

// TestKrew has krew validate the manifest, install this machine's archive, and
// runs what it has installed.
func TestKrew(t *testing.T) {
	whole.Only(t, "krew, which is built from a module of its own")
	dist := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), "KREW_ROOT="+filepath.Join(dist, "root"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("make", "-C", "..", "krew", "VERSION=v0.0.1", "DIST="+dist, "PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH)
	manifest, archive := filepath.Join(dist, "krew.yaml"),
		filepath.Join(dist, "kubectl-stayput_"+runtime.GOOS+"_"+runtime.GOARCH+".tar.gz")
	data, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	sum := regexp.MustCompile("sha256: ([0-9a-f]{64})").FindSubmatch(data)
	if sum == nil {
		t.Fatalf("no checksum of %s:\n%s", archive, data)
	}
	// The other platforms' are built for a release.
	data = regexp.MustCompile("SHA256_[A-Z0-9_]+").ReplaceAll(data, sum[1])
	manifest = filepath.Join(dist, "stayput.yaml") // the plugin's name is the file's
	if err := os.WriteFile(manifest, data, 0o644); err != nil {
		t.Fatal(err)
	}
	run("go", "tool", "-modfile=../tools/krew/go.mod", "validate-krew-manifest", "-skip-install", "-manifest", manifest)
	run("go", "tool", "-modfile=../tools/krew/go.mod", "krew", "install", "--manifest", manifest, "--archive", archive)
	if got := run(filepath.Join(dist, "root", "bin", "kubectl-stayput"),
		"--version"); got != "kubectl stayput version v0.0.1\n" {
		t.Errorf("installed: %q", got)
	}
}
