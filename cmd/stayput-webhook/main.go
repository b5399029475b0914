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
func run(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "stayput-webhook",
		Short:         "Answer the API server's admission requests",
		Version:       cli.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(serve.Command(nil), serve.ProbeCommand())
	return root.ExecuteContext(ctx)
}
