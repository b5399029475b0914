// Package e2e proves Stayput on a real control plane: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler and CoreDNS, with Pods that only
// pretend to run. What a test asks is what kubectl's user sees.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"

	"stayput.dev/cluster"
	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
	"stayput.dev/internal/whole"
)

// env is what all tests share: one cluster with one Stayput beside it, or in it.
var env struct {
	*harness.Stayput
	client     kubernetes.Interface
	resolve    func(ctx context.Context, name string) ([]string, error)
	patient    time.Duration    // how long what is to come may take
	minor      int              // of the API server: 37 of Kubernetes 1.37
	kubernetes cluster.Versions // what the API server answers with
}

func TestMain(m *testing.M) {
	atOnce()
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	os.Exit(run(m))
}

// atOnce lets twice as many tests run at once as there are processors, unless -parallel says
// how many: most of them wait for a controller or for a time limit.
func atOnce() {
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
}

func run(m *testing.M) int {
	if list := flag.Lookup("test.list"); list != nil && list.Value.String() != "" {
		return m.Run() // names alone
	}
	if testing.Short() {
		fmt.Println("e2e: a control plane is not a short test")
		return 0
	}
	if *outside.kubeconfig == "" && whole.LeavesOut("a control plane, which takes ten minutes to build") {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	cleanup, err := setUp(ctx)
	defer cleanup()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

// class is a StorageClass with the policy Delete, as most have, chosen by its
// author.
const class = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disk}
provisioner: ` + localcluster.HostPathProvisioner + `
reclaimPolicy: Delete
`

func setUp(ctx context.Context) (cleanup func(), err error) {
	var undo []func()
	cleanup = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	dir, err := os.MkdirTemp("", "stayput-e2e-")
	if err != nil {
		return cleanup, err
	}
	undo = append(undo, func() { _ = os.RemoveAll(dir) })
	env.patient = time.Minute
	if *outside.kubeconfig != "" {
		if err := setUpOutside(ctx); err != nil {
			return cleanup, err
		}
		return cleanup, askVersion()
	}
	cluster, err := localcluster.Start(ctx, localcluster.Options{})
	if err != nil {
		return cleanup, err
	}
	undo = append(undo, func() { _ = cluster.Stop() })
	binary, err := harness.Build(ctx, dir)
	if err != nil {
		return cleanup, err
	}
	env.Stayput = &harness.Stayput{Cluster: cluster, Binary: binary, Dir: dir, Config: config}
	env.resolve = cluster.Resolver().LookupHost
	if env.client, err = kubernetes.NewForConfig(cluster.Config()); err != nil {
		return cleanup, err
	}
	if err := askVersion(); err != nil {
		return cleanup, err
	}
	if err := env.Prepare(ctx); err != nil {
		return cleanup, err
	}
	undo = append(undo, func() { _ = env.Stop() })
	if err := env.Start(ctx); err != nil {
		return cleanup, err
	}
	if err := env.Install(ctx); err != nil {
		return cleanup, err
	}
	if out, err := env.Kubectl(ctx, class, "create", "-f", "-"); err != nil {
		return cleanup, fmt.Errorf("make a StorageClass: %w\n%s", err, out)
	}
	return cleanup, nil
}

// config lets namespaces choose any mode.
const config = `apiVersion: stayput.dev/v1alpha1
kind: Configuration
allowedModes: [off, warn, enforce]
`

// kubectl runs kubectl and returns what it prints; it must succeed.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(t, "", args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply applies a manifest to a namespace and returns what kubectl prints; it
// must succeed.
func apply(t *testing.T, ns, manifest string) string {
	t.Helper()
	out, err := try(t, manifest, "apply", "-n", ns, "-f", "-")
	if err != nil {
		t.Fatalf("kubectl apply: %v\n%s\n%s", err, out, manifest)
	}
	return out
}

// try runs kubectl, which may fail. No call takes longer than env.patient.
func try(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), env.patient)
	defer cancel()
	out, err := env.Kubectl(ctx, outside.runnable(stdin), args...)
	if ctx.Err() != nil {
		t.Fatalf("kubectl %s hangs\n%s", strings.Join(args, " "), out)
	}
	return out, err
}

// replacePods deletes Pods that their controller makes anew, and waits until it has. It
// does not let kubectl wait: kubectl 1.35 waits for the new Pod of that name to go, for
// ever (findings/kubectl-waits-for-successor.sh).
func replacePods(t *testing.T, ns string, pods ...string) {
	t.Helper()
	api := env.client.CoreV1().Pods(ns)
	was := map[string]types.UID{}
	for _, name := range pods {
		pod, err := api.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		was[name] = pod.UID
	}
	kubectl(t, slices.Concat([]string{"delete", "pod", "--wait=false", "-n", ns}, pods)...)
	for _, name := range pods {
		eventually(t, "another Pod "+name, func() error {
			pod, err := api.Get(t.Context(), name, metav1.GetOptions{})
			if err == nil && pod.UID == was[name] {
				err = errors.New("the old one is there")
			}
			return err
		})
	}
}

// namespace makes a namespace of the test's own, with labels, and deletes it
// when the test ends.
func namespace(t *testing.T, labels ...string) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", ",", "", "'", "").Replace(t.Name()))
	if len(name) > 40 {
		name = strings.Trim(name[:40], "-")
	}
	name += fmt.Sprintf("-%d", time.Now().UnixNano()%100000)
	makeNamespace(t, name, labels...)
	return name
}

// makeNamespace makes a namespace of a name, with labels, and deletes it when the
// test ends.
func makeNamespace(t *testing.T, name string, labels ...string) {
	t.Helper()
	made := corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		made.Labels[key] = value
	}
	api := env.client.CoreV1().Namespaces()
	if _, err := api.Create(t.Context(), &made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		// In mode off, so that the clean-up is no test of its own.
		off := fmt.Appendf(nil, `{"metadata": {"labels": {%q: "off"}}}`, cluster.LabelMode)
		_, _ = api.Patch(ctx, name, types.MergePatchType, off, metav1.PatchOptions{})
		_ = api.Delete(ctx, name, metav1.DeleteOptions{})
	})
}

// eventually tries until f returns nil, for at most env.patient.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(env.patient)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// established waits until kinds can be used, of the definitions that kubectl wait finds.
func established(t *testing.T, what ...string) {
	t.Helper()
	side{env.Stayput, t}.established(what...)
}

// output waits until kubectl prints want. It ignores spaces around the output.
func output(t *testing.T, want string, args ...string) {
	t.Helper()
	eventually(t, "kubectl "+strings.Join(args, " "), func() error {
		out, err := try(t, "", args...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if got := strings.TrimSpace(out); got != want {
			return fmt.Errorf("%q, want %q", got, want)
		}
		return nil
	})
}

// gone waits until an object does not exist.
func gone(t *testing.T, args ...string) {
	t.Helper()
	output(t, "", append([]string{"get", "--ignore-not-found", "-o", "name"}, args...)...)
}

// contains fails the test unless s holds every part.
func contains(t *testing.T, s string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(s, part) {
			t.Errorf("%q is missing in:\n%s", part, s)
		}
	}
}

func readFile(t *testing.T, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// moduleDir returns where the sources are of a module that the go.mod in dir
// requires.
func moduleDir(t *testing.T, dir, module string) string {
	t.Helper()
	found, err := harness.ModuleDir(t.Context(), dir, module)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
