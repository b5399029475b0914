package localcluster

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

// Names and addresses inside the cluster, at which nothing answers. Pods get theirs
// from stages.yaml.
const (
	clusterDomain  = "cluster.local"
	serviceIPRange = "10.96.0.0/16"
	apiServiceIP   = "10.96.0.1"
)

//go:embed stages.yaml
var stages []byte

// component is a program with its arguments and its readiness probe.
type component struct {
	name  string
	args  []string
	ready probe
}

// ports of the components, all on 127.0.0.1.
type ports struct {
	etcd, apiServer, controllers, scheduler, kwok, dns int
}

func choosePorts() (ports, error) {
	p, err := freePorts(6)
	if err != nil {
		return ports{}, err
	}
	return ports{p[0], p[1], p[2], p[3], p[4], p[5]}, nil
}

func (c *Cluster) etcd() component {
	url := "http://" + loopback(c.ports.etcd)
	return component{"etcd", []string{
		"--data-dir=" + filepath.Join(c.dir, "etcd"),
		"--unsafe-no-fsync", // what is lost when the machine goes down is no loss
		"--listen-client-urls=" + url,
		"--advertise-client-urls=" + url,
		"--listen-peer-urls=http://127.0.0.1:0", // it has no peers
		"--log-level=warn",
	}, c.http(url + "/readyz")}
}

func (c *Cluster) apiServer() component {
	return c.apiServerAt("kube-apiserver", c.ports.apiServer, c.options.APIServerArgs)
}

func (c *Cluster) apiServerAt(name string, port int, more []string) component {
	args := []string{
		"--etcd-servers=http://" + loopback(c.ports.etcd),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + c.file("server.crt"),
		"--tls-private-key-file=" + c.file("server.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc." + clusterDomain,
		"--service-account-key-file=" + c.file("accounts.key"),
		"--service-account-signing-key-file=" + c.file("accounts.key"),
		"--service-cluster-ip-range=" + serviceIPRange,
		"--endpoint-reconciler-type=none", // endpoints must not be loopback
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		"--max-requests-inflight=3000",
		"--max-mutating-requests-inflight=1500",
		"--profiling=false",
	}
	if c.options.Bare {
		// No controller makes service accounts here, and a Pod must have one.
		args = append(args, "--disable-admission-plugins=ServiceAccount")
	}
	return component{name, append(args, more...), c.http("https://" + loopback(port) + "/readyz")}
}

func (c *Cluster) controllerManager() component {
	return component{"kube-controller-manager", append([]string{
		"--kubeconfig=" + c.kubeconfig("kube-controller-manager"),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.controllers),
		"--tls-cert-file=" + c.file("server.crt"),
		"--tls-private-key-file=" + c.file("server.key"),
		"--leader-elect=false",
		"--use-service-account-credentials=true", // as kubeadm: what a controller may do is what its role says
		"--service-account-private-key-file=" + c.file("accounts.key"),
		"--root-ca-file=" + c.file("ca.crt"),
		"--allocate-node-cidrs=false",
		"--enable-hostpath-provisioner=true",
		"--flex-volume-plugin-dir=" + c.file("flexvolume"), // it makes the directory; by default under /usr
		"--pvclaimbinder-sync-period=2s",
		"--kube-api-qps=1000", // at 20, its start alone takes five seconds
		"--kube-api-burst=1000",
		"--profiling=false",
	}, c.options.ControllerManagerArgs...),
		c.http("https://" + loopback(c.ports.controllers) + "/healthz")}
}

func (c *Cluster) scheduler() component {
	at := "https://" + loopback(c.ports.scheduler)
	return component{"kube-scheduler", []string{
		"--kubeconfig=" + c.kubeconfig("kube-scheduler"),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.scheduler),
		"--kube-api-qps=1000",
		"--kube-api-burst=1000",
		"--tls-cert-file=" + c.file("server.crt"),
		"--tls-private-key-file=" + c.file("server.key"),
		"--leader-elect=false",
		"--profiling=false",
	}, c.either(at+"/readyz", at+"/healthz")} // 1.30 has no readyz
}

func (c *Cluster) kwok() component {
	return component{"kwok", []string{
		"--config=" + c.file("stages.yaml"),
		"--kubeconfig=" + c.kubeconfig("kwok"),
		"--manage-all-nodes",
		"--node-lease-duration-seconds=40", // else nodes are lost after 50 s
		"--server-address=" + loopback(c.ports.kwok),
	}, c.http("http://" + loopback(c.ports.kwok) + "/readyz")}
}

func (c *Cluster) coreDNS() component {
	return component{"coredns", []string{"-conf=" + c.file("Corefile")}, c.answers}
}

// corefile is that of kubeadm without forwarding and caches, so that every answer
// shows the present state of the API server. CoreDNS listens when it has listed
// everything.
func (c *Cluster) corefile() string {
	return fmt.Sprintf(`%s:%d in-addr.arpa:%[2]d ip6.arpa:%[2]d {
    bind 127.0.0.1
    errors
    kubernetes %[1]s in-addr.arpa ip6.arpa {
        kubeconfig %[3]s
        startup_timeout 1m
        pods insecure
        ttl 0
    }
}
`, clusterDomain, c.ports.dns, c.kubeconfig("coredns"))
}

// writeConfig writes the components' configuration files.
func (c *Cluster) writeConfig() error {
	if err := os.WriteFile(c.file("Corefile"), []byte(c.corefile()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(c.file("stages.yaml"), stages, 0o644)
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }
