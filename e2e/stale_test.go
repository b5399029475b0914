package e2e

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stayput.dev/e2e/harness"
)

// A laggard is a proxy between Stayput and the API server. It can delay the events
// of watches, or cut all watches; it forwards everything else at once.
type laggard struct {
	lag sync.RWMutex // locked while lagging

	mu      sync.Mutex
	severed bool
	watches map[io.Closer]bool
	writes  []string // all that Stayput has asked to change, but leases
}

func (l *laggard) count(r *http.Request) {
	if r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/leases") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, r.Method+" "+r.URL.Path)
}

func (l *laggard) written() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.writes)
}

// cut ends all watches, and refuses new ones until they are mended.
func (l *laggard) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.severed = true
	for w := range l.watches {
		_ = w.Close()
	}
}

func (l *laggard) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.severed = false
}

// begin remembers a watch. It says whether there may be one.
func (l *laggard) begin(w io.Closer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watches == nil {
		l.watches = map[io.Closer]bool{}
	}
	l.watches[w] = true
	return !l.severed
}

// between starts the proxy and sets it as the server in Stayput's kubeconfig.
func (l *laggard) between(t *testing.T, s *harness.Stayput) {
	t.Helper()
	file := filepath.Join(s.Dir, "kubeconfig")
	kubeconfig, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	api := s.Cluster.Config()
	target, err := url.Parse(api.Host)
	if err != nil {
		t.Fatal(err)
	}
	// Stayput's token goes through; only the authority is the laggard's own.
	transport, err := rest.TransportFor(&rest.Config{Host: api.Host,
		TLSClientConfig: rest.TLSClientConfig{CAData: api.CAData}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { l.count(r.In); r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ModifyResponse: func(resp *http.Response) error {
			if resp.Request.URL.Query().Get("watch") != "" {
				resp.Body = &held{resp.Body, &l.lag}
				if !l.begin(resp.Body) {
					return errors.New("the watch is cut")
				}
			}
			return nil
		},
		// Watches end when Stayput does.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:     log.New(io.Discard, "", 0), // of watches that are cut
	})
	t.Cleanup(server.Close)
	for _, c := range kubeconfig.Clusters {
		c.Server = server.URL
		c.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	}
	if err := clientcmd.WriteToFile(*kubeconfig, file); err != nil {
		t.Fatal(err)
	}
}

// held is a watch whose events wait while the laggard lags.
type held struct {
	io.ReadCloser
	lag *sync.RWMutex
}

func (h *held) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	h.lag.RLock()
	defer h.lag.RUnlock()
	return n, err
}

const (
	staleClaim = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-mysql-0, labels: {app: mysql}}
spec: {accessModes: [ReadWriteOnce], storageClassName: none, volumeName: NS, resources: {requests: {storage: 1Gi}}}
---
`
	staleVolume = `apiVersion: v1
kind: PersistentVolume
metadata: {name: NS, annotations: {stayput.dev/claim-of: mysql/data/0,
  pv.kubernetes.io/provisioned-by: example.com/disk}}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 1Gi}
  storageClassName: none
  persistentVolumeReclaimPolicy: Delete
  claimRef: {namespace: NS, name: data-mysql-0}
  csi: {driver: example.com, volumeHandle: NS}
---
`
	staleClass = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: NS}
provisioner: example.com/disk
reclaimPolicy: Delete
---
`
	ordinaryService = `apiVersion: v1
kind: Service
metadata: {name: mysql-h}
spec: {selector: {app: mysql}, ports: [{port: 3306}]}
---
`
	fixedHostname = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {hostname: web, containers: [{name: web, image: web}]}
`
	sharesClaim = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: shared}
spec:
  serviceName: mysql-h
  replicas: 2
  selector: {matchLabels: {app: shared}}
  template:
    metadata: {labels: {app: shared}}
    spec:
      containers: [{name: db, image: db, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data-mysql-0}}]
`
)

// destroying is a configuration that does not change the policy of volumes.
const destroying = `apiVersion: stayput.dev/v1alpha1
kind: Configuration
mutators: {volume-retain: off}
`

