package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"stayput.dev/internal/cli"
)

// TestTheServerIsTheServer: what reads manifests, recovers volumes or writes
// reports is in stayput, and makes the image no larger.
func TestTheServerIsTheServer(t *testing.T) {
	deps := func(program string) map[string]bool {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "stayput.dev/cmd/"+program).Output()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for dep := range strings.Lines(string(out)) {
			found[strings.TrimSpace(dep)] = true
		}
		return found
	}
	all, server := deps("stayput"), deps("stayput-webhook")
	for _, dep := range []string{
		"sigs.k8s.io/kustomize/api/krusty",
		"github.com/openreports/reports-api/apis/openreports.io/v1alpha1",
		"stayput.dev/manifest", "stayput.dev/recovery", "stayput.dev/rehearsal", "stayput.dev/report",
	} {
		if server[dep] {
			t.Errorf("the server has %s", dep)
		}
		if !all[dep] {
			t.Errorf("not even stayput has %s: is it called something else?", dep)
		}
	}
	for dep := range server { // the types cost a megabyte; the template lets no method go
		if strings.HasPrefix(dep, "github.com/cert-manager/") || dep == "html/template" {
			t.Errorf("the server has %s", dep)
		}
	}
}

// TestCommands: the image is called as it was when it held stayput, and says
// where it no longer does what stayput does.
func TestCommands(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"serve", "--help"}, 0, "--certificates"},
		{[]string{"probe", "--help"}, 0, "--namespace"},
		{[]string{"serve", "--log-level", "loud"}, 2, `--log-level "loud"`},
		{[]string{"serve", "--standalone"}, 2, "unknown flag: --standalone"},
		{[]string{"lint", "."}, 2, `"lint"`},
	} {
		var out, complaint bytes.Buffer
		code := cli.ExitCode(run(t.Context(), tc.args, nil, &out, &complaint), &complaint)
		if said := out.String() + complaint.String(); code != tc.code || !strings.Contains(said, tc.want) {
			t.Errorf("%q: exit code %d, want %d and %q:\n%s", tc.args, code, tc.code, tc.want, said)
		}
	}
}
