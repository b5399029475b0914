// Command stayput makes stateful workloads stay put: it keeps their names and
// their data. It is an admission webhook server, and a linter of manifests
// with the same rules.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(exitCode(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr), os.Stderr))
}

// errFindings is returned if manifests have findings that count. They have been
// printed already.
var errFindings = errors.New("findings")

// exitCode returns 0 for success, 1 for findings and 2 for any other error,
// which it prints.
func exitCode(err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFindings):
		return 1
	}
	fmt.Fprintln(stderr, "stayput:", strings.Join(strings.Fields(err.Error()), " ")) // on one line
	return 2
}

// run runs the command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:   "stayput",
		Short: "Keep the names and the data of stateful workloads",
		Long: `Stayput enforces conventions for stateful workloads on Kubernetes: every Pod
gets a DNS name that stays, and every volume is retained. It runs as an
admission webhook (serve) and over manifests (lint), with the same rules.`,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(serveCommand(), lintCommand(), lspCommand(), auditCommand(), rehearseCommand(), mutateCommand(),
		reviewCommand(), recoverCommand(),
		rulesCommand(), webhooksCommand(), certsCommand(), probeCommand(), generateCommand())
	name(root)
	return root.ExecuteContext(ctx)
}

// name returns the command that the user typed: kubectl runs kubectl-stayput as
// kubectl stayput.
func name(root *cobra.Command) {
	if base := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"); strings.HasPrefix(base, "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl stayput"}
	}
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
