package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLightLinksNoCluster holds that the small program links nothing that takes longer
// to start than a chart to review.
func TestLightLinksNoCluster(t *testing.T) {
	deps := func(tags string) (all []string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags, ".").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	heavy := []string{"k8s.io/client-go/", "sigs.k8s.io/controller-runtime/", "sigs.k8s.io/kustomize/",
		"github.com/prometheus/", "stayput.dev/serve", "stayput.dev/webhook", "stayput.dev/cluster/cache"}
	count := func(all []string) (n int) {
		for _, dep := range all {
			for _, prefix := range heavy {
				if strings.HasPrefix(dep, prefix) {
					n++
				}
			}
		}
		return n
	}
	if all := deps("light"); count(all) > 0 {
		t.Errorf("it links %d packages of %v", count(all), heavy)
	}
	if n := count(deps("")); n < 100 {
		t.Errorf("the whole program links %d such packages: are they called otherwise?", n)
	}
}

// TestLightAlone takes the small program away from the whole one: what it has by itself
// goes on, and the rest is an error that says what is missing.
func TestLightAlone(t *testing.T) {
	alone := filepath.Join(t.TempDir(), "stayput")
	if err := os.Link(program, alone); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), alone, args...)
		cmd.Dir, cmd.Env = "testdata", []string{"PATH=" + t.TempDir(), "KUBECONFIG=/nonexistent"}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	for _, args := range [][]string{{"--version"}, {"rules"}, {"lint", "--help"}} {
		if code, out := run(args...); code != 0 {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	missing := "this needs the program stayput-cluster, which is neither beside"
	for _, args := range [][]string{{}, {"--help"}, {"audit"}, {"lint", "-k", "."}, {"lint", ".", "--against-cluster"},
		{"mutate", "-k", "."}} {
		if code, out := run(args...); code != 2 || !strings.Contains(out, missing) {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
}

// TestLightBecomesTheWhole holds that what the small program hands over keeps its name,
// arguments, input and exit code: all other tests of processes are run by it, too.
func TestLightBecomesTheWhole(t *testing.T) {
	plugin := filepath.Join(t.TempDir(), "kubectl-stayput")
	if err := os.Symlink(program, plugin); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), plugin, "audit", "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "kubectl stayput audit") {
		t.Errorf("%v: %s", err, out)
	}
	if got := stayput(t, "", "audit"); got.code != 2 || !strings.Contains(got.stderr, "/nonexistent") &&
		!strings.Contains(got.stderr, "no cluster") {
		t.Errorf("%+v", got)
	}
	if got := stayput(t, "", "no-such-command"); got.code != 2 || !strings.Contains(got.stderr, "unknown command") {
		t.Errorf("%+v", got)
	}
}
