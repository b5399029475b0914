package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// A side is a separate cluster for one test, with its own Stayput, for changes that
// other tests must not see.
type side struct {
	*harness.Stayput
	t *testing.T
}

// ownCluster starts a cluster and prepares a Stayput, which the test starts.
func ownCluster(t *testing.T, config string, o localcluster.Options) side {
	t.Helper()
	c, err := localcluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	return replica(t, c, config)
}

// replica prepares one more Stayput beside a cluster.
func replica(t *testing.T, c harness.Cluster, config string) side {
	t.Helper()
	s := side{&harness.Stayput{Cluster: c, Binary: env.Binary, Dir: t.TempDir(), Config: config}, t}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Stop()
		if t.Failed() {
			t.Logf("stayput, at the end:\n%s", s.Log()[max(0, len(s.Log())-4000):])
		}
	})
	return s
}

// start starts Stayput in a second in which nothing was created yet: the API
// server gives a creation's time in whole seconds, and what is there must be
// older than Stayput's first start.
func (s side) start() {
	s.t.Helper()
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	if err := s.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s side) kubectl(stdin string, args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	out, err := s.Kubectl(ctx, stdin, args...)
	if err != nil {
		s.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// output waits until kubectl prints want.
func (s side) output(want string, args ...string) {
	s.t.Helper()
	eventually(s.t, "kubectl "+strings.Join(args, " "), func() error {
		if got := s.kubectl("", args...); got != want {
			return fmt.Errorf("%q, want %q", got, want)
		}
		return nil
	})
}

// established waits until kinds can be used.
func (s side) established(what ...string) {
	s.t.Helper()
	eventually(s.t, "the definitions are established", func() error {
		out, err := s.Kubectl(s.t.Context(), "", append([]string{"wait", "--for=condition=Established", "--timeout=30s"},
			what...)...)
		if err != nil { // kubectl gives up where a definition has no status yet
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// stays makes sure that kubectl goes on printing want for a while.
func (s side) stays(want string, args ...string) {
	s.t.Helper()
	for range 10 {
		if got := s.kubectl("", args...); got != want {
			s.t.Fatalf("kubectl %s: %q, want %q", strings.Join(args, " "), got, want)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// metric returns the value of a metric without labels, or the sum of those
// with.
func (s side) metric(name string) float64 {
	s.t.Helper()
	text, err := s.Metrics(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	value, err := harness.Metric(text, name)
	may := strings.HasSuffix(name, "_total") || strings.HasPrefix(name, "stayput_retained") // be missing
	if err != nil && !(may && errors.Is(err, harness.ErrNoMetric)) {
		s.t.Fatal(err)
	}
	return value
}

func (s side) becomes(name string, want float64) {
	s.t.Helper()
	eventually(s.t, name, func() error {
		if got := s.metric(name); got != want {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	})
}

const (
	policyPath = "jsonpath={.spec.persistentVolumeReclaimPolicy}"
	markPath   = `jsonpath={.metadata.annotations.stayput\.dev/reclaim-policy-set}`
	ofPath     = `jsonpath={.metadata.annotations.stayput\.dev/claim-of}`
)

// waiting is a StatefulSet whose Pod waits for a node with a label, so that its
// volume is created long after its claim.
const waiting = `apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      nodeSelector: {fast: "yes"}
      containers: [{name: db, image: db, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], storageClassName: late, resources: {requests: {storage: 1Gi}}}
`

const lateClass = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: late}
provisioner: ` + localcluster.HostPathProvisioner + `
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
`

// TestRepair is the life of a volume that admission missed. The steps build on
// each other.
func TestRepair(t *testing.T) {
	t.Parallel()
	s := ownCluster(t, config, localcluster.Options{})
	s.kubectl(class, "create", "-f", "-")
	s.kubectl("", "create", "namespace", "before")
	s.kubectl(strings.Replace(waiting, "storageClassName: late", "storageClassName: disk", 1), "apply", "-n", "before",
		"-f", "-")
	s.output("Bound", "get", "pvc", "data-db-0", "-n", "before", "--ignore-not-found", "-o", "jsonpath={.status.phase}")
	old := s.kubectl("", "get", "pvc", "data-db-0", "-n", "before", "-o", "jsonpath={.spec.volumeName}")
	time.Sleep(1100 * time.Millisecond) // the API server's clock counts seconds
	s.start()
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.becomes("stayput_repair_leading", 1)
	s.kubectl(lateClass, "create", "-f", "-")
	s.kubectl("", "create", "namespace", "prod")
	s.kubectl("", "create", "namespace", "wild")
	s.kubectl("", "label", "namespace", "wild", "stayput.dev/mode=off")

	// Stayput is killed when the claim is there, and the volume is not.
	volumes := map[string]string{}
	for _, ns := range []string{"prod", "wild"} {
		s.kubectl(waiting, "apply", "-n", ns, "-f", "-")
		s.output("Pending", "get", "pvc", "data-db-0", "-n", ns, "--ignore-not-found", "-o", "jsonpath={.status.phase}")
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	s.kubectl("", "label", "node", "--all", "fast=yes")
	for _, ns := range []string{"prod", "wild"} {
		s.output("Bound", "get", "pvc", "data-db-0", "-n", ns, "-o", "jsonpath={.status.phase}")
		volumes[ns] = s.kubectl("", "get", "pvc", "data-db-0", "-n", ns, "-o", "jsonpath={.spec.volumeName}")
		s.stays("Delete", "get", "pv", volumes[ns], "-o", policyPath)
	}
	pv := volumes["prod"]
	since := s.kubectl("", "get", "configmap", "stayput", "-n", "stayput", "-o", `jsonpath={.data.repair-since}`)
	s.start()
	s.output("Retain", "get", "pv", pv, "-o", policyPath)
	s.output("Retain/configuration", "get", "pv", pv, "-o", markPath)
	s.output("db/data/0", "get", "pv", pv, "-o", ofPath)
	s.output("ReclaimPolicyRepaired", "get", "events", "-n", "prod", "--field-selector",
		"involvedObject.name=data-db-0,reason=ReclaimPolicyRepaired", "-o", "jsonpath={.items[*].reason}")
	s.output("ReclaimPolicyRepaired", "get", "events", "-n", "default", "--field-selector", "involvedObject.name="+pv,
		"-o", "jsonpath={.items[*].reason}")
	if got := s.kubectl("", "get", "configmap", "stayput", "-n", "stayput", "-o",
		`jsonpath={.data.repair-since}`); got != since {
		t.Errorf("the first start was forgotten: %s, and was %s", got, since)
	}
	// What is older than Stayput is left alone, until somebody asks.
	s.stays("Delete", "get", "pv", old, "-o", policyPath)
	s.kubectl("", "annotate", "pvc", "data-db-0", "-n", "before", "stayput.dev/reclaim-policy=Retain")
	s.output("Retain", "get", "pv", old, "-o", policyPath)
	// Mode off stops repair, too.
	s.stays("Delete", "get", "pv", volumes["wild"], "-o", policyPath)
	s.kubectl("", "label", "namespace", "wild", "stayput.dev/mode-")
	s.output("Retain", "get", "pv", volumes["wild"], "-o", policyPath)

	// Another writer sets Delete back: honoured, also after a restart.
	s.kubectl("", "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	s.becomes("stayput_overruled_volumes", 1)
	s.output("ReclaimPolicyOverruled", "get", "events", "-n", "prod", "--field-selector",
		"involvedObject.name=data-db-0,reason=ReclaimPolicyOverruled", "-o", "jsonpath={.items[*].reason}")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.becomes("stayput_overruled_volumes", 1)
	s.stays("Delete", "get", "pv", pv, "-o", policyPath)

	// An annotation is another word, and its volume follows; as it does when
	// the annotation goes.
	s.kubectl("", "annotate", "pvc", "data-db-0", "-n", "prod", "stayput.dev/reclaim-policy=Retain")
	s.output("Retain", "get", "pv", pv, "-o", policyPath)
	s.becomes("stayput_overruled_volumes", 0)
	s.kubectl("", "annotate", "pvc", "data-db-0", "-n", "prod", "--overwrite", "stayput.dev/reclaim-policy=Delete")
	s.output("Delete", "get", "pv", pv, "-o", policyPath)
	s.kubectl("", "annotate", "pvc", "data-db-0", "-n", "prod", "stayput.dev/reclaim-policy-")
	s.output("Retain", "get", "pv", pv, "-o", policyPath)
	s.kubectl("", "annotate", "namespace", "prod", "stayput.dev/reclaim-policy=Delete")
	s.output("Delete/namespace", "get", "pv", pv, "-o", markPath)
	s.kubectl("", "annotate", "pv", pv, "stayput.dev/reclaim-policy=Retain")
	s.output("Retain", "get", "pv", pv, "-o", policyPath)

	// Released, it is counted, and let go for good by one annotation.
	s.kubectl("", "delete", "statefulset", "db", "-n", "prod")
	s.kubectl("", "delete", "pvc", "data-db-0", "-n", "prod")
	s.output("Released", "get", "pv", pv, "-o", "jsonpath={.status.phase}")
	s.becomes("stayput_retained_volumes", 1)
	s.becomes("stayput_retained_volume_bytes", 1<<30)
	s.stays("Retain", "get", "pv", pv, "-o", policyPath)
	dir := s.kubectl("", "get", "pv", pv, "-o", "jsonpath={.spec.hostPath.path}")
	s.kubectl("", "annotate", "pv", pv, "--overwrite", "stayput.dev/reclaim-policy=Delete")
	s.output("", "get", "pv", pv, "--ignore-not-found", "-o", "name")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the volume's directory is there: %v", err)
	}
	s.becomes("stayput_retained_volumes", 0)
}

// massOf returns the number of volumes that TestRepairOfMany repairs.
func massOf(t *testing.T) int {
	text := os.Getenv("STAYPUT_E2E_VOLUMES")
	if text == "" {
		return 500
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("STAYPUT_E2E_VOLUMES=%q: must be a positive number", text)
	}
	return n
}

// TestRepairOfMany repairs volumes that are older than Stayput, with two
// replicas, of which the one that works is killed, and an API server that is
// killed, too. STAYPUT_E2E_VOLUMES says how many.
func TestRepairOfMany(t *testing.T) {
	t.Parallel()
	all := config + "repair: all\n"
	a := ownCluster(t, all, localcluster.Options{Bare: true})
	b := replica(t, a.Cluster, all)
	client, err := kubernetes.NewForConfig(a.Cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	n := massOf(t)
	makeVolumes(t, client, n)
	count := func() (retained int) {
		list, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, pv := range list.Items {
			if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
				retained++
			}
		}
		return retained
	}
	reaches := func(want int) {
		t.Helper()
		deadline := time.Now().Add(time.Minute + time.Duration(n)*100*time.Millisecond)
		for count() < want {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d volumes are retained", count(), want)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	a.start()
	b.start()
	reaches(n / 10)
	leader, other := a, b
	if b.metric("stayput_repair_leading") == 1 {
		leader, other = b, a
	}
	if other.metric("stayput_repair_leading") != 0 || other.metric("stayput_repairs_total") != 0 {
		t.Error("two replicas repair")
	}
	if err := a.Cluster.(*localcluster.Cluster).Kill("kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(12 * time.Second) // longer than the leader may go on without renewing its Lease
	if err := leader.Ready(t.Context()); err != nil {
		t.Errorf("the webhook does not go on without the API server: %v", err)
	}
	if err := a.Cluster.(*localcluster.Cluster).Restart(t.Context(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	reaches(n / 2)
	leader, other = a, b
	if b.metric("stayput_repair_leading") == 1 {
		leader, other = b, a
	}
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	reaches(n)
	other.becomes("stayput_repair_waiting_volumes", 0)
	if got := other.metric("stayput_repairs_total"); got < 1 || got > float64(n) {
		t.Errorf("the second leader has repaired %v volumes of %d", got, n)
	}
	contains(t, other.Log(), `"msg":"repair: progress"`)
	eventually(t, "the log says that repair is done", func() error {
		if !strings.Contains(other.Log(), `"msg":"repair: every volume has been looked at"`) {
			return errors.New("it does not")
		}
		return nil
	})
	list, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != n {
		t.Fatalf("%d volumes of %d", len(list.Items), n)
	}
	for _, pv := range list.Items {
		if got := pv.Annotations["stayput.dev/reclaim-policy-set"]; got != "Retain/configuration" {
			t.Fatalf("%s: marked %q", pv.Name, got)
		}
		if got, want := pv.Annotations["stayput.dev/claim-of"], "db/data/"+strings.TrimPrefix(pv.Name, "pvc-"); got != want {
			t.Fatalf("%s: of %q, want %q", pv.Name, got, want)
		}
	}
}

// TestRepairReports has repair say what it would do, and may do no more: the
// role that Stayput asks for then holds no permission to write a volume.
func TestRepairReports(t *testing.T) {
	t.Parallel()
	s := ownCluster(t, config+"repair: report\n", localcluster.Options{Bare: true})
	client, err := kubernetes.NewForConfig(s.Cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	makeVolumes(t, client, 3)
	s.kubectl("", "annotate", "pvc", "data-db-2", "stayput.dev/reclaim-policy=Delete") // as it is
	if may, _ := s.Kubectl(t.Context(), "", "auth", "can-i", "patch", "persistentvolumes", "-A", "--as",
		"system:serviceaccount:stayput:stayput"); !strings.HasSuffix(strings.TrimSpace(may), "no") {
		t.Errorf("may Stayput patch volumes? %s", may)
	}
	said := func(object string) string {
		return s.kubectl("", "get", "events", "-n", "default", "--field-selector",
			"involvedObject.name="+object+",reason=ReclaimPolicyMissed", "-o", "jsonpath={.items[*].note}{.items[*].message}")
	}
	for range 2 { // a restart says it once more, and changes as little
		s.start()
		s.becomes("stayput_missed_volumes", 2)
		for _, object := range []string{"data-db-0", "pvc-0", "data-db-1", "pvc-1"} {
			eventually(t, object, func() error {
				if !strings.Contains(said(object),
					"is Delete, and the configuration wants Retain; nothing is changed, for the configuration says repair: report") {
					return fmt.Errorf("its Events: %q", said(object))
				}
				return nil
			})
		}
		if got := said("data-db-2") + said("pvc-2"); got != "" {
			t.Errorf("the claim wants Delete itself, and yet: %s", got)
		}
		for i := range 3 {
			s.output("Delete", "get", "pv", fmt.Sprintf("pvc-%d", i), "-o", policyPath)
			s.output("", "get", "pv", fmt.Sprintf("pvc-%d", i), "-o", markPath)
		}
		if got := s.metric("stayput_repairs_total"); got != 0 {
			t.Errorf("%v repairs", got)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	// Somebody does it by hand: there is nothing left to report.
	s.start()
	for _, pv := range []string{"pvc-0", "pvc-1"} {
		s.kubectl("", "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	}
	s.becomes("stayput_missed_volumes", 0)
}

// makeVolumes makes a StatefulSet's claims and volumes as its controller and a
// provisioner would.
func makeVolumes(t *testing.T, client kubernetes.Interface, n int) {
	t.Helper()
	sts := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db"},
		"spec":{"serviceName":"db","replicas":%d,
		"selector":{"matchLabels":{"app":"db"}},"template":{"metadata":{"labels":{"app":"db"}},
			"spec":{"containers":[{"name":"db","image":"db"}]}},
		"volumeClaimTemplates":[{"metadata":{"name":"data"},
			"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}}`, n)
	path := "/apis/apps/v1/namespaces/default/statefulsets"
	if err := client.AppsV1().RESTClient().Post().AbsPath(path).Body([]byte(sts)).SetHeader("Content-Type",
		"application/json").Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	storage, modes, class := corev1.ResourceList{"storage": resource.MustParse("1Gi")},
		[]corev1.PersistentVolumeAccessMode{"ReadWriteOnce"}, "disk"
	for i := range n {
		group.Go(func() error {
			pvc, err := client.CoreV1().PersistentVolumeClaims("default").Create(ctx, &corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("data-db-%d", i), Labels: map[string]string{"app": "db"}},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: modes, StorageClassName: &class, VolumeName: fmt.Sprintf("pvc-%d", i),
					Resources: corev1.VolumeResourceRequirements{Requests: storage},
				},
			}, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			_, err = client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: pvc.Spec.VolumeName,
					Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": "csi.example.com"}},
				Spec: corev1.PersistentVolumeSpec{
					Capacity: storage, AccessModes: modes, StorageClassName: class,
					PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
					ClaimRef: &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim",
						Namespace: "default", Name: pvc.Name, UID: pvc.UID},
					PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
						Driver: "csi.example.com", VolumeHandle: pvc.Spec.VolumeName,
					}},
				},
			}, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
