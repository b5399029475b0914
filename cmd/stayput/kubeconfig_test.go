package main

import (
	"path/filepath"
	"strings"
	"testing"

	"stayput.dev/internal/kubeconfig"
)

// TestNoCluster runs every command that needs a cluster where there is none.
// Only serve speaks of --standalone, for only serve has it.
func TestNoCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0"},
		{"audit"}, {"recover"}, {"probe"},
		{"lint", "--against-cluster", "../../examples/notes"},
		{"certs", "status"}, {"certs", "rotate-key"}, {"certs", "apply"},
		{"review", "--live", writeFile(t, "review.json", "{}")},
	} {
		code, stdout, stderr := command(t, "", args...)
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		last := lines[len(lines)-1]
		if code != 2 || stdout != "" || !strings.Contains(last, kubeconfig.ErrNoCluster.Error()) ||
			strings.Contains(last, "--standalone") != (args[0] == "serve") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}
