package localcluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// startAll starts the components and waits until the cluster can be used.
func (c *Cluster) startAll(ctx, background context.Context) error {
	if err := c.startOne(ctx, c.etcd()); err != nil {
		return err
	}
	if err := c.startOne(ctx, c.apiServer()); err != nil {
		return err
	}
	if err := c.wait(ctx, "the default namespace", c.defaultNamespace); err != nil || c.options.Bare {
		return err
	}
	if err := c.trackVolumes(background); err != nil {
		return fmt.Errorf("watch volumes: %w", err)
	}
	if err := c.makeNodes(ctx); err != nil {
		return err
	}
	if err := c.startTogether(ctx, c.controllerManager(), c.scheduler(), c.kwok(), c.coreDNS()); err != nil {
		return err
	}
	if err := c.wait(ctx, "the default service account", c.defaultAccount); err != nil {
		return err
	}
	return c.wait(ctx, "the nodes", c.nodesReady)
}

func (c *Cluster) startTogether(ctx context.Context, comps ...component) error {
	errs := make([]error, len(comps))
	var wg sync.WaitGroup
	for i, comp := range comps {
		wg.Go(func() { errs[i] = c.startOne(ctx, comp) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// startOne starts a component and waits until it is ready.
func (c *Cluster) startOne(ctx context.Context, comp component) error {
	p, err := c.launch(comp)
	if err != nil {
		return err
	}
	return p.wait(ctx, comp.ready)
}

func (c *Cluster) launch(comp component) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, fmt.Errorf("start %s: the cluster is stopped", comp.name)
	}
	p, err := c.run(comp)
	if err != nil {
		return nil, err
	}
	c.components[comp.name], c.processes[comp.name] = comp, p
	return p, nil
}

// makeNodes makes the fake nodes, which kwok then makes ready.
func (c *Cluster) makeNodes(ctx context.Context) error {
	resources := corev1.ResourceList{}
	for name, amount := range map[corev1.ResourceName]string{"cpu": "1k", "memory": "1Ti", "pods": "1k"} {
		resources[name] = resource.MustParse(amount)
	}
	server, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("make nodes of the API server's version: %w", err)
	}
	for i := range c.options.Nodes {
		name := fmt.Sprintf("node-%d", i)
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			}},
			Status: corev1.NodeStatus{
				Capacity: resources, Allocatable: resources,
				NodeInfo: corev1.NodeSystemInfo{KubeletVersion: server.GitVersion, OperatingSystem: "linux", Architecture: "amd64"},
				Addresses: []corev1.NodeAddress{
					{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)},
					{Type: corev1.NodeHostName, Address: name},
				},
			},
		}
		if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("make node %s: %w", name, err)
		}
	}
	return nil
}

// Kill ends a component with SIGKILL, as a crash would, and waits until it is
// gone. Nothing starts it again but Restart.
func (c *Cluster) Kill(component string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.find(component)
	if err != nil {
		return fmt.Errorf("kill %q: %w", component, err)
	}
	p.kill()
	return nil
}

// Restart starts a component that was killed or ended, or ends one that runs
// and starts it again, with the same state, port and flags. It returns when the
// component is ready, and the API server with it.
func (c *Cluster) Restart(ctx context.Context, component string) error {
	if err := c.Kill(component); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	c.mu.Lock()
	comp, api := c.components[component], c.processes["kube-apiserver"]
	c.mu.Unlock()
	if component == "kwok" {
		// It holds nodes by their leases, and names itself anew each time: it
		// would wait until those of the one before expire.
		leases := c.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
		if err := leases.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			return fmt.Errorf("restart kwok: release its nodes: %w", err)
		}
	}
	if err := c.startOne(ctx, comp); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	// The API server needs a moment to find an etcd that is back.
	if component == "etcd" && api.running() {
		return api.wait(ctx, c.apiServer().ready)
	}
	return nil
}

// Upgrade replaces the components by those of another minor of Kubernetes, on the
// same etcd. The API server is first, as in any upgrade. It returns when the API
// server and the controllers are ready.
func (c *Cluster) Upgrade(ctx context.Context, minor string) error {
	bin, err := buildMinor(ctx, c.options.Log, minor, programs(c.options.Bare))
	if err != nil {
		return err
	}
	c.mu.Lock()
	maps.Copy(c.bin, bin)
	c.mu.Unlock()
	components := []string{"kube-apiserver"}
	if !c.options.Bare {
		components = append(components, "kube-controller-manager", "kube-scheduler")
	}
	for _, component := range components {
		if err := c.Restart(ctx, component); err != nil {
			return fmt.Errorf("upgrade to %s: %w", minor, err)
		}
	}
	return nil
}

// AddAPIServer starts an API server of a minor of Kubernetes beside the one of the
// cluster, as there are several while a highly available control plane is upgraded:
// with the same etcd, certificates and flags, but args instead of those of
// [Options]. It returns when it is ready, and stops with the cluster. Its
// component is called kube-apiserver-1.36 or the like, and there is one of a minor.
// The configuration is the administrator's, for this API server.
func (c *Cluster) AddAPIServer(ctx context.Context, minor string, args ...string) (*rest.Config, error) {
	name := "kube-apiserver-" + minor
	bin, err := buildMinor(ctx, c.options.Log, minor, programs(true))
	if err != nil {
		return nil, err
	}
	port, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	_, exists := c.components[name]
	c.bin[name] = bin["kube-apiserver"]
	c.mu.Unlock()
	if exists {
		return nil, fmt.Errorf("add %s: it exists", name)
	}
	if err := c.startOne(ctx, c.apiServerAt(name, port[0], args)); err != nil {
		return nil, fmt.Errorf("add an API server: %w", err)
	}
	config := c.Config()
	config.Host = "https://" + loopback(port[0])
	return config, nil
}

// LogFile is the path of a component's log. It has the log of all its starts.
func (c *Cluster) LogFile(component string) string { return c.file(component + ".log") }

// PIDs are the process ids of the components that run, by their names.
func (c *Cluster) PIDs() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	pids := map[string]int{}
	for name, p := range c.processes {
		if p.running() {
			pids[name] = p.cmd.Process.Pid
		}
	}
	return pids
}

// find must be called with the lock held.
func (c *Cluster) find(component string) (*process, error) {
	if c.stopped {
		return nil, errors.New("the cluster is stopped")
	}
	p, ok := c.processes[component]
	if !ok {
		known := slices.Sorted(maps.Keys(c.processes))
		return nil, fmt.Errorf("there is no such component; there are %s", strings.Join(known, ", "))
	}
	return p, nil
}
