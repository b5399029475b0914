package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// TestProgressOnATerminal runs lint with a terminal for its standard error:
// long work shows how far it is, and takes that away again before the report.
func TestProgressOnATerminal(t *testing.T) {
	dir := tree(t, 600, false)
	terminal, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "lint", dir)
	cmd.Stdout, cmd.Stderr = &stdout, theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	shown, err := io.ReadAll(terminal)
	if err != nil && !errors.Is(err, syscall.EIO) { // how a terminal ends
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	for _, want := range []string{"reading", "/3000)", "reviewing"} {
		if !strings.Contains(string(shown), want) {
			t.Errorf("%q is not shown: %q", want, shown)
		}
	}
	// The line that the bar stood on is overwritten with blanks at the end.
	lines := strings.Split(string(shown), "\r")
	if left := strings.Join(lines[max(0, len(lines)-2):], ""); strings.TrimSpace(left) != "" {
		t.Errorf("the bar is left behind: %q", left)
	}
	if strings.ContainsAny(stdout.String(), "\r\x1b") || !strings.Contains(stdout.String(), "3000 objects: ") {
		t.Errorf("the report: %q", stdout.String()[max(0, stdout.Len()-300):])
	}
}
