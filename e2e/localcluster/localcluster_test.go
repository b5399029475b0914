package localcluster_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stayput.dev/e2e/localcluster"
	"stayput.dev/internal/whole"
)

// child makes this program start a cluster, say what it consists of, and wait
// to be killed.
const child = "LOCALCLUSTER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		flag.Parse()
		if whole.LeavesOut("a control plane, which takes ten minutes to build") {
			return
		}
		os.Exit(m.Run())
	}
	c, err := localcluster.Start(context.Background(), localcluster.Options{Bare: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, pid := range c.PIDs() {
		fmt.Println(pid)
	}
	fmt.Println(filepath.Dir(c.Kubeconfig()))
	select {}
}

func start(t *testing.T, o localcluster.Options) (*localcluster.Cluster, kubernetes.Interface) {
	t.Helper()
	c, err := localcluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c, kubernetes.NewForConfigOrDie(c.Config())
}

// One cluster for all that can share one: its steps build on each other.
func TestCluster(t *testing.T) {
	c, client := start(t, localcluster.Options{})
	ctx := t.Context()

	if !t.Run("a stateful set runs, with its volumes", func(t *testing.T) { runStatefulSet(t, client) }) {
		return
	}
	t.Run("its Pods have names", func(t *testing.T) { resolves(t, c, client) })
	t.Run("a Pod that comes back has another address under its name", func(t *testing.T) {
		before := pod(t, client, "web-0")
		if err := client.CoreV1().Pods("default").Delete(ctx, "web-0", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if now := pod(t, client, "web-0"); now.UID == before.UID || now.Status.PodIP == "" ||
				now.Status.PodIP == before.Status.PodIP {
				return fmt.Errorf("web-0 has %s, and had %s", now.Status.PodIP, before.Status.PodIP)
			}
			return nil
		})
		resolves(t, c, client)
	})
	t.Run("kubectl works", func(t *testing.T) {
		out, err := exec.CommandContext(ctx, c.Kubectl(), "--kubeconfig", c.Kubeconfig(), "get", "nodes", "-o",
			"name").CombinedOutput()
		if err != nil || strings.Count(string(out), "node/") != localcluster.DefaultNodes {
			t.Errorf("kubectl get nodes: %v\n%s", err, out)
		}
	})
	for _, component := range []string{"kube-apiserver", "etcd", "kube-controller-manager", "kwok", "coredns"} {
		t.Run(component+" is killed and comes back", func(t *testing.T) { killAndRestart(t, c, client, component) })
	}
	t.Run("a second cluster runs beside it", func(t *testing.T) {
		_, other := start(t, localcluster.Options{Bare: true})
		mine, theirs := namespace(t, client), namespace(t, other)
		if mine.UID == theirs.UID {
			t.Error("both clusters have the same kube-system")
		}
	})
	t.Run("it leaves nothing behind", func(t *testing.T) { leavesNothing(t, c, client) })
}

// A second API server has the same objects, and ends with the cluster.
func TestASecondAPIServer(t *testing.T) {
	c, client := start(t, localcluster.Options{Bare: true})
	minors, err := localcluster.Minors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	newest := minors[len(minors)-1]
	config, err := c.AddAPIServer(t.Context(), newest)
	if err != nil {
		t.Fatal(err)
	}
	if mine, theirs := namespace(t, client), namespace(t, kubernetes.NewForConfigOrDie(config)); mine.UID != theirs.UID {
		t.Error("the API servers have not the same kube-system")
	}
	if _, err := c.AddAPIServer(t.Context(), newest); err == nil {
		t.Error("there are two of one name")
	}
	pid := c.PIDs()["kube-apiserver-"+newest]
	if !alive(pid) {
		t.Errorf("process %d does not run", pid)
	}
	if err := c.Stop(); err != nil || alive(pid) {
		t.Errorf("process %d runs: %t; %v", pid, alive(pid), err)
	}
}

func runStatefulSet(t *testing.T, client kubernetes.Interface) {
	ctx, labels := t.Context(), map[string]string{"app": "web"}
	wait, retain := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimRetain
	for _, class := range []*storagev1.StorageClass{
		{ObjectMeta: metav1.ObjectMeta{Name: "now"}, Provisioner: localcluster.HostPathProvisioner},
		{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Provisioner: localcluster.HostPathProvisioner, VolumeBindingMode: &wait,
			ReclaimPolicy: &retain},
	} {
		if _, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, Selector: labels, Ports: []corev1.ServicePort{{Port: 80}},
	}}
	if _, err := client.CoreV1().Services("default").Create(ctx, svc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.StatefulSetSpec{
		ServiceName: "web", Replicas: new(int32(2)),
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
		},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{claim("a", "now"), claim("b", "late")},
	}}
	if _, err := client.AppsV1().StatefulSets("default").Create(ctx, sts, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return ready(ctx, client, 2) })
}

func claim(name, class string) corev1.PersistentVolumeClaim {
	return corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: &class,
		AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources: corev1.VolumeResourceRequirements{
			Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}},
	}}
}

func ready(ctx context.Context, client kubernetes.Interface, want int32) error {
	sts, err := client.AppsV1().StatefulSets("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if sts.Status.ReadyReplicas != want || sts.Status.ObservedGeneration != sts.Generation {
		return fmt.Errorf("%d replicas are ready, want %d", sts.Status.ReadyReplicas, want)
	}
	return nil
}

