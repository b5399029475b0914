package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
	"stayput.dev/internal/whole"
)

// TestTheAPIServerTakesIt has a real API server judge every object that the
// chart can render, and deploy/install.yaml, by dry run. The namespace is
// restricted, so a Pod that is not would make it warn.
func TestTheAPIServerTakesIt(t *testing.T) {
	whole.NotShort(t, "needs a control plane")
	whole.Only(t, "a control plane, which takes ten minutes to build")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cluster, err := localcluster.Start(ctx, localcluster.Options{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Stop() }()
	kubectl := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, cluster.Kubectl(), append([]string{"--kubeconfig", cluster.Kubeconfig()}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "Warning:") {
			t.Errorf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	for _, file := range definitions(t) {
		kubectl("", "create", "-f", file)
	}
	kubectl("", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
	install, err := os.ReadFile("install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	namespace, _, _ := strings.Cut(string(install), "\n---\n# Source: stayput/templates/poddisruptionbudget.yaml")
	kubectl(namespace, "apply", "-f", "-")
	kubectl("", "create", "--save-config", "serviceaccount", "given", "-n", "stayput")
	kubectl("", "create", "--save-config", "serviceaccount", "stayput-probe", "-n", "stayput")
	kubectl("", "create", "--save-config", "serviceaccount", "guard-probe", "-n", "stayput")
	kubectl("", "apply", "--dry-run=server", "-f", "install.yaml")
	if t.Failed() {
		return
	}
	// One stream for all combinations: each document stands for itself.
	var all strings.Builder
	rendered := 0
	for _, row := range covering() {
		out, err := render(t, valuesOf(t, row))
		if err != nil {
			t.Fatal(err)
		}
		rendered += len(objects(t, out))
		all.WriteString(out + "\n---\n")
	}
	out := kubectl(all.String(), "apply", "--dry-run=server", "-f", "-")
	if n := strings.Count(out, "(server dry run)"); n != rendered {
		t.Errorf("%d objects taken, %d rendered", n, rendered)
	}
	t.Logf("%d objects taken", rendered)
}

// definitions returns the files of the CustomResourceDefinitions that the
// chart's objects need, from the modules of those who define them.
func definitions(t *testing.T) []string {
	t.Helper()
	operator := moduleDir(t, "../tools/crds", "github.com/prometheus-operator/prometheus-operator")
	manager := moduleDir(t, "..", "github.com/cert-manager/cert-manager")
	return []string{
		filepath.Join(operator, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
		filepath.Join(operator, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
		filepath.Join(manager, "deploy/crds/cert-manager.io_certificates.yaml"),
		filepath.Join(manager, "deploy/crds/cert-manager.io_issuers.yaml"),
	}
}

// moduleDir returns where a module is that the go.mod in dir requires.
func moduleDir(t *testing.T, dir, module string) string {
	t.Helper()
	found, err := harness.ModuleDir(t.Context(), dir, module)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
