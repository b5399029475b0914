package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"stayput.dev/report"
)

// An ended is a process of stayput that has ended.
type ended struct {
	code           int
	stdout, stderr string
}

// stayput runs the binary to its end.
func stayput(t *testing.T, args ...string) ended {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), env.Binary, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return ended{cmd.ProcessState.ExitCode(), out.String(), complaint.String()}
}

// audited runs audit and returns its report.
func audited(t *testing.T, wantCode int, args ...string) (report.Report, ended) {
	t.Helper()
	end := stayput(t, append([]string{"audit", "--format", "json"}, args...)...)
	var r report.Report
	if err := json.Unmarshal([]byte(end.stdout), &r); err != nil || end.code != wantCode {
		t.Fatalf("exit code %d, want %d; %v\n%s\n%s", end.code, wantCode, err, end.stdout, end.stderr)
	}
	return r, end
}

// data is what audit is to find: a set with claims that its class would
// destroy, a claim nobody needs, and a set that no Service governs.
const data = `apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, labels: {app: db}}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{name: db, image: postgres, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data, annotations: {stayput.dev/reclaim-policy: Delete}}
    spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: lost, labels: {app: lost}}
spec:
  serviceName: nowhere
  replicas: 1
  selector: {matchLabels: {app: lost}}
  template: {metadata: {labels: {app: lost}}, spec: {containers: [{name: a, image: b}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: unneeded}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 3Gi}}}
`

func TestAudit(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, data)
	for _, claim := range []string{"data-db-0", "data-db-1", "unneeded"} {
		output(t, "Bound", "get", "pvc", "-n", ns, claim, "--ignore-not-found", "-o", "jsonpath={.status.phase}")
	}
	kubeconfig := env.Cluster.Kubeconfig()
	r, _ := audited(t, 0, "--kubeconfig", kubeconfig, "-n", ns, "--chunk-size", "1")

	fates := map[string]string{}
	for _, c := range r.Inventory.Claims {
		fates[c.Name] = fmt.Sprintf("%s %s %s needed=%v", c.StatefulSet, c.Capacity, c.Fate, c.Needed)
	}
	for claim, want := range map[string]string{
		"data-db-0": "db 1Gi destroyed needed=true", "data-db-1": "db 1Gi destroyed needed=true",
		"unneeded": " 3Gi destroyed needed=false",
	} {
		if fates[claim] != want {
			t.Errorf("claim %s: %q, want %q", claim, fates[claim], want)
		}
	}
	if len(r.Inventory.Claims) != 3 || len(r.Inventory.Volumes) != 3 || len(r.Inventory.StatefulSets) != 2 {
		t.Errorf("the inventory of one namespace: %+v", r.Inventory)
	}
	for _, s := range r.Inventory.StatefulSets {
		if want := map[string]string{"lost": "Service nowhere does not exist"}[s.Name]; s.Unresolved != want {
			t.Errorf("StatefulSet %s: unresolved %q, want %q", s.Name, s.Unresolved, want)
		}
	}
	found := map[string]bool{}
	for _, f := range r.Findings {
		found[f.Rule+" "+f.Object.Name] = true
		if f.Object.Namespace != ns && f.Object.Kind != "PersistentVolume" && f.Object.Kind != "Namespace" {
			t.Errorf("a finding about another namespace: %+v", f)
		}
	}
	if !found["statefulset-service-missing lost"] || !found["statefulset-grace-period db"] {
		t.Errorf("missing among %v", found)
	}
	if len(r.Skipped) > 0 {
		t.Errorf("skipped, with all to be read: %v", r.Skipped)
	}

	// A selector narrows what is reviewed, not what is looked up.
	r, _ = audited(t, 1, "--kubeconfig", kubeconfig, "-n", ns, "-l", "app=db", "--fail-on", "warn")
	for _, f := range r.Findings {
		if f.Object.Name != "db" {
			t.Errorf("not app=db: %+v", f)
		}
		if f.Rule == "statefulset-service-missing" {
			t.Errorf("the Service was not looked up: %+v", f)
		}
	}

	// The whole cluster, page by page, comes to the same as in one piece.
	contains(t, stayput(t, "audit", "--kubeconfig", kubeconfig).stdout, "inventory:", ns+"/unneeded 3Gi",
		"Service nowhere does not exist")
}

