//go:build kind

package kind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// A cluster is one that kind made for a test, and deletes when that ends.
type cluster struct {
	t          *testing.T
	name       string
	kubeconfig string
}

func newCluster(t *testing.T, name string, workers int) *cluster {
	t.Helper()
	c := &cluster{t: t, name: "stayput-" + env.run + "-" + name, kubeconfig: filepath.Join(env.dir, name+".kubeconfig")}
	config := "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n" +
		strings.Repeat("- role: worker\n", workers)
	file := filepath.Join(env.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"create", "cluster", "--name", c.name, "--config", file, "--kubeconfig", c.kubeconfig, "--wait",
		"300s"}
	if env.nodeImage != "" {
		args = append(args, "--image", env.nodeImage)
	}
	// Also what a failed creation has left.
	t.Cleanup(func() {
		if *keep {
			t.Logf("kept: KUBECONFIG=%s", c.kubeconfig)
			return
		}
		_, err := command(context.Background(), "", env.kind, "delete", "cluster", "--name", c.name, "--kubeconfig",
			c.kubeconfig)
		if err != nil {
			t.Error(err)
		}
	})
	start := time.Now()
	c.run(env.kind, args...)
	t.Logf("cluster in %.0f s", time.Since(start).Seconds())
	c.run(env.kind, "load", "docker-image", "--name", c.name, env.image, env.podImage, env.previous.image)
	return c
}

// run runs a program, which must succeed within ten minutes.
func (c *cluster) run(name string, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Minute)
	defer cancel()
	out, err := command(ctx, "", name, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// kubectl runs kubectl, which must succeed.
func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.try("", args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// try runs kubectl, which may fail.
func (c *cluster) try(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute)
	defer cancel()
	return command(ctx, stdin, env.kubectl, append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
}

func (c *cluster) apply(ns, manifest string) {
	c.t.Helper()
	if _, err := c.try(manifest, "apply", "-n", ns, "-f", "-"); err != nil {
		c.t.Fatalf("%v\n%s", err, manifest)
	}
}

func (c *cluster) helm(args ...string) string {
	c.t.Helper()
	return c.run(env.helm, append(args, "--kubeconfig", c.kubeconfig, "--namespace", "stayput")...)
}

func (c *cluster) client() kubernetes.Interface {
	c.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		c.t.Fatal(err)
	}
	config.QPS, config.Burst = -1, -1
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf,
		runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// eventually tries until f returns nil, for at most so long.
func (c *cluster) eventually(what string, atMost time.Duration, f func() error) {
	c.t.Helper()
	start := time.Now()
	for {
		err := f()
		if err == nil {
			c.t.Logf("%s after %.1f s", what, time.Since(start).Seconds())
			return
		}
		if time.Since(start) > atMost {
			c.t.Fatalf("not in %s: %s: %v", atMost, what, err)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// install installs a chart with helm, enforcing, and waits until it is ready.
func (c *cluster) install(chart, image string, replicas int) {
	c.t.Helper()
	c.kubectl("create", "namespace", "stayput")
	c.kubectl("label", "namespace", "stayput", "pod-security.kubernetes.io/enforce=restricted")
	start := time.Now()
	c.helm("install", "stayput", chart, "--values", c.values(image, replicas), "--wait", "--timeout", "5m")
	c.t.Logf("installed in %.0f s", time.Since(start).Seconds())
	// A Pod is ready before every kube-proxy knows where it is.
	client := c.client()
	c.eventually("a Pod can be created", time.Minute, func() error { return create(c.t.Context(), client) })
}

// chart is the one of this checkout.
const chart = "../../deploy/chart"

// webhookTimeout is how long the API server waits for an answer. On a busy
// machine that takes its time, and the webhooks that fail open would be passed
// over.
const webhookTimeout = 10 * time.Second

// values writes what helm is given, and returns the file.
func (c *cluster) values(image string, replicas int) string {
	c.t.Helper()
	repository, tag, _ := strings.Cut(image, ":")
	values, err := yaml.Marshal(map[string]any{
		"mode": "enforce", "replicas": replicas,
		"image":   map[string]any{"repository": repository, "tag": tag},
		"config":  map[string]any{"allowedModes": []string{"off", "warn", "enforce"}},
		"webhook": map[string]any{"timeoutSeconds": int(webhookTimeout.Seconds())},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(env.dir, c.name+"-values.yaml")
	if err := os.WriteFile(file, values, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// upgrade upgrades to this checkout's chart, as docs/install.md says.
func (c *cluster) upgrade(args ...string) {
	c.t.Helper()
	c.helm(append([]string{"upgrade", "stayput", chart, "--reset-then-reuse-values", "--wait", "--timeout", "5m"},
		args...)...)
}

// helmTest runs the chart's own test.
func (c *cluster) helmTest() {
	c.t.Helper()
	if out := c.helm("test", "stayput", "--timeout", "2m"); !strings.Contains(out, "Succeeded") {
		c.t.Fatalf("helm test:\n%s", out)
	}
}

// denied says whether Stayput denies what it must, or why not.
func (c *cluster) denied() error {
	_, err := c.try(`apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: stayput-probe, namespace: default, annotations: {stayput.dev/reclaim-policy: Recycle}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`, "create", "--dry-run=server", "-f", "-")
	if err == nil {
		return fmt.Errorf("an offending claim was let pass")
	}
	if !strings.Contains(err.Error(), "stayput-annotation") {
		return err
	}
	return nil
}
