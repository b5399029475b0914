package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

const headlessService = `apiVersion: v1
kind: Service
metadata: {name: mysql-h}
spec: {clusterIP: None, selector: {app: mysql}, ports: [{port: 3306}]}
---
`

// resolve asks CoreDNS until a name has an address.
func resolve(t *testing.T, name string) (address string) {
	t.Helper()
	eventually(t, "resolve "+name, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		found, err := env.resolve(ctx, name+".")
		if err != nil {
			return err
		}
		if len(found) != 1 || net.ParseIP(found[0]) == nil {
			return fmt.Errorf("%q: want one address", found)
		}
		address = found[0]
		return nil
	})
	return address
}

func podIP(t *testing.T, ns, pod string) string {
	t.Helper()
	var ip string
	eventually(t, "the address of "+pod, func() error {
		if ip = strings.TrimSpace(kubectl(t, "get", "pod", pod, "-n", ns, "-o", "jsonpath={.status.podIP}")); ip == "" {
			return fmt.Errorf("none yet")
		}
		return nil
	})
	return ip
}

func TestLabelledPodHasADNSName(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, headlessService+`apiVersion: v1
kind: Pod
metadata: {name: mysql-pod, labels: {app: mysql, stayput.dev/subdomain: mysql-h}}
spec: {containers: [{name: mysql, image: mysql}]}
`)
	if got, want := resolve(t, "mysql-pod.mysql-h."+ns+".svc.cluster.local"), podIP(t, ns, "mysql-pod"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPodInANamespaceWithInjectionHasADNSName(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/inject=enabled")
	apply(t, ns, headlessService+`apiVersion: v1
kind: Pod
metadata: {name: mysql-pod, labels: {app: mysql}}
spec: {containers: [{name: mysql, image: mysql}]}
`)
	if got, want := resolve(t, "mysql-pod.mysql-h."+ns+".svc.cluster.local"), podIP(t, ns, "mysql-pod"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestEachReplicaOfADeploymentHasADNSName(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, headlessService+`apiVersion: apps/v1
kind: Deployment
metadata: {name: mysql}
spec:
  replicas: 3
  selector: {matchLabels: {app: mysql}}
  template:
    metadata: {labels: {app: mysql, stayput.dev/subdomain: mysql-h}}
    spec: {containers: [{name: mysql, image: mysql}]}
`)
	output(t, "3", "get", "deployment", "mysql", "-n", ns, "-o", "jsonpath={.status.readyReplicas}")
	addresses := map[string]string{}
	for _, pod := range strings.Fields(kubectl(t, "get", "pods", "-n", ns, "-o", "jsonpath={.items[*].metadata.name}")) {
		if hostname := kubectl(t, "get", "pod", pod, "-n", ns, "-o", "jsonpath={.spec.hostname}"); hostname != pod {
			t.Errorf("Pod %s has the hostname %q", pod, hostname)
		}
		ip := resolve(t, pod+".mysql-h."+ns+".svc.cluster.local")
		if want := podIP(t, ns, pod); ip != want {
			t.Errorf("%s: %s, want %s", pod, ip, want)
		}
		if other, taken := addresses[ip]; taken {
			t.Errorf("%s and %s share the address %s", pod, other, ip)
		}
		addresses[ip] = pod
	}
	if len(addresses) != 3 {
		t.Errorf("%d Pods with a name of their own, want 3", len(addresses))
	}
}

func TestPodsOfAStatefulSetHaveDNSNames(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	// Without serviceName: exactly one headless Service selects the template.
	apply(t, ns, headlessService+strings.ReplaceAll(readFile(t, "testdata", "mysql.yaml"), "serviceName: mysql-h\n", "\n"))
	output(t, "mysql-h", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.spec.serviceName}")
	output(t, "3", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.status.readyReplicas}")
	for i := range 3 {
		pod := fmt.Sprintf("mysql-%d", i)
		if got, want := resolve(t, pod+".mysql-h."+ns+".svc.cluster.local"), podIP(t, ns, pod); got != want {
			t.Errorf("%s: %s, want %s", pod, got, want)
		}
	}
}

func TestFixedHostnameInADeploymentIsDenied(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	out, err := try(t, readFile(t, "..", "examples", "notes", "applied", "volumes-7-deployment.yaml"), "apply", "-n", ns,
		"-f", "-")
	if err == nil {
		t.Fatalf("not denied:\n%s", out)
	}
	contains(t, out, "Error from server (Forbidden)", "deployment-hostname", "spec.template.spec.hostname", "fix: ",
		"stayput.dev/subdomain")
	if strings.Contains(out, "immutable") {
		t.Errorf("says immutable:\n%s", out)
	}
}
