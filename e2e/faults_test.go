package e2e

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"stayput.dev/e2e/localcluster"
)

// A probe is a request that has one right verdict, whatever is broken.
type probe struct {
	name string
	ask  func(ctx context.Context) error
	deny string // the rule that denies it; empty where it must be allowed
	fail bool   // whether its webhook fails closed: it must never be allowed
}

// TestFaults kills Stayput, the API server and etcd while requests go on. Every
// verdict must be right, or missing: a correct request is never denied, and a
// request that would lose data is never allowed, even if nothing can be looked up.
// Stayput must survive the end of the others.
func TestFaults(t *testing.T) {
	t.Parallel()
	b := newBare(t, "")
	probes := newProbes(t, b, unthrottled(t, b))
	right(t, probes, "the start")
	l := startLoad(t, probes, 20*time.Millisecond)
	away := 3 * time.Second
	if os.Getenv("STAYPUT_PROOF") != "" {
		away = 10 * time.Minute // R10
	}
	for _, component := range []string{"kube-apiserver", "etcd"} {
		kill(t, b, component, away)
		right(t, probes, "the death of "+component)
		if err := b.Ready(t.Context()); err != nil {
			t.Errorf("Stayput after the death of %s: %v\n%s", component, err, b.Log())
		}
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	_, _, before := l.counts()
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	right(t, probes, "the death of Stayput")
	l.stop()
	verdicts, none, open := l.counts()
	t.Logf("%d verdicts, all right; %d requests without one; %d let pass while nobody could be asked, by a webhook that "+
		"fails open", verdicts, none, open)
	if verdicts < 50 || before == 0 {
		t.Errorf("hardly anything was tried: %d verdicts, %d let pass", verdicts, before)
	}
}

// unthrottled returns a client without a rate limit and with a short timeout.
func unthrottled(t *testing.T, b *bare) kubernetes.Interface {
	t.Helper()
	config := b.Cluster.Config()
	config.QPS, config.Burst, config.Timeout, config.WarningHandler = -1, -1, 15*time.Second, rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// newProbes fills the namespace app and returns what to ask about it.
func newProbes(t *testing.T, b *bare, client kubernetes.Interface) []probe {
	t.Helper()
	b.kubectl(t, "", "create", "namespace", "app")
	mysql := strings.Replace(readFile(t, "testdata", "mysql.yaml"), "replicas: 3", "replicas: 1", 1)
	b.kubectl(t, mysql+"---\n"+strings.ReplaceAll(staleClaim, ", volumeName: NS", ""), "apply", "-n", "app", "-f", "-")
	if _, err := client.CoreV1().PersistentVolumeClaims("app").Create(t.Context(), claimNamed("of-nobody"),
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	dryRun := []string{metav1.DryRunAll}
	deployment := func(hostname string) *appsv1.Deployment {
		labels := map[string]string{"app": "web"}
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{GenerateName: "web-"}}
		d.Spec.Replicas = new(int32(3))
		d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		d.Spec.Template.Labels = labels
		d.Spec.Template.Spec = corev1.PodSpec{Hostname: hostname, Containers: []corev1.Container{{Name: "web", Image: "web"}}}
		return d
	}
	create := func(hostname string) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.AppsV1().Deployments("app").Create(ctx, deployment(hostname), metav1.CreateOptions{DryRun: dryRun})
			return err
		}
	}
	return []probe{
		{"a good Deployment", create(""), "", false},
		{"a Deployment that fixes its hostname", create("web"), "deployment-hostname", false},
		{"the deletion of a claim in use", func(ctx context.Context) error {
			return client.CoreV1().PersistentVolumeClaims("app").Delete(ctx, "data-mysql-0",
				metav1.DeleteOptions{DryRun: dryRun})
		}, "claim-in-use", true},
		{"the deletion of a claim of nobody", func(ctx context.Context) error {
			return client.CoreV1().PersistentVolumeClaims("app").Delete(ctx, "of-nobody", metav1.DeleteOptions{DryRun: dryRun})
		}, "", false},
	}
}

// right waits until every probe has its verdict.
func right(t *testing.T, probes []probe, after string) {
	t.Helper()
	for _, p := range probes {
		eventually(t, p.name+" after "+after, func() error { return p.wrong(p.ask(t.Context())) })
	}
}

// kill kills a component of a cluster, and starts it again after a while.
func kill(t *testing.T, b *bare, component string, away time.Duration) {
	t.Helper()
	control := b.Cluster.(*localcluster.Cluster)
	if err := control.Kill(component); err != nil {
		t.Fatal(err)
	}
	time.Sleep(away)
	if err := control.Restart(t.Context(), component); err != nil {
		t.Fatal(err)
	}
}

// A load asks probes and counts what they are answered.
type load struct {
	pause  time.Duration   // of each probe between two of its requests
	ctx    context.Context // ends when the load is to end
	cancel context.CancelFunc
	group  sync.WaitGroup // who works at it

	mu                   sync.Mutex
	verdicts, none, open int
}

