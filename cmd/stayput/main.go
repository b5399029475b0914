// Command stayput makes stateful workloads stay put: it keeps their names and
// their data. It is an admission webhook server, and a linter of manifests
// with the same rules.
package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"stayput.dev/internal/cli"
)

func main() { cli.Main(run) }

// newRoot returns the command stayput with all that are under it.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "stayput",
		Short: "Keep the names and the data of stateful workloads",
		Long: `Stayput enforces conventions for stateful workloads on Kubernetes: every Pod
gets a DNS name that stays, and every volume is retained. It runs as an
admission webhook (serve) and over manifests (lint), with the same rules.`,
	}
	root.AddCommand(subcommands()...)
	name(root)
	return root
}

// name returns the command that the user typed: kubectl runs kubectl-stayput as
// kubectl stayput.
func name(root *cobra.Command) {
	if base := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"); strings.HasPrefix(base, "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl stayput"}
	}
}
