//go:build operators && linux

package e2e

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// TestCloudNativePG has the real CloudNativePG make the first instance of a
// cluster, whose claim has no StatefulSet, grow it, and lose its Cluster. It calls
// its Pods, which only pretend to run: the others are never made.
func TestCloudNativePG(t *testing.T) {
	t.Parallel()
	binary, module := foreign(t, localcluster.CloudNativePG)
	installCRDs(t, filepath.Join(module, "config", "crd", "bases"))
	class := growingClass(t)
	for _, kept := range []bool{false, true} {
		t.Run(map[bool]string{true: "kept", false: "left"}[kept], func(t *testing.T) {
			home, ns := namespace(t), namespace(t)
			if kept {
				kubectl(t, "annotate", "namespace", ns, "stayput.dev/reclaim-policy=Retain")
			}
			account := record(t, home, "cnpg-manager", "clusterrolebinding --clusterrole=cluster-admin")
			dir := t.TempDir()
			certificate(t, filepath.Join(dir, "apiserver.crt"), filepath.Join(dir, "apiserver.key"))
			// It looks in its working directory for what Pods copy from its image.
			program := filepath.Join(dir, "operator", "manager_"+runtime.GOARCH)
			if err := errors.Join(os.Mkdir(filepath.Dir(program), 0o755), os.Symlink(binary, program)); err != nil {
				t.Fatal(err)
			}
			var hook, metrics string
			if err := harness.FreeAddresses(&hook, &metrics); err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(hook)
			runIsolated(t, account, "env", "-C", dir, "OPERATOR_NAMESPACE="+home, "WATCH_NAMESPACE="+ns, "WEBHOOK_CERT_DIR="+dir,
				binary, "controller", "--metrics-bind-address="+metrics, "--webhook-port="+port)
			apply(t, ns, `apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: pg}
spec: {instances: 3, imageName: "postgresql:17.5", storage: {size: 1Gi, storageClass: `+class+`}}
`)
			var job string
			eventually(t, "the Pod of the first job", func() error {
				job = strings.TrimSpace(kubectl(t, "get", "pods", "-n", ns, "-l", "cnpg.io/jobRole=initdb", "-o",
					"jsonpath={.items[*].metadata.name}"))
				if job == "" {
					return errors.New("there is none")
				}
				return nil
			})
			kubectl(t, "wait", "pod/"+job, "-n", ns, "--for=condition=Ready", "--timeout=60s")
			kubectl(t, "patch", "pod", job, "-n", ns, "--subresource=status", "-p", `{"status":{"phase":"Succeeded"}}`)
			kubectl(t, "wait", "--for=create", "pod/pg-1", "-n", ns, "--timeout=60s")
			kubectl(t, "wait", "pod/pg-1", "-n", ns, "--for=condition=Ready", "--timeout=60s")
			account.verdict(t, "the first instance").worked(t)
			volumes := volumesOf(t, ns)
			letGo(t, volumes)
			// It is as far as it comes: before it does more, the Pod must answer.
			kubectl(t, "patch", "cluster.postgresql.cnpg.io", "pg", "-n", ns, "--type=merge", "-p",
				`{"spec":{"instances":5,"storage":{"size":"2Gi"}}}`)
			time.Sleep(5 * time.Second)
			account.verdict(t, "more instances, more storage: pg-1 has "+
				kubectl(t, "get", "pvc", "pg-1", "-n", ns, "-o", "jsonpath={.spec.resources.requests.storage}")).unrefused(t)
			out, err := try(t, "", "delete", "pvc", "pg-1", "-n", ns, "--dry-run=server")
			if err != nil {
				t.Error(err)
			}
			contains(t, out, "claim-in-use", "is controlled by Cluster pg",
				map[bool]string{true: "keeps the data", false: "the disk is destroyed"}[kept])
			out, err = try(t, "", "delete", "namespace", ns, "--dry-run=server")
			if err != nil {
				t.Error(err)
			}
			if !kept {
				contains(t, out, "namespace-data", "(1Gi) is destroyed with it")
			}
			kubectl(t, "delete", "cluster.postgresql.cnpg.io", "pg", "-n", ns)
			gone(t, "pvc", "-n", ns)
			if kept {
				become(t, "Retain Released", volumes...)
			} else {
				become(t, "destroyed", volumes...)
			}
			account.verdict(t, "deleted").unrefused(t)
		})
	}
}
