//go:build operators && linux

// Operators that are tried by make e2e-operators, which docs/operators.md
// reports on. They take minutes to build, so CI is spared them.

package e2e

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/util/cert"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// certificate writes a certificate of this address and its key.
func certificate(t *testing.T, crt, key string) {
	t.Helper()
	public, private, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(crt, public, 0o600), os.WriteFile(key, private, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// told logs what the account was told, each thing once, and how often.
func (r *tap) told(t *testing.T) {
	t.Helper()
	denials, warnings, writes := r.said()
	rules := map[string]int{}
	for _, w := range warnings {
		_, text, _ := strings.Cut(w, `"`)
		rule, _, _ := strings.Cut(text, ":")
		rules[rule]++
	}
	t.Logf("%d writes, %d refusals, %d warnings: %v", writes, len(denials), len(warnings), rules)
	for _, d := range denials {
		t.Errorf("refused: %s", d)
	}
}

// TestCloudNativePG has the real CloudNativePG make the first instance of a
// cluster, whose claim has no StatefulSet, and then lose its Cluster. It calls
// its Pods, which only pretend to run: the others are never made.
func TestCloudNativePG(t *testing.T) {
	binary, module := foreign(t, localcluster.CloudNativePG)
	installCRDs(t, filepath.Join(module, "config", "crd", "bases"))
	for _, kept := range []bool{false, true} {
		t.Run(map[bool]string{true: "kept", false: "left"}[kept], func(t *testing.T) {
			home, ns := namespace(t), namespace(t)
			if kept {
				kubectl(t, "annotate", "namespace", ns, "stayput.dev/reclaim-policy=Retain")
			}
			account := record(t, home, "cnpg-manager", "clusterrolebinding --clusterrole=cluster-admin")
			dir := t.TempDir()
			certificate(t, filepath.Join(dir, "apiserver.crt"), filepath.Join(dir, "apiserver.key"))
			var hook, metrics string
			if err := harness.FreeAddresses(&hook, &metrics); err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(hook)
			runIsolated(t, account, "env", "OPERATOR_NAMESPACE="+home, "WATCH_NAMESPACE="+ns, "WEBHOOK_CERT_DIR="+dir,
				binary, "controller", "--metrics-bind-address="+metrics, "--webhook-port="+port)
			apply(t, ns, `apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: pg}
spec: {instances: 3, imageName: "postgresql:17.5", storage: {size: 1Gi, storageClass: disk}}
`)
			var job string
			eventually(t, "the Pod of the first job", func() error {
				job = strings.TrimSpace(kubectl(t, "get", "pods", "-n", ns, "-l", "cnpg.io/jobRole=initdb", "-o", "jsonpath={.items[*].metadata.name}"))
				if job == "" {
					return errors.New("there is none")
				}
				return nil
			})
			kubectl(t, "wait", "pod/"+job, "-n", ns, "--for=condition=Ready", "--timeout=60s")
			kubectl(t, "patch", "pod", job, "-n", ns, "--subresource=status", "-p", `{"status":{"phase":"Succeeded"}}`)
			kubectl(t, "wait", "--for=create", "pod/pg-1", "-n", ns, "--timeout=60s")
			kubectl(t, "wait", "pod/pg-1", "-n", ns, "--for=condition=Ready", "--timeout=60s")
			volumes := volumesOf(t, ns)
			letGo(t, volumes)
			kubectl(t, "delete", "cluster.postgresql.cnpg.io", "pg", "-n", ns)
			gone(t, "pvc", "-n", ns)
			for _, pv := range volumes {
				if kept {
					output(t, "Retain Released", "get", "pv", pv, "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
				} else {
					gone(t, "pv", pv)
				}
			}
			account.told(t)
		})
	}
}