// resolves asks CoreDNS for the Pods' names, over UDP and over TCP.
func resolves(t *testing.T, c *localcluster.Cluster, client kubernetes.Interface) {
	t.Helper()
	overTCP := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", c.DNS())
	}}
	for _, name := range []string{"web-0", "web-1"} {
		want := []string{pod(t, client, name).Status.PodIP}
		for _, resolver := range []*net.Resolver{c.Resolver(), overTCP} {
			eventually(t, func() error {
				got, err := resolver.LookupHost(t.Context(), name+".web.default.svc.cluster.local.")
				if err == nil && !slices.Equal(got, want) {
					err = fmt.Errorf("%s is %v, want %v", name, got, want)
				}
				return err
			})
		}
	}
	_, err := c.Resolver().LookupHost(t.Context(), "nobody.web.default.svc.cluster.local.")
	if dns := new(net.DNSError); !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("a name that nobody has: %v, want no such host", err)
	}
}

// killAndRestart also checks that the others notice: the set is scaled, and the
// new Pods become ready.
func killAndRestart(t *testing.T, c *localcluster.Cluster, client kubernetes.Interface, component string) {
	ctx, before := t.Context(), c.PIDs()[component]
	if err := c.Kill(component); err != nil {
		t.Fatal(err)
	}
	if pid, ok := c.PIDs()[component]; ok || alive(before) {
		t.Fatalf("%s runs as %d, and ran as %d", component, pid, before)
	}
	if component == "kube-apiserver" {
		if _, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{}); err == nil {
			t.Error("the API server answers without running")
		}
	}
	if err := c.Restart(ctx, component); err != nil {
		t.Fatal(err)
	}
	scale, err := client.AppsV1().StatefulSets("default").GetScale(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas++
	if _, err := client.AppsV1().StatefulSets("default").UpdateScale(ctx, "web", scale,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return ready(ctx, client, scale.Spec.Replicas) })
	resolves(t, c, client)
}

func leavesNothing(t *testing.T, c *localcluster.Cluster, client kubernetes.Interface) {
	pids, paths := c.PIDs(), []string{filepath.Dir(c.Kubeconfig())}
	if len(pids) != 6 {
		t.Errorf("%d components run, want 6: %v", len(pids), pids)
	}
	volumes, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(volumes.Items) < 4 {
		t.Fatalf("%d volumes, %v", len(volumes.Items), err)
	}
	for _, pv := range volumes.Items {
		paths = append(paths, pv.Spec.HostPath.Path)
	}
	// A volume that is gone has left its directory, for it was to be retained.
	for _, pv := range volumes.Items {
		if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
			if err := client.CoreV1().PersistentVolumes().Delete(t.Context(), pv.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	for range 2 { // the second time does nothing
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	gone(t, pids, paths)
	if err := c.Restart(t.Context(), "etcd"); err == nil || !strings.Contains(err.Error(), "the cluster is stopped") {
		t.Errorf("restart in a stopped cluster: %v", err)
	}
}

func TestErrors(t *testing.T) {
	t.Run("flag that the API server does not know", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "kept")
		_, err := localcluster.Start(t.Context(), localcluster.Options{Bare: true, Dir: dir,
			APIServerArgs: []string{"--no-such-flag"}})
		for _, want := range []string{"start kube-apiserver", filepath.Join(dir, "kube-apiserver.log"),
			"unknown flag: --no-such-flag"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		}
		if _, err := localcluster.Start(t.Context(), localcluster.Options{Bare: true, Dir: dir}); err == nil ||
			!strings.Contains(err.Error(), "must be empty") {
			t.Errorf("start in a used directory: %v", err)
		}
	})
	for want, o := range map[string]localcluster.Options{
		"the number cannot be negative": {Nodes: -1},
		"a bare cluster has none":       {Nodes: 3, Bare: true},
	} {
		t.Run(want, func(t *testing.T) {
			if _, err := localcluster.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("cancelled start", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		_, err := localcluster.Start(ctx, localcluster.Options{})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "start ") {
			t.Errorf("got %v", err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("component that there is not", func(t *testing.T) {
		c, _ := start(t, localcluster.Options{Bare: true})
		want := `kill "kubelet": there is no such component; there are etcd, kube-apiserver`
		if err := c.Kill("kubelet"); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := c.Restart(t.Context(), "kube-scheduler"); err == nil {
			t.Error("a bare cluster restarts a scheduler")
		}
	})
}

// When the program is killed, it can do nothing any more.
func TestNothingSurvivesSIGKILL(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs Linux")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), child+"=1"), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids, dir := map[string]int{}, ""
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		if pid := 0; strings.HasPrefix(lines.Text(), "/") {
			dir = lines.Text()
		} else if _, err := fmt.Sscan(lines.Text(), &pid); err == nil {
			pids[lines.Text()] = pid
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if len(pids) != 2 || dir == "" {
		t.Fatalf("the child said %v and %q, want two processes and a directory", pids, dir)
	}
	gone(t, pids, []string{dir})
}

// gone waits until neither the processes nor the paths are there.
func gone(t *testing.T, pids map[string]int, paths []string) {
	t.Helper()
	eventually(t, func() error {
		for name, pid := range pids {
			if alive(pid) {
				return fmt.Errorf("%s still runs as %d", name, pid)
			}
		}
		for _, path := range paths {
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("%s is still there: %v", path, err)
			}
		}
		return nil
	})
}

// alive says whether a process runs. One that has ended stays in /proc, as Z,
// until somebody asks how.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func pod(t *testing.T, client kubernetes.Interface, name string) *corev1.Pod {
	t.Helper()
	pod, err := client.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil && !strings.Contains(err.Error(), "not found") {
		t.Fatal(err)
	}
	return pod
}

func namespace(t *testing.T, client kubernetes.Interface) *corev1.Namespace {
	t.Helper()
	ns, err := client.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func eventually(t *testing.T, ask func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
