// Package localcluster runs a real Kubernetes control plane on loopback, for
// tests: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and
// CoreDNS, built from Go modules, with nodes and Pods that only pretend to run
// (kwok). It needs the go command and, until its cache is filled, the Go module
// proxy; no container runtime and no root.
//
// Pods get addresses of their own, but nothing listens there. CoreDNS answers
// for cluster.local; volumes come from the [HostPathProvisioner]. The API server
// reaches webhooks at https://127.0.0.1:PORT URLs; it cannot reach Services.
//
// Pods run and are ready as soon as they are scheduled, and are gone as soon as
// they are deleted. The deletion of a namespace still takes half its Pods'
// terminationGracePeriodSeconds, because its controller waits for slow kubelets.
package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// DefaultNodes is the number of fake nodes if Options give none.
const DefaultNodes = 2

// Options say what to run and how. The zero value starts everything.
type Options struct {
	// Nodes is the number of fake nodes; 0 means DefaultNodes.
	Nodes int
	// Bare runs only etcd and kube-apiserver: no controllers, no scheduler, no
	// nodes, no DNS. Pods can be made, without a service account; they stay
	// Pending. Namespaces and objects with owners are never collected.
	Bare bool
	// Kubernetes is the minor to run, such as "1.34" ([Minors]); by default that
	// of $STAYPUT_KUBERNETES, or the newest. etcd is the same for all.
	Kubernetes string
	// APIServerArgs and ControllerManagerArgs are appended to the flags of these
	// programs.
	APIServerArgs, ControllerManagerArgs []string
	// Dir is an empty or new directory for state and logs, which is kept. By
	// default a temporary directory is used, which is removed by Stop and when the
	// program ends.
	Dir string
	// Log gets the progress of builds; the default is os.Stderr. A start that
	// builds nothing writes nothing.
	Log io.Writer
}

// Cluster is a running control plane.
type Cluster struct {
	options Options
	bin     Binaries
	dir     string
	ports   ports
	health  *http.Client
	config  *rest.Config
	client  kubernetes.Interface
	spawner *spawner
	sweeper *sweeper
	cancel  context.CancelFunc // ends what runs beside the processes

	mu         sync.Mutex
	stopped    bool
	components map[string]component
	processes  map[string]*process
}

// Start builds the programs that the cache lacks (see [Build]) and starts a
// cluster, which takes a few seconds. It returns when Pods can be created and
// scheduled and CoreDNS answers. If it returns an error, no process is left
// running. The cluster does not end with ctx, but by Stop. If the program ends
// without Stop, even by SIGKILL, the cluster ends with it (on Linux).
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Nodes < 0 {
		return nil, fmt.Errorf("start a cluster with %d nodes: the number cannot be negative", o.Nodes)
	}
	if o.Bare && o.Nodes > 0 {
		return nil, fmt.Errorf("start a bare cluster with %d nodes: a bare cluster has none", o.Nodes)
	}
	if o.Nodes == 0 {
		o.Nodes = DefaultNodes
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	bin, err := buildMinor(ctx, o.Log, o.Kubernetes, programs(o.Bare))
	if err != nil {
		return nil, err
	}
	// Another process may take a port between its choice and its use.
	for attempt := 1; ; attempt++ {
		c, err := start(ctx, o, bin)
		if err == nil || attempt == 3 || !errors.Is(err, syscall.EADDRINUSE) {
			return c, err
		}
		if o.Dir != "" {
			if err := empty(o.Dir); err != nil {
				return nil, fmt.Errorf("start again with other ports: %w", err)
			}
		}
	}
}

func start(ctx context.Context, o Options, bin Binaries) (*Cluster, error) {
	c := &Cluster{options: o, bin: maps.Clone(bin), components: map[string]component{}, processes: map[string]*process{}}
	if err := c.prepare(); err != nil {
		return nil, fmt.Errorf("prepare a cluster: %w", err)
	}
	background, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	if err := c.startAll(ctx, background); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Stop ends every process of the cluster and removes its temporary directory
// and the directories of its host-path volumes. Calling it again does nothing.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	//         The process that makes volumes ends first, while the API server can
	// still list them.
	if p := c.processes["kube-controller-manager"]; p != nil {
		p.kill()
		c.sweepVolumes()
	}
	c.cancel()
	for _, p := range c.processes {
		p.cmd.Process.Kill()
	}
	for _, p := range c.processes {
		p.kill()
	}
	c.spawner.stop()
	return c.sweeper.sweep()
}

// Config returns the administrator's client configuration, without a client-side
// rate limit. Each call returns a copy.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig("admin") }

// Kubectl is the path of a kubectl of the cluster's version.
func (c *Cluster) Kubectl() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bin["kubectl"]
}

// DNS is the host:port at which CoreDNS answers over UDP and TCP. In a bare cluster
// nothing answers there.
func (c *Cluster) DNS() string { return loopback(c.ports.dns) }

// Resolver asks only the cluster's CoreDNS. For names that do not end with a dot it
// also tries the search domains of this machine.
func (c *Cluster) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, c.DNS())
	}}
}
