package e2e

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// TestADenialThatNobodyCanConfirm halts etcd for longer than the API server waits
// for a webhook. Before Stayput denies, it looks again at the API server, which
// cannot answer; so Stayput does not answer either, and the failurePolicy decides.
// It lets requests to conventions.stayput.dev pass, which the API server's metrics
// show. Requests to the other webhook fail.
func TestADenialThatNobodyCanConfirm(t *testing.T) {
	t.Parallel()
	b := newBare(t, "")
	client := unthrottled(t, b)
	probes := newProbes(t, b, client)
	right(t, probes, "the start")
	before := failedOpen(t, client)

	etcd := b.Cluster.(*localcluster.Cluster).PIDs()["etcd"]
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(etcd, s); err != nil {
			t.Error(err)
		}
	}
	signal(syscall.SIGSTOP)
	again := time.AfterFunc(5*time.Second, func() { signal(syscall.SIGCONT) })
	t.Cleanup(func() {
		if again.Stop() {
			signal(syscall.SIGCONT)
		}
	})
	var group sync.WaitGroup
	answers := make([]error, len(probes))
	for i, p := range probes {
		group.Go(func() { answers[i] = p.ask(t.Context()) })
	}
	group.Wait()
	passed := 0
	for i, p := range probes {
		t.Logf("%s: %v", p.name, answers[i])
		switch {
		case answers[i] == nil && p.fail:
			t.Errorf("%s was allowed", p.name)
		case answers[i] == nil && p.deny != "":
			passed++
		case p.deny == "" && answers[i] != nil && strings.Contains(answers[i].Error(), "denied"):
			t.Errorf("%s was denied: %v", p.name, answers[i])
		}
	}
	right(t, probes, "etcd goes on")
	counted := failedOpen(t, client) - before
	t.Logf("%d let pass, of which the API server tells %.0f times", passed, counted)
	if passed == 0 || counted < float64(passed) {
		t.Errorf("%d let pass, and the API server tells of %.0f\n%s", passed, counted, b.Log())
	}
}

// failedOpen returns how often the API server has let pass what
// conventions.stayput.dev did not answer.
func failedOpen(t *testing.T, client kubernetes.Interface) float64 {
	t.Helper()
	text, err := client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	var ours strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `name="conventions.stayput.dev"`) {
			ours.WriteString(line)
		}
	}
	n, err := harness.Metric(ours.String(), "apiserver_admission_webhook_fail_open_count")
	if err != nil && !errors.Is(err, harness.ErrNoMetric) { // none yet
		t.Fatal(err)
	}
	return n
}
