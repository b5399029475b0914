package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLintAgainstTheCluster lints a StatefulSet alone, whose Service only the
// cluster has.
func TestLintAgainstTheCluster(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, strings.Replace(headlessService, "clusterIP: None, ", "", 1))
	file := filepath.Join(t.TempDir(), "mysql.yaml")
	manifest := strings.Replace(readFile(t, "testdata", "mysql.yaml"), "{name: mysql}", "{name: mysql, namespace: "+ns+"}",
		1)
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	lint := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), env.Binary, append([]string{"lint", file}, args...)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+env.Cluster.Kubeconfig())
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := lint(); err != nil || strings.Contains(out, "deny: ") {
		t.Errorf("alone: %v\n%s", err, out)
	}
	out, err := lint("--against-cluster")
	if err == nil {
		t.Errorf("not denied for the Service of the cluster:\n%s", out)
	}
	contains(t, out, "deny: statefulset-service-headless", `Invalid value: "mysql-h"`)
}