// TestAuditForbidden has an account that may read all but StatefulSets.
func TestAuditForbidden(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(`apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %s}
rules:
- {apiGroups: [""], resources: [persistentvolumeclaims, persistentvolumes, services, pods,
	namespaces, nodes, configmaps], verbs: [list]}
- {apiGroups: [apps], resources: [deployments], verbs: [list]}
- {apiGroups: [batch], resources: [jobs, cronjobs], verbs: [list]}
- {apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: [list]}
- {apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [list]}
- {apiGroups: [storage.k8s.io], resources: [storageclasses, volumeattributesclasses], verbs: [list]}
---
apiVersion: v1
kind: Pod
metadata: {name: nobody}
spec: {containers: [{name: a, image: b}], subdomain: nowhere, hostname: nobody}
`, ns))
	t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "delete", "clusterrole", ns) })
	token := newAccount(t, ns, "auditor", "clusterrolebinding --clusterrole="+ns)
	kubeconfig := writeKubeconfig(t, env.Cluster.Config().Host, token)
	r, end := audited(t, 2, "--kubeconfig", kubeconfig, "-n", ns)
	if len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Message, "list StatefulSets: ") ||
		!strings.Contains(r.Errors[0].Message, "forbidden") {
		t.Errorf("errors: %+v", r.Errors)
	}
	contains(t, end.stderr, "list StatefulSets", "is forbidden")
	if len(r.Inventory.Unknown) != 1 || r.Inventory.Unknown[0] != "StatefulSet" {
		t.Errorf("unknown to the inventory: %q", r.Inventory.Unknown)
	}
	if r.Summary.Objects == 0 {
		t.Error("nothing else was reviewed")
	}
}

// TestAuditClusterGoesAway cuts the connection in the middle.
func TestAuditClusterGoesAway(t *testing.T) {
	t.Parallel()
	transport, err := rest.TransportFor(env.Cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(env.Cluster.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	var lists atomic.Int32
	server := &http.Server{}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("limit") && lists.Add(1) > 3 {
			_ = server.Close()
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	end := stayput(t, "audit", "--kubeconfig", writeKubeconfig(t, "http://"+listener.Addr().String(), ""))
	if end.code != 2 || end.stdout != "" || strings.Count(end.stderr, "\n") != 1 {
		t.Errorf("exit code %d, stdout %q, stderr %q", end.code, end.stdout, end.stderr)
	}
	contains(t, end.stderr, "stayput: list ", "nothing is reported")
}

func writeKubeconfig(t *testing.T, host, token string) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: host}
	if strings.HasPrefix(host, "https") {
		c.Clusters["c"].CertificateAuthorityData = env.Cluster.Config().CAData
	}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	c.CurrentContext = "x"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAuditReports writes reports in APIs that the cluster does not have, and,
// once it has, in each namespace what audit found there.
func TestAuditReports(t *testing.T) {
	t.Parallel()
	modes := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(modes, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, api := range []struct{ name, group, kind, crds string }{
		{"openreports", "openreports.io", "reports", filepath.Join(moduleDir(t, "..", "github.com/openreports/reports-api"),
			"config/crd")},
		{"policyreport", "wgpolicyk8s.io", "policyreports",
			filepath.Join(moduleDir(t, "../tools/crds", "github.com/kyverno/kyverno"), "config/crds/policyreport")},
	} {
		t.Run(api.name, func(t *testing.T) {
			ns := namespace(t)
			apply(t, ns, data)
			args := []string{"--kubeconfig", env.Cluster.Kubeconfig(), "-n", ns, "--report", api.name}
			_, end := audited(t, 0, args...)
			contains(t, end.stderr,
				"skipped, for the cluster does not have the CustomResourceDefinitions of "+api.group+"/v1alpha")
			for _, kind := range []string{api.kind, "cluster" + api.kind} {
				apply(t, ns, readFile(t, api.crds, api.group+"_"+kind+".yaml"))
				established(t, "crd/"+kind+"."+api.group)
			}
			var r report.Report
			eventually(t, "the API is served", func() error {
				if r, end = audited(t, 0, args...); end.stderr != "" {
					return errors.New(end.stderr)
				}
				return nil
			})
			want := map[string]bool{}
			for _, f := range r.Findings {
				if f.Object.Namespace == ns {
					want[strings.Join([]string{f.Rule, f.Object.Kind, f.Object.Name, f.Field, f.Message, f.Remedy}, "|")] = true
				}
			}
			var got struct {
				Summary struct{ Warn int }
				Results []struct {
					Policy, Source, Result, Message string
					Resources                       []struct{ Kind, Name, FieldPath string }
					Properties                      map[string]string
					Timestamp                       struct{ Seconds int64 }
				}
			}
			if err := json.Unmarshal([]byte(kubectl(t, "get", api.kind+"."+api.group, "stayput", "-n", ns, "-o", "json")),
				&got); err != nil {
				t.Fatal(err)
			}
			if got.Summary.Warn != len(want) || len(got.Results) != len(want) {
				t.Errorf("%d warnings and %d results, want %d", got.Summary.Warn, len(got.Results), len(want))
			}
			for _, res := range got.Results {
				if len(res.Resources) != 1 || res.Source != "stayput" || res.Result != "warn" || res.Timestamp.Seconds == 0 {
					t.Fatalf("a result: %+v", res)
				}
				o := res.Resources[0]
				if key := strings.Join([]string{res.Policy, o.Kind, o.Name, o.FieldPath, res.Message, res.Properties["fix"]},
					"|"); !want[key] {
					t.Errorf("not found by audit: %s", key)
				}
			}

			// Again, with nothing left to find: the report is taken back.
			kubectl(t, "label", "--overwrite", "namespace", ns, "stayput.dev/mode=off")
			audited(t, 0, append(args, "--config", modes)...)
			output(t, "", "get", api.kind+"."+api.group, "-n", ns, "-o", "name")
		})
	}
}
