package localcluster

import (
	"fmt"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// masters is the group that may do everything.
const masters = "system:masters"

// writeKubeconfigs writes a kubeconfig for each user of the API.
func (c *Cluster) writeKubeconfigs(ca *authority) error {
	for file, user := range map[string]struct{ name, group string }{
		"admin":                   {"admin", masters},
		"kube-controller-manager": {"system:kube-controller-manager", ""},
		"kube-scheduler":          {"system:kube-scheduler", ""},
		"kwok":                    {"kwok", masters},
		"coredns":                 {"coredns", masters},
	} {
		var groups []string
		if user.group != "" {
			groups = []string{user.group}
		}
		cert, key, err := ca.client(user.name, groups...)
		if err != nil {
			return fmt.Errorf("make the certificate of %s: %w", user.name, err)
		}
		config := api.NewConfig()
		config.Clusters["localcluster"] = &api.Cluster{Server: "https://" + loopback(c.ports.apiServer),
			CertificateAuthorityData: ca.pem}
		config.AuthInfos[user.name] = &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
		config.Contexts["localcluster"] = &api.Context{Cluster: "localcluster", AuthInfo: user.name}
		config.CurrentContext = "localcluster"
		if err := clientcmd.WriteToFile(*config, c.kubeconfig(file)); err != nil {
			return fmt.Errorf("write the kubeconfig of %s: %w", user.name, err)
		}
	}
	return nil
}

func (c *Cluster) kubeconfig(user string) string {
	return filepath.Join(c.dir, user+".kubeconfig")
}

// adminConfig returns a configuration without the client's own rate limit.
func (c *Cluster) adminConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig("admin"))
	if err != nil {
		return nil, fmt.Errorf("read the admin kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}
