// Command stayput-webhook is the admission webhook server alone, as the image
// has it: stayput without what reads and reports on manifests.
package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"stayput.dev/internal/cli"
	"stayput.dev/serve"
)

func main() { cli.Main(run) }

// run runs the command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := &cobra.Command{Use: "stayput-webhook", Short: "Answer the API server's admission requests"}
	root.AddCommand(serve.Command(nil), serve.ProbeCommand())
	return cli.Execute(ctx, root, args, stdin, stdout, stderr)
}
