//go:build kind

package kind

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// A load creates Pods by dry run, as fast as the API server lets it, each of
// which the webhook with failurePolicy Fail must mutate.
type load struct {
	created, failed atomic.Int64
	mu              sync.Mutex
	errs            []string
	stop            func()
}

func (c cluster) startLoad(client kubernetes.Interface, workers int) *load {
	ctx, cancel := context.WithCancel(c.t.Context())
	l := &load{}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				if err := create(ctx, client); err == nil {
					l.created.Add(1)
				} else if ctx.Err() == nil {
					l.failed.Add(1)
					l.mu.Lock()
					l.errs = append(l.errs, fmt.Sprintf("%s, in %.3f s: %v", start.UTC().Format("15:04:05.000"),
						time.Since(start).Seconds(), err))
					l.mu.Unlock()
				}
			}
		})
	}
	l.stop = func() { cancel(); group.Wait() }
	return l
}

func create(ctx context.Context, client kubernetes.Interface) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "load-", Labels: map[string]string{"app": "load",
			"stayput.dev/subdomain": "load"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "pod", Image: env.podImage}}},
	}
	made, err := client.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil && made.Spec.Subdomain != "load" {
		err = fmt.Errorf("let pass without its name: %q", made.Spec.Subdomain)
	}
	return err
}

// check fails the test if more than so many creations failed.
func (l *load) check(t *testing.T, atMost int64) {
	t.Helper()
	t.Logf("%d created, %d failed", l.created.Load(), l.failed.Load())
	if l.failed.Load() > atMost {
		t.Errorf("%d creations failed beside %d, at most %d may:\n%s", l.failed.Load(), l.created.Load(), atMost,
			strings.Join(l.errs[:min(20, len(l.errs))], "\n"))
	}
}

// reaches waits until there are so many creations.
func (l *load) reaches(c cluster, n int64) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d creations", n), 15*time.Minute, func() error {
		if created := l.created.Load(); created < n {
			return fmt.Errorf("%d, and %d failed", created, l.failed.Load())
		}
		return nil
	})
}

// rollingRestarts spreads them over the creations.
func rollingRestarts(t *testing.T, c cluster) {
	l := c.startLoad(c.client(), 8)
	defer l.stop()
	for i := range *restarts {
		c.kubectl("rollout", "restart", "deployment/stayput", "-n", "stayput")
		c.kubectl("rollout", "status", "deployment/stayput", "-n", "stayput", "--timeout=300s")
		t.Logf("restart %d: %d created so far, %d failed", i+1, l.created.Load(), l.failed.Load())
		l.reaches(c, int64(*creates*(i+1) / *restarts))
	}
	l.stop()
	l.check(t, 0)
}

// killed kills the process of one replica, without a chance to drain. Only
// what it was answering may fail.
func killed(t *testing.T, c cluster) {
	const workers = 8
	// Those that drain have gone.
	c.eventually("three Pods", 3*time.Minute, func() error {
		if n := len(strings.Fields(c.kubectl("get", "pods", "-n", "stayput", "-l", "app.kubernetes.io/name=stayput", "-o",
			"name"))); n != 3 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	at := strings.Fields(c.kubectl("get", "pods", "-n", "stayput", "-l", "app.kubernetes.io/name=stayput", "-o",
		`jsonpath={.items[0].spec.nodeName} {.items[0].metadata.name} {.items[0].status.containerStatuses[0].containerID}`))
	l := c.startLoad(c.client(), workers)
	defer l.stop()
	time.Sleep(2 * time.Second)
	id := strings.TrimPrefix(at[2], "containerd://")
	pid := strings.TrimSpace(c.run("docker", "exec", at[0], "crictl", "inspect", "-o", "go-template", "--template",
		"{{.info.pid}}", id))
	c.run("docker", "exec", at[0], "kill", "-9", pid)
	start := time.Now()
	c.eventually("it was restarted", time.Minute, func() error {
		if n := c.kubectl("get", "pod", at[1], "-n", "stayput", "-o",
			"jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}"); n != "1 true" {
			return fmt.Errorf("restarts and readiness: %s", n)
		}
		return nil
	})
	t.Logf("ready again after %.1f s", time.Since(start).Seconds())
	l.stop()
	// What it held, and what came before its Pod was known not to be ready: a
	// connection that is refused is not tried again.
	l.check(t, l.created.Load()/100+workers)
}

// workerStopped freezes a node, whose replicas then neither answer nor close a
// connection. What is sent to them waits for its timeout, until the cluster has
// noticed; from then on nothing is.
func workerStopped(t *testing.T, c cluster) {
	client := c.client()
	node := c.name + "-worker2"
	if n := answering(t, client, node); n != 1 && n != 2 {
		t.Fatalf("%d of three replicas answer on %s: want one or two", n, node)
	}
	l := c.startLoad(client, 8)
	defer l.stop()
	c.run("docker", "pause", node)
	defer c.run("docker", "unpause", node)
	c.eventually("the Service has none of its replicas", 3*time.Minute, func() error {
		if n := answering(t, client, node); n > 0 {
			return fmt.Errorf("%d are still there", n)
		}
		return nil
	})
	time.Sleep(webhookTimeout + 2*time.Second) // what was sent last waits for that long
	failed, created := l.failed.Load(), l.created.Load()
	t.Logf("%d created, %d failed until then", created, failed)
	l.reaches(c, created+500)
	l.stop()
	l.check(t, failed)
	if err := c.denied(); err != nil {
		t.Error(err)
	}
}

// answering counts the replicas on a node to which the Service sends requests.
func answering(t *testing.T, client kubernetes.Interface, node string) (n int) {
	t.Helper()
	slices, err := client.DiscoveryV1().EndpointSlices("stayput").List(t.Context(),
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=stayput"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			if e.NodeName != nil && *e.NodeName == node && e.Conditions.Ready != nil && *e.Conditions.Ready {
				n++
			}
		}
	}
	return n
}

// TestAColdStart stops a cluster of one node, and starts it: Stayput guards
// what it guards with failurePolicy Fail, and nothing waits for anything.
func TestAColdStart(t *testing.T) {
	c := newCluster(t, "cold", 0)
	c.install(chart, env.image, 2)
	c.helmTest()
	c.apply("default", strings.ReplaceAll(database, "IMAGE", env.podImage))
	c.kubectl("rollout", "status", "statefulset/mysql", "--timeout=180s")
	c.kubectl("exec", "mysql-0", "--", "/pod", "write", "/data/rows", "forty-two")
	client := c.client()
	for i := range *colds {
		c.run("docker", "stop", "--time", "20", c.name+"-control-plane")
		c.run("docker", "start", c.name+"-control-plane")
		start := time.Now()
		c.eventually("the API server answers", 5*time.Minute, func() error {
			_, err := c.try("", "get", "--raw", "/readyz")
			return err
		})
		c.eventually("Stayput denies", 5*time.Minute, c.denied)
		// Its status is that of before, until the kubelet has looked.
		c.eventually("the database runs", 5*time.Minute, func() error {
			got, err := c.try("", "exec", "mysql-0", "--", "/pod", "read", "/data/rows")
			if err == nil && got != "forty-two" {
				err = fmt.Errorf("it holds %q", got)
			}
			return err
		})
		c.eventually("a Pod gets its name", time.Minute, func() error { return create(t.Context(), client) })
		t.Logf("cold start %d: %.0f s", i+1, time.Since(start).Seconds())
	}
}
