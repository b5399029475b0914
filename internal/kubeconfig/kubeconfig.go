// Package kubeconfig finds the API server that a command asks.
package kubeconfig

import (
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stayput.dev/internal/cli"
)

// ErrNoCluster says that nothing names a cluster.
var ErrNoCluster = errors.New("no cluster: give --kubeconfig, set KUBECONFIG, or run in a Pod")

// Connection returns how a command asks the API server that a context of a
// kubeconfig names, or ErrNoCluster. Empty stands for what kubectl would use.
func Connection(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, ErrNoCluster
	}
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	config.UserAgent = "stayput/" + cli.Version()
	config.QPS, config.Burst = 50, 100
	return config, nil
}
