//go:build !light

package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"stayput.dev/internal/cli"
	"stayput.dev/serve"
)

// run runs the command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return cli.Execute(ctx, newRoot(), args, stdin, stdout, stderr)
}

// subcommands returns all commands.
func subcommands() []*cobra.Command {
	return []*cobra.Command{serve.Command(snapshotOf), lintCommand(), lspCommand(), auditCommand(), rehearseCommand(),
		mutateCommand(), reviewCommand(), recoverCommand(), rulesCommand(), webhooksCommand(), certsCommand(),
		serve.ProbeCommand()}
}

var linked = outside{list: (*linter).list, kustomize: kustomize, isKustomization: isKustomization}