// startLoad asks all probes, each again and again with a pause between, until
// the load is stopped.
func startLoad(t *testing.T, probes []probe, pause time.Duration) *load {
	l := &load{pause: pause}
	l.ctx, l.cancel = context.WithCancel(t.Context())
	for _, p := range probes {
		l.group.Go(func() { l.keepAsking(t, p) })
	}
	return l
}

func (l *load) stop() {
	l.cancel()
	l.group.Wait()
}

// counts returns how many verdicts there were, how many requests without one,
// and how many a webhook that fails open has let pass with nobody to ask.
func (l *load) counts() (verdicts, none, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.verdicts, l.none, l.open
}

func (l *load) keepAsking(t *testing.T, p probe) {
	for l.ctx.Err() == nil {
		err := p.ask(l.ctx)
		l.mu.Lock()
		switch {
		case l.ctx.Err() != nil:
		case err == nil && p.deny != "" && !p.fail:
			l.open++
		case err == nil && p.deny != "":
			t.Errorf("%s was allowed", p.name)
		case p.deny == "" && apierrors.IsForbidden(err):
			t.Errorf("%s was denied: %v", p.name, err)
		case p.wrong(err) == nil:
			l.verdicts++
		default:
			l.none++
		}
		l.mu.Unlock()
		time.Sleep(l.pause)
	}
}

// wrong says why err is not the verdict.
func (p probe) wrong(err error) error {
	switch {
	case p.deny == "" && err == nil:
		return nil
	case p.deny != "" && apierrors.IsForbidden(err) && strings.Contains(err.Error(), p.deny):
		return nil
	}
	return fmt.Errorf("got %v, want %q", err, p.deny)
}

func claimNamed(name string) *corev1.PersistentVolumeClaim {
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pvc.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	pvc.Spec.StorageClassName = new("retained")
	pvc.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	return pvc
}

// TestRandomOrders applies a well-made application in 500 random orders (10 000
// as proof), eight at a time, each as fast as the API server takes it: nothing
// is ever denied for what has not come yet, or was only seen a moment ago:
// figure R11.
func TestRandomOrders(t *testing.T) {
	t.Parallel()
	orders := 500
	if os.Getenv("STAYPUT_PROOF") != "" {
		orders = 10_000
	}
	b := newBare(t, "")
	client := unthrottled(t, b)
	const namespaces = 8
	var group sync.WaitGroup
	for w := range namespaces {
		ns := fmt.Sprint("orders-", w)
		b.kubectl(t, "", "create", "namespace", ns)
		group.Go(func() {
			r := rand.New(rand.NewSource(int64(w)))
			for i := range (orders + namespaces - 1) / namespaces {
				steps := application(t.Context(), client, ns, fmt.Sprintf("db-%d-%d", w, i))
				var order []string
				for _, at := range r.Perm(len(steps)) {
					order = append(order, steps[at].what)
					if err := steps[at].create(); err != nil {
						t.Errorf("%s: %v", strings.Join(order, ", "), err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d random orders of a Service, a StatefulSet, a StorageClass and two claims, without a denial",
		(orders+namespaces-1)/namespaces*namespaces)
}

type creation struct {
	what   string
	create func() error
}

// application is a database in parts that may come in any order.
func application(ctx context.Context, client kubernetes.Interface, ns, name string) []creation {
	labels := map[string]string{"app": name}
	meta := metav1.ObjectMeta{Name: name, Labels: labels}
	svc := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: labels,
		Ports: []corev1.ServicePort{{Port: 1}}}}
	class := &storagev1.StorageClass{ObjectMeta: meta, Provisioner: "example.com/disk",
		ReclaimPolicy: new(corev1.PersistentVolumeReclaimRetain)}
	sts := &appsv1.StatefulSet{ObjectMeta: meta}
	sts.Spec.ServiceName, sts.Spec.Replicas = name, new(int32(2))
	sts.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	sts.Spec.Template.Labels = labels
	sts.Spec.Template.Spec.Containers = []corev1.Container{{Name: "db", Image: "db",
		VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}}}
	template := claimNamed("data")
	template.Spec.StorageClassName = &name
	sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{*template}
	claim := func(ordinal int) creation {
		pvc := claimNamed(fmt.Sprintf("data-%s-%d", name, ordinal))
		pvc.Spec.StorageClassName = &name
		return creation{fmt.Sprint("claim ", ordinal), func() error {
			_, err := client.CoreV1().PersistentVolumeClaims(ns).Create(ctx, pvc, metav1.CreateOptions{})
			return err
		}}
	}
	return []creation{
		{"Service", func() error {
			_, err := client.CoreV1().Services(ns).Create(ctx, svc, metav1.CreateOptions{})
			return err
		}},
		{"StatefulSet", func() error {
			_, err := client.AppsV1().StatefulSets(ns).Create(ctx, sts, metav1.CreateOptions{})
			return err
		}},
		{"StorageClass", func() error {
			_, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{})
			return err
		}},
		claim(0), claim(1),
	}
}
