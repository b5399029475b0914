package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// program is the small one, beside the whole one, as they are released. They are built
// once: the tests are about processes.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(build(m))
}

func build(m *testing.M) int {
	if f := flag.Lookup("test.fuzzworker"); f != nil && f.Value.String() == "true" {
		return m.Run() // has the fuzz target alone to run, and no process
	}
	dir, err := os.MkdirTemp("", "stayput-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "stayput")
	version := "-ldflags=-X stayput.dev/internal/cli.version=v0.0.0-test"
	for _, args := range [][]string{{"-tags", "light", "-o", program}, {"-o", program + "-cluster"}} {
		if out, err := exec.Command("go", append([]string{"build", version}, args...)...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build stayput: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// A result is what a process leaves behind.
type result struct {
	code           int
	stdout, stderr string
}

// stayput runs the program in testdata.
func stayput(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = "testdata"
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "KUBECONFIG=/nonexistent", "NO_COLOR=")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{cmd.ProcessState.ExitCode(), out.String(), complaint.String()}
	if strings.Contains(r.stderr, "goroutine ") {
		t.Fatalf("stayput %q panics:\n%s", args, r.stderr)
	}
	return r
}

// An invocation is a command line, and what must come of it.
type invocation struct {
	args   []string
	stdin  string
	code   int
	stdout string // what it must hold
	stderr string
}

// of runs a command of stayput with the arguments.
func (i invocation) of(t *testing.T, command string) result {
	t.Helper()
	r := stayput(t, i.stdin, append([]string{command}, i.args...)...)
	if r.code != i.code || !strings.Contains(r.stdout, i.stdout) || !strings.Contains(r.stderr, i.stderr) {
		t.Errorf("exit code %d, want %d; want stdout with %q, stderr with %q; stdout:\n%s\nstderr:\n%s", r.code, i.code,
			i.stdout, i.stderr, r.stdout, r.stderr)
	}
	return r
}

// golden compares text with a golden file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it anew):\n%s", file, diff)
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