// TestNothingIsDeniedOnAStaleCache changes objects unseen by Stayput's
// informers: what was denied a moment ago, and is right now, is not denied.
func TestNothingIsDeniedOnAStaleCache(t *testing.T) {
	t.Parallel()
	var l laggard
	b := newBare(t, destroying, func(s *harness.Stayput) { l.between(t, s) })
	mysql := readFile(t, "testdata", "mysql.yaml")
	replace := func(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
	bind := [][]string{
		{"patch", "pvc", "data-mysql-0", "--subresource=status", "--type=merge", "-p", `{"status":{"phase":"Bound"}}`},
		{"patch", "pv", "NS", "--subresource=status", "--type=merge", "-p", `{"status":{"phase":"Bound"}}`},
	}
	deleteClaim := []string{"delete", "pvc", "data-mysql-0", "--wait=false"}
	for name, tc := range map[string]struct {
		cached    string     // what Stayput has seen
		also      [][]string // and done to it
		manifest  string     // the request, on stdin
		request   []string   // denied before
		rule      string
		meanwhile [][]string // what Stayput has not seen
		applied   string
	}{
		"the StatefulSet is gone": {
			cached: mysql + "---\n" + staleClaim, request: deleteClaim, rule: "claim-in-use",
			meanwhile: [][]string{{"delete", "statefulset", "mysql", "--wait=false"}},
		},
		"the StatefulSet is being deleted": {
			cached: mysql + "---\n" + staleClaim, request: deleteClaim, rule: "claim-in-use",
			meanwhile: [][]string{{"delete", "statefulset", "mysql", "--cascade=foreground", "--wait=false"}},
		},
		"the StatefulSet is scaled down": {
			cached: mysql + "---\n" + staleClaim, request: deleteClaim, rule: "claim-in-use",
			meanwhile: [][]string{{"scale", "statefulset", "mysql", "--replicas=0"}},
		},
		"the claim is exempted by its namespace": {
			cached: mysql + "---\n" + staleClaim, request: deleteClaim, rule: "claim-in-use",
			meanwhile: [][]string{{"annotate", "namespace", "NS", "exempt.stayput.dev/claim-in-use=a drill"}},
		},
		"the namespace is in mode warn": {
			cached: mysql + "---\n" + staleClaim, request: deleteClaim, rule: "claim-in-use",
			meanwhile: [][]string{{"label", "namespace", "NS", "stayput.dev/mode=warn"}},
		},
		"the namespace terminates": {
			cached: mysql + "---\n" + staleClaim, request: deleteClaim, rule: "claim-in-use",
			meanwhile: [][]string{{"delete", "namespace", "NS", "--wait=false"}},
		},
		"the disk may go": {
			cached: staleVolume + staleClaim, also: bind, request: deleteClaim, rule: "claim-in-use",
			meanwhile: [][]string{{"annotate", "namespace", "NS", "stayput.dev/reclaim-policy=Delete"}},
		},
		"the disk is retained": {
			cached: staleVolume + staleClaim, also: bind, request: []string{"delete", "namespace", "NS", "--wait=false"},
			rule:      "namespace-data",
			meanwhile: [][]string{{"patch", "pv", "NS", "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`}},
		},
		"the claim is gone": {
			cached: staleVolume + staleClaim, also: bind, request: []string{"delete", "pv", "NS", "--wait=false"},
			rule:      "volume-in-use",
			meanwhile: [][]string{{"annotate", "pvc", "data-mysql-0", "stayput.dev/reclaim-policy=Delete"}, deleteClaim},
		},
		"the Service is made again": {
			cached: ordinaryService, manifest: mysql, request: []string{"create", "-f", "-"},
			rule:      "statefulset-service-headless",
			meanwhile: [][]string{{"delete", "service", "mysql-h"}}, applied: headlessService,
		},
		"the class is made again": {
			cached: staleClass,
			manifest: replace(mysql, "  replicas: 3",
				"  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}\n  replicas: 3", "storageClassName: disk",
				"storageClassName: NS"),
			request: []string{"create", "-f", "-"}, rule: "statefulset-retention",
			meanwhile: [][]string{{"delete", "storageclass", "NS"}}, applied: replace(staleClass, "reclaimPolicy: Delete",
				"reclaimPolicy: Retain"),
		},
		"the claim is made again": {
			cached: staleClaim, manifest: sharesClaim, request: []string{"create", "-f", "-"}, rule: "statefulset-shared-claim",
			meanwhile: [][]string{deleteClaim}, applied: replace(staleClaim, "ReadWriteOnce", "ReadWriteMany"),
		},
		"the hostname is taken away": {
			cached: fixedHostname, request: []string{"scale", "deployment", "web", "--replicas=3"}, rule: "deployment-hostname",
			meanwhile: [][]string{{"patch", "deployment", "web", "-p", `{"spec":{"template":{"spec":{"hostname":null}}}}`}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
			in := func(args []string) []string {
				args = append(slices.Clone(args), "-n", ns)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "NS", ns)
				}
				return args
			}
			manifest := strings.ReplaceAll(tc.manifest, "NS", ns)
			b.kubectl(t, "", "create", "namespace", ns)
			b.kubectl(t, strings.ReplaceAll(tc.cached, "NS", ns), in([]string{"apply", "-f", "-"})...)
			for _, args := range tc.also {
				b.kubectl(t, "", in(args)...)
			}
			// Only when Stayput has seen it all can the cache be stale.
			eventually(t, "a denial", func() error {
				out, err := b.try(t, manifest, append(in(tc.request), "--dry-run=server")...)
				if err != nil && strings.Contains(out, tc.rule+": ") {
					return nil
				}
				return &notDenied{out}
			})
			l.lag.Lock()
			defer l.lag.Unlock()
			for _, args := range tc.meanwhile {
				b.kubectl(t, "", in(args)...)
			}
			if tc.applied != "" {
				b.kubectl(t, strings.ReplaceAll(tc.applied, "NS", ns), in([]string{"create", "-f", "-"})...)
			}
			before := b.looksAtTheAPIServer(t)
			if out, err := b.try(t, manifest, in(tc.request)...); err != nil {
				t.Errorf("denied on a stale cache:\n%s", out)
			}
			if b.looksAtTheAPIServer(t) == before {
				t.Error("Stayput did not ask the API server: its cache was not stale")
			}
		})
	}
}

type notDenied struct{ out string }

func (e *notDenied) Error() string { return "not denied: " + e.out }

// looksAtTheAPIServer returns how often Stayput has asked beside its cache.
func (b *bare) looksAtTheAPIServer(t *testing.T) (n float64) {
	t.Helper()
	text, err := b.Metrics(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range liveLookups.FindAllStringSubmatch(text, -1) {
		x, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		n += x
	}
	return n
}

var liveLookups = regexp.MustCompile(`(?m)^stayput_live_lookups_total\S* (\S+)$`)

// TestNamesAreGivenOnAStaleCache makes what gives names while Stayput's
// informers see nothing.
func TestNamesAreGivenOnAStaleCache(t *testing.T) {
	t.Parallel()
	var l laggard
	b := newBare(t, "", func(s *harness.Stayput) { l.between(t, s) })
	l.lag.Lock()
	defer l.lag.Unlock()
	b.kubectl(t, "", "create", "namespace", "db")
	b.kubectl(t, "", "label", "namespace", "db", "stayput.dev/inject=enabled")
	b.kubectl(t, headlessService, "create", "-n", "db", "-f", "-")
	b.kubectl(t, strings.Replace(readFile(t, "testdata", "mysql.yaml"), "serviceName: mysql-h\n", "\n", 1), "create", "-n",
		"db", "-f", "-")
	if got := b.kubectl(t, "", "get", "statefulset", "mysql", "-n", "db", "-o",
		"jsonpath={.spec.serviceName}"); got != "mysql-h" {
		t.Errorf("serviceName %q, want mysql-h", got)
	}
	b.kubectl(t, `apiVersion: v1
kind: Pod
metadata: {name: mysql-pod, labels: {app: mysql}}
spec: {containers: [{name: mysql, image: mysql}]}
`, "create", "-n", "db", "-f", "-")
	if got := b.kubectl(t, "", "get", "pod", "mysql-pod", "-n", "db", "-o",
		"jsonpath={.spec.hostname}.{.spec.subdomain}"); got != "mysql-pod.mysql-h" {
		t.Errorf("the Pod is called %q, want mysql-pod.mysql-h", got)
	}
}
