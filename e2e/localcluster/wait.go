package localcluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A probe checks a condition once; the error says why it is not met.
type probe func(context.Context) error

// healthClient trusts the cluster's certificates. It opens a connection for every
// request, because components are killed and started again.
func healthClient(ca *authority) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		DisableKeepAlives: true,
	}}
}

// http succeeds when url answers 200.
func (c *Cluster) http(url string) probe {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := c.health.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
			err := fmt.Errorf("%s: %s: %s", url, resp.Status, lastLines(body, 5))
			if resp.StatusCode == http.StatusNotFound {
				err = fmt.Errorf("%w: %w", errNoSuchPath, err)
			}
			return err
		}
		return nil
	}
}

var errNoSuchPath = errors.New("the program is older than the path")

// either is a probe of a path, or, where the program does not know it, of another.
func (c *Cluster) either(url, older string) probe {
	return func(ctx context.Context) error {
		err := c.http(url)(ctx)
		if errors.Is(err, errNoSuchPath) {
			err = c.http(older)(ctx)
		}
		return err
	}
}

// answers succeeds when CoreDNS knows the API server's own Service.
func (c *Cluster) answers(ctx context.Context) error {
	_, err := c.Resolver().LookupHost(ctx, "kubernetes.default.svc."+clusterDomain+".")
	return err
}

// wait calls a probe until it succeeds. It is for conditions that depend on several
// components; the parameter what names the condition.
func (c *Cluster) wait(ctx context.Context, what string, ready probe) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %v (logs are in %s)", what, ctx.Err(), err, c.dir)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// defaultAccount succeeds when Pods can be created in the default namespace.
func (c *Cluster) defaultAccount(ctx context.Context) error {
	_, err := c.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	return err
}

// defaultNamespace succeeds when the API server has created it.
func (c *Cluster) defaultNamespace(ctx context.Context) error {
	_, err := c.client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
	return err
}

// nodesReady succeeds when Pods can be scheduled to every node.
func (c *Cluster) nodesReady(ctx context.Context) error {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if !ready || len(node.Spec.Taints) > 0 {
			return fmt.Errorf("node %s is not ready: taints %v", node.Name, node.Spec.Taints)
		}
	}
	return nil
}
