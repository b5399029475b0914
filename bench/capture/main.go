// Command capture records the AdmissionReviews of the benchmarks as a real API
// server sends them: it starts the local control plane, points Stayput's own
// webhook configurations at a recorder, and applies the manifests beside it.
//
//	go run ./bench/capture bench/payloads
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/client-go/util/cert"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

//go:embed cluster.yaml
var clusterManifest string

//go:embed workloads.yaml
var workloads string

//go:embed created.yaml
var created string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: capture DIRECTORY")
		stop()
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		stop()
		os.Exit(1)
	}
}

// wanted maps the recorded requests to file names. The key is webhook, operation,
// resource and the object's name, or the prefix of its generated name.
var wanted = map[string]string{
	"validate CREATE statefulsets ledger":              "statefulset-create",
	"mutate CREATE statefulsets ledger":                "statefulset-create-mutate",
	"validate CREATE statefulsets db-warned":           "statefulset-warned",
	"validate CREATE statefulsets db-denied":           "statefulset-denied",
	"validate UPDATE statefulsets db":                  "statefulset-update",
	"mutate CREATE pods web-":                          "pod-create-mutate",
	"validate CREATE pods web-":                        "pod-create",
	"validate CREATE persistentvolumeclaims spare":     "claim-create",
	"validate DELETE persistentvolumeclaims data-db-0": "claim-delete-denied",
	"validate DELETE persistentvolumeclaims spare":     "claim-delete",
	"mutate CREATE persistentvolumes pvc-":             "volume-create-mutate",
	"validate CREATE persistentvolumes pvc-":           "volume-create",
}

func run(ctx context.Context, out string) (err error) {
	dir, err := os.MkdirTemp("", "stayput-capture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rec, err := startRecorder(dir)
	if err != nil {
		return err
	}
	defer rec.Close()
	fmt.Println("Starting the local control plane ...")
	c, err := localcluster.Start(ctx, localcluster.Options{Log: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	binary, err := harness.Build(ctx, dir)
	if err != nil {
		return err
	}
	k := kubectl{ctx, c}
	if err := k.do(clusterManifest, "apply", "-f", "-"); err != nil {
		return err
	}
	config, err := exec.CommandContext(ctx, binary, "webhooks", "--url", "https://"+rec.address, "--ca-file",
		filepath.Join(dir, "tls.crt")).Output()
	if err != nil {
		return fmt.Errorf("stayput webhooks: %w", err)
	}
	if err := k.do(string(config), "apply", "-f", "-"); err != nil {
		return err
	}
	if err := rec.awake(k); err != nil {
		return err
	}
	fmt.Println("Applying workloads ...")
	if err := k.live(); err != nil {
		return err
	}
	state, err := k.out("", "get",
		"namespaces,services,poddisruptionbudgets,storageclasses,statefulsets,deployments,pods,"+
			"persistentvolumeclaims,persistentvolumes,nodes", "-A", "-o", "json")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "cluster.json"), []byte(state), 0o644); err != nil {
		return err
	}
	// The last request must not change the files that have been written: the
	// StatefulSet that it creates has no claims of its own.
	if err := k.do(created, "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	if err := k.do("", "delete", "pvc", "data-db-0", "spare", "-n", "shop", "--wait=false"); err != nil {
		return err
	}
	return rec.write(out)
}

// live creates the objects of the payloads, and waits for the controllers to do
// their part.
func (k kubectl) live() error {
	for _, step := range []struct {
		stdin string
		args  []string
	}{
		{workloads, []string{"apply", "--server-side", "-f", "-"}},
		{"", []string{"rollout", "status", "statefulset/db", "-n", "shop", "--timeout=60s"}},
		{"", []string{"rollout", "status", "deployment/web", "-n", "shop", "--timeout=60s"}},
		{"", []string{"label", "statefulset", "db", "-n", "shop", "team=payments", "--field-manager=ops"}},
		{"", []string{"scale", "statefulset", "db", "-n", "shop", "--replicas=3"}},
		{strings.ReplaceAll(workloads, "postgres:17.4", "postgres:17.5"), []string{"apply", "--server-side",
			"--force-conflicts", "-f", "-"}},
		{"", []string{"rollout", "status", "statefulset/db", "-n", "shop", "--timeout=60s"}},
	} {
		if err := k.do(step.stdin, step.args...); err != nil {
			return err
		}
	}
	return nil
}

type kubectl struct {
	ctx context.Context
	c   *localcluster.Cluster
}

func (k kubectl) out(stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(k.ctx, k.c.Kubectl(), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.c.Kubeconfig())
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

func (k kubectl) do(stdin string, args ...string) error {
	_, err := k.out(stdin, args...)
	return err
}

// A recorder allows every request. It keeps the first request of each kind, but the
// last of updates.
type recorder struct {
	*http.Server
	address string

	mu   sync.Mutex
	seen map[string][]byte
}

func startRecorder(dir string) (*recorder, error) {
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.crt"), certPEM, 0o600); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{address: l.Addr().String(), seen: map[string][]byte{}}
	r.Server = &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}}
	go func() { _ = r.ServeTLS(l, "", "") }()
	return r, nil
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil || review.Request == nil {
		http.Error(w, "no AdmissionReview", http.StatusBadRequest)
		return
	}
	var meta struct {
		Metadata struct{ Name, GenerateName string }
	}
	raw := review.Request.Object.Raw
	if len(raw) == 0 {
		raw = review.Request.OldObject.Raw
	}
	if err := json.Unmarshal(raw, &meta); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name := meta.Metadata.Name
	if meta.Metadata.GenerateName != "" || strings.HasPrefix(name, "pvc-") {
		name, _, _ = strings.Cut(meta.Metadata.GenerateName+name, "-")
		name += "-"
	}
	path := strings.TrimPrefix(req.URL.Path, "/")
	key := fmt.Sprintf("%s %s %s %s", path, review.Request.Operation, review.Request.Resource.Resource, name)
	fmt.Println("  asked:", key, len(body))
	r.mu.Lock()
	if review.Request.SubResource == "" && (r.seen[key] == nil || review.Request.Operation == admissionv1.Update) {
		r.seen[key] = body
	}
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{
		TypeMeta: review.TypeMeta, Response: &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true},
	})
}

// awake waits until the API server calls both webhooks.
func (r *recorder) awake(k kubectl) error {
	const probe = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: probe, namespace: shop}\nspec: " +
		"{serviceName: x, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: " +
		"[{name: a, image: a}]}}}\n"
	for range 100 {
		if err := k.do(probe, "create", "--dry-run=server", "-f", "-"); err != nil {
			return err
		}
		r.mu.Lock()
		both := r.seen["validate CREATE statefulsets probe"] != nil && r.seen["mutate CREATE statefulsets probe"] != nil
		r.mu.Unlock()
		if both {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("the API server does not notice the webhooks")
}

func (r *recorder) write(out string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, file := range wanted {
		body, ok := r.seen[key]
		if !ok {
			return fmt.Errorf("nothing was recorded of %q", key)
		}
		if err := os.WriteFile(filepath.Join(out, file+".json"), body, 0o644); err != nil {
			return err
		}
		fmt.Printf("%-28s %6d bytes\n", file+".json", len(body))
	}
	return nil
}
