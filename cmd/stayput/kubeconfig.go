package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var errNoCluster = errors.New("no cluster: give --kubeconfig, set KUBECONFIG, or run in a Pod")

func registerKubeconfig(flags *pflag.FlagSet, file *string) {
	flags.StringVar(file, "kubeconfig", "",
		"kubeconfig file; without it, $KUBECONFIG, ~/.kube/config or the service account of the Pod")
}

// connection returns how a command asks the API server that a context of a
// kubeconfig names, or errNoCluster. Empty stands for what kubectl would use.
func connection(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errNoCluster
	}
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	config.UserAgent = "stayput/" + versionText()
	config.QPS, config.Burst = 50, 100
	return config, nil
}
