package e2e

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"stayput.dev/cluster"
	"stayput.dev/e2e/localcluster"
)

var secondMinor = flag.String("beside", "", "minor of Kubernetes of the second API server in TestTwoAPIServers; "+
	"by default the one after that of the suite")

var (
	// serviceToApply is the Service in a remedy.
	serviceToApply = regexp.MustCompile(`\{apiVersion: v1, kind: Service, .*\}`)
	// knownVersions is the line in Stayput's log that tells the API servers' releases.
	knownVersions = regexp.MustCompile(`the API servers' version.*kubernetes"?[=:]"?([^"\n]*)`)
)

// digit names a Service that older API servers refuse.
const digit = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: digit, namespace: shop}
spec:
  serviceName: 1db
  replicas: 1
  selector: {matchLabels: {app: digit}}
  template:
    metadata: {labels: {app: digit}}
    spec: {containers: [{name: app, image: app, readinessProbe: {tcpSocket: {port: 80}}}]}
`

// TestTwoAPIServers has two API servers on one etcd behind one address, as while a
// highly available control plane is upgraded: one of the minor of the suite, and one
// of the next; on the newest, one that emulates the minor before the last.
// Stayput knows both, and what it says is right in both: the same denials, remedies
// that both accept, and no statement that rests on what one of them lacks. When the
// older one is gone, the answers are those of the newer one.
func TestTwoAPIServers(t *testing.T) {
	t.Parallel()
	if *outside.kubeconfig != "" {
		t.Skip("a cluster that somebody else has made gets no second API server here")
	}
	minors, err := localcluster.Minors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := fmt.Sprintf("1.%d", env.minor)
	second, emulated := *secondMinor, []string(nil)
	if i := slices.Index(minors, first) + 1; second == "" && i < len(minors) {
		second = minors[i]
	} else if second == "" {
		second, emulated = first, []string{fmt.Sprintf("--emulated-version=1.%d", env.minor-2)}
	}
	c, err := localcluster.Start(t.Context(), localcluster.Options{Kubernetes: first})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	added, err := c.AddAPIServer(t.Context(), second, emulated...)
	if err != nil {
		t.Fatal(err)
	}
	servers := []*rest.Config{c.Config(), added}
	is := func(server *rest.Config) cluster.Versions {
		t.Helper()
		v, err := versionOf(discovery.NewDiscoveryClientForConfigOrDie(server))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	versions := []cluster.Versions{is(servers[0]), is(servers[1])}
	t.Logf("API servers of %s and %s", versions[0], versions[1])
	s := replica(t, behindOne(t, c, servers), config+"mode: enforce\n")
	s.start()
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	const ns = "shop"
	seen := runShop(s, ns)
	files := pvcNamed("files", "storageClassName: disk, "+once) + fmt.Sprintf(idle, "StatefulSet")
	s.kubectl(files, "apply", "-n", ns, "-f", "-")
	s.output("Bound", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.status.phase}")
	pv := s.kubectl("", "get", "pvc", "files", "-n", ns, "-o", "jsonpath={.spec.volumeName}")
	s.output("Retain", "get", "pv", pv, "-o", policyPath)
	// It may be of a time at which the cluster was newer, and not be true any more.
	s.kubectl("", "patch", "pvc", "files", "-n", ns, "--subresource=status", "-p", `{"status":{"conditions":[{"type":
		"Unused","status":"True","lastTransitionTime":"2026-01-02T03:04:05Z"}]}}`)
	const since = "no Pod has used it since at least 2026-01-02"
	before := seen()

	// known waits until Stayput knows the releases, and has the command find the same.
	known := func(want cluster.Versions) {
		t.Helper()
		end := time.Now().Add(5 * time.Minute)
		for {
			said := knownVersions.FindAllStringSubmatch(s.Log(), -1)
			if len(said) > 0 && said[len(said)-1][1] == want.String() {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("Stayput does not know that the API servers are of %s:\n%s", want, s.Log())
			}
			time.Sleep(100 * time.Millisecond)
		}
		out, _ := s.Command(t.Context(), "audit", "--format", "json", "-n", ns) // it may find something
		contains(t, out, fmt.Sprintf(`"kubernetes": %q`, want))
	}
	ask := func(server *rest.Config, manifest string, args ...string) (string, error) {
		t.Helper()
		return s.Kubectl(t.Context(), manifest, append([]string{"--server", server.Host, "-n", ns, "--dry-run=server"},
			args...)...)
	}
	file := filepath.Join(t.TempDir(), "digit.yaml")
	if err := os.WriteFile(file, []byte(digit), 0o600); err != nil {
		t.Fatal(err)
	}
	// answers asks all servers for the same.
	answers := func(of cluster.Versions) {
		t.Helper()
		older := of.Oldest.Minor < 36 // such a server refuses a Service 1db
		wide := strings.NewReplacer("mysql}", "wide}", "replicas: 3",
			"replicas: 3\n  updateStrategy: {rollingUpdate: {maxUnavailable: 3}}").Replace(readFile(t, "testdata", "mysql.yaml"))
		for _, server := range servers {
			out, err := ask(server, wide, "create", "-f", "-", "-o", "yaml")
			kept, warned := strings.Contains(out, "maxUnavailable: 3"), strings.Contains(out, "statefulset-max-unavailable")
			if err != nil || kept != warned {
				t.Errorf("maxUnavailable is kept: %t, warned of: %t; %v\n%s", kept, warned, err, out)
			}
			if v := is(server); v.Oldest == v.Newest && kept != (v.Newest.Minor >= 37) {
				t.Errorf("%s keeps maxUnavailable: %t", v, kept)
			}
			out, err = ask(server, digit, "create", "-f", "-")
			if err != nil || !strings.Contains(out, "Warning: statefulset-service-missing") ||
				strings.Contains(out, "must begin with a letter before Kubernetes 1.36") != older {
				t.Errorf("with API servers of %s, a serviceName that begins with a digit: %v\n%s", of, err, out)
			}
			out, err = ask(server, "", "delete", "pvc", "data-mysql-0")
			if err == nil {
				t.Errorf("the claim of a running Pod may be deleted:\n%s", out)
			}
			contains(t, out, "(Forbidden)", "claim-in-use")
			out, err = ask(server, "", "delete", "pvc", "files")
			if told := strings.Contains(out, since); err != nil || told != (of.Oldest.Minor >= 37) {
				t.Errorf("with API servers of %s, since when nobody uses a claim is told: %t; %v\n%s", of, told, err, out)
			}
			contains(t, out, "Warning: claim-in-use")
		}
		// The remedy is too long for a warning.
		out, err := s.Command(t.Context(), "lint", "--against-cluster", file)
		remedy := serviceToApply.FindString(out)
		if strings.Contains(remedy, "name: svc-1db") != older || strings.Contains(remedy, "name: 1db") == older {
			t.Errorf("with API servers of %s the remedy is %s; %v\n%s", of, remedy, err, out)
		}
		refused := false
		for _, server := range servers {
			_, err := ask(server, strings.Replace(remedy, "name: svc-1db-headless", "name: 1db", 1), "create", "-f", "-")
			refused = refused || err != nil
		}
		if refused != older {
			t.Errorf("with API servers of %s, one refuses a Service 1db: %t", of, refused)
		}
		written := remedy
		if env.minor < 33 { // kubectl takes what begins with { for JSON
			written = "---\n" + remedy
		}
		for _, server := range servers {
			if out, err := ask(server, written, "create", "-f", "-"); err != nil {
				t.Errorf("the remedy %s: %v\n%s", remedy, err, out)
			}
		}
		if after := seen(); after != before {
			t.Errorf("now:\n%s\nbefore:\n%s", after, before)
		}
	}

	both := versions[0].With(versions[1])
	known(both)
	answers(both)
	// The older one goes.
	newer := versions[0]
	if versions[0].Oldest.Compare(versions[1].Oldest) < 0 {
		newer = versions[1]
		err = c.Upgrade(t.Context(), second)
	} else {
		servers = servers[:1]
		err = c.Kill("kube-apiserver-" + second)
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	known(newer)
	t.Logf("%s later Stayput knows that all are of %s", time.Since(began).Round(time.Second), newer)
	answers(newer)
}

// A fronted cluster has an address of its own, which leads to several API servers.
type fronted struct {
	*localcluster.Cluster
	config     *rest.Config
	kubeconfig string
}

func (f fronted) Config() *rest.Config { return rest.CopyConfig(f.config) }
func (f fronted) Kubeconfig() string   { return f.kubeconfig }

// behindOne passes each connection to one address on to the next of the API servers
// that answers, as a load balancer does.
func behindOne(t *testing.T, c *localcluster.Cluster, servers []*rest.Config) fronted {
	t.Helper()
	var hosts []string
	for _, server := range servers {
		u, err := url.Parse(server.Host)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, u.Host)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	turn := atomic.Int64{}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer from.Close()
				for range hosts {
					to, err := net.Dial("tcp", hosts[int(turn.Add(1))%len(hosts)])
					if err != nil {
						continue
					}
					defer to.Close()
					go func() {
						_, _ = io.Copy(to, from)
						_ = to.(*net.TCPConn).CloseWrite()
					}()
					_, _ = io.Copy(from, to)
					return
				}
			}()
		}
	}()
	f := fronted{Cluster: c, config: c.Config(), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	f.config.Host = "https://" + l.Addr().String()
	text := strings.ReplaceAll(readFile(t, c.Kubeconfig()), servers[0].Host, f.config.Host)
	if err := os.WriteFile(f.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}
