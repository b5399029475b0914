package cli

import "github.com/spf13/pflag"

// RegisterKubeconfig registers the flag that names a kubeconfig file.
func RegisterKubeconfig(flags *pflag.FlagSet, file *string) {
	flags.StringVar(file, "kubeconfig", "",
		"kubeconfig file; without it, $KUBECONFIG, ~/.kube/config or the service account of the Pod")
}
