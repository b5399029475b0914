// Package cli holds what the programs of Stayput have in common: how they
// start and end, their version, and how they find an API server.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// A Run runs a command line until it has ended or its context is done.
type Run func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error

// Main runs the command line of this process, and ends the process.
func Main(run Run) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(ExitCode(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr), os.Stderr))
}

// Execute runs a command line by a program's root command.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root.Version, root.SilenceErrors, root.SilenceUsage = Version(), true, true // Main prints errors
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// ErrFindings is returned if manifests have findings that count. They have been
// printed already.
var ErrFindings = errors.New("findings")

// ExitCode returns 0 for success, 1 for findings and 2 for any other error,
// which it prints.
func ExitCode(err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrFindings):
		return 1
	}
	fmt.Fprintln(stderr, "stayput:", strings.Join(strings.Fields(err.Error()), " ")) // on one line
	return 2
}

// version is set by the linker.
var version string

// Version returns the version of this program, or unknown.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
