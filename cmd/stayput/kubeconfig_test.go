package main

import (
	"path/filepath"
	"strings"
	"testing"
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
		if code != 2 || stdout != "" || !strings.Contains(last, errNoCluster.Error()) || strings.Contains(last, "--standalone") != (args[0] == "serve") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

// TestRequestRate holds the commands that a person runs to a rate, and serve,
// whose requests have deadlines, to none.
func TestRequestRate(t *testing.T) {
	file := writeFile(t, "kubeconfig", `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
`)
	command, err := connection(file, "")
	if err != nil || command.QPS <= 0 || command.Burst <= 0 {
		t.Errorf("a command: %+v, %v", command, err)
	}
	serve, err := (&serveFlags{kubeconfig: file}).restConfig()
	if err != nil || serve.QPS >= 0 {
		t.Errorf("serve: %+v, %v", serve, err)
	}
}
