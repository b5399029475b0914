package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/e2e/localcluster"
)

// A forerunner is a workload from before Stayput whose creation a rule would deny.
type forerunner struct {
	manifest string
	beside   string // applied first
	kind     string // "" for statefulset
	name     string // "" for mysql
	ready    string // how many Pods are, "" for all 3
	owned    bool   // its Pods are its ReplicaSet's
	untried  bool   // another of its kind would not be denied
}

// forerunners are the workloads, by rule and so by namespace.
func forerunners(t *testing.T) map[string]*forerunner {
	t.Helper()
	mysql := func(edits ...string) string {
		manifest := readFile(t, "testdata", "mysql.yaml")
		for i := 0; i < len(edits); i += 2 {
			if !strings.Contains(manifest, edits[i]) {
				t.Fatalf("%q is not in the manifest", edits[i])
			}
			manifest = strings.Replace(manifest, edits[i], edits[i+1], 1)
		}
		return manifest
	}
	claim := func(name, mode string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: %s, labels: {app: mysql}}\n"+
			"spec: {accessModes: [%s], storageClassName: disk, resources: {requests: {storage: 1Gi}}}\n---\n", name, mode)
	}
	deployment := func(spec string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: mysql}\n" +
			"spec: {replicas: 3, selector: {matchLabels: {app: mysql}}, template: {metadata: {labels: {app: mysql}}, " +
			"spec: {containers: [{name: a, image: a}], " + spec + "}}}\n"
	}
	const long = "mysql-with-a-name-that-is-too-long-for-labels-of-pods"
	const claims, template = "  - metadata: {name: data}\n",
		"    spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}\n"
	return map[string]*forerunner{
		"statefulset-service-headless": {manifest: mysql(),
			beside: "apiVersion: v1\nkind: Service\nmetadata: {name: mysql-h}\nspec: {selector: {app: mysql}, ports: [{port: " +
				"3306}]}\n---\n"},
		"statefulset-service-name": {manifest: mysql("  serviceName: mysql-h\n", "")},
		"statefulset-name-length":  {manifest: mysql("{name: mysql}", "{name: "+long+"}"), name: long},
		"statefulset-grace-period": {manifest: mysql("    spec:\n", "    spec:\n      terminationGracePeriodSeconds: 0\n")},
		"statefulset-shared-claim": {beside: claim("shared", "ReadWriteOnce"),
			manifest: mysql("    spec:\n", "    spec:\n      volumes: [{name: files, persistentVolumeClaim: {claimName: "+
				"shared}}]\n")},
		"statefulset-retention": {untried: true,
			manifest: mysql("  replicas: 3\n",
				"  replicas: 3\n  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}\n")},
		"claim-template-duplicate": {manifest: mysql(claims, claims+template+claims)},
		"claim-template-pinned": { // by the one who made the claims of the others first
			manifest: mysql("storageClassName: disk", `storageClassName: "", volumeName: pinned`),
			beside: claim("data-mysql-1", "ReadWriteOnce") + claim("data-mysql-2", "ReadWriteOnce") +
				"apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: pinned}\n" +
				"spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, csi: {driver: example.com, volumeHandle: " +
				"pinned}}\n---\n"},
		"deployment-hostname": {manifest: deployment("hostname: db"), kind: "deployment", owned: true},
		"deployment-shared-claim": {beside: claim("shared", "ReadWriteOncePod"), kind: "deployment", owned: true, ready: "1",
			manifest: deployment("volumes: [{name: files, persistentVolumeClaim: {claimName: shared}}]")},
	}
}

// make creates the workload while Stayput does not review it, and waits for its
// Pods.
func (f *forerunner) make(s side, ns string) {
	s.t.Helper()
	f.kind, f.name, f.ready = cmp.Or(f.kind, "statefulset"), cmp.Or(f.name, "mysql"), cmp.Or(f.ready, "3")
	s.kubectl("", "create", "namespace", ns)
	if len(f.name) > 52 {
		f.fit(s, ns)
	}
	s.kubectl(f.beside+f.manifest, "apply", "-n", ns, "-f", "-")
}

// fit edits a template until its hash is so short that Pods can be created in spite
// of the long name. One hash in four is.
func (f *forerunner) fit(s side, ns string) {
	s.t.Helper()
	const meta = "template:\n    metadata: {"
	for i := range 100 {
		tried := strings.Replace(f.manifest, meta, fmt.Sprintf(`%sannotations: {try: "%d"}, `, meta, i), 1)
		s.kubectl(strings.Replace(tried, "replicas: 3", "replicas: 0", 1), "apply", "-n", ns, "-f", "-")
		generation := s.kubectl("", "get", "statefulset", f.name, "-n", ns, "-o", "jsonpath={.metadata.generation}")
		s.output(generation, "get", "statefulset", f.name, "-n", ns, "-o", "jsonpath={.status.observedGeneration}")
		if revision := s.kubectl("", "get", "statefulset", f.name, "-n", ns, "-o",
			"jsonpath={.status.updateRevision}"); len(revision) <= 63 {
			f.manifest = tried
			return
		}
	}
	s.t.Fatal("no template has a short hash")
}

// another returns a workload of the same kind that has no Pods yet.
func (f *forerunner) another() string {
	return strings.NewReplacer("metadata: {name: "+f.name, "metadata: {name: fresh"+f.name[5:], "{app: mysql}",
		"{app: mysql, of: fresh}").Replace(f.manifest)
}

// TestMadeAnewAroundItsPods grows workloads that are older than Stayput, as
// operators and people do: it deletes them with --cascade=orphan and applies them
// again, larger. Stayput denies the creation of each as a new workload, but not
// when its Pods already run.
func TestMadeAnewAroundItsPods(t *testing.T) {
	t.Parallel()
	s := ownCluster(t, config, localcluster.Options{})
	s.kubectl(class, "create", "-f", "-")
	all := forerunners(t)
	made := maps.Clone(all) // by namespace
	for i := range hasty {
		made[fmt.Sprint("hasty-", i)] = all["statefulset-retention"]
	}
	for ns, f := range made {
		f.make(s, ns)
	}
	for ns, f := range made { // a volume that is made after Stayput starts is retained at once
		s.output(f.ready, "get", f.kind, f.name, "-n", ns, "-o", allReady)
		s.output("3", "get", f.kind, f.name, "-n", ns, "-o", "jsonpath={.status.replicas}")
	}
	s.start()
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.becomes("stayput_repair_leading", 1)
	for rule, f := range all {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			side{s.Stayput, t}.remake(rule, f)
		})
	}
	t.Run("within milliseconds", func(t *testing.T) {
		t.Parallel()
		for i := range hasty {
			madeAtOnce(t, side{s.Stayput, t}, fmt.Sprint("hasty-", i))
		}
	})
}

// remake deletes a workload without its Pods and applies it again, larger.
func (s side) remake(rule string, f *forerunner) {
	s.t.Helper()
	ns := rule
	pods := s.kubectl("", "get", "pod", "-n", ns, "-o", uids)
	if !f.untried {
		out, err := s.Kubectl(s.t.Context(), f.another(), "apply", "-n", ns, "-f", "-")
		if err == nil {
			s.t.Errorf("another is not denied:\n%s", out)
		}
		contains(s.t, out, "denied the request", rule+": ")
	}
	s.kubectl("", "delete", f.kind, f.name, "-n", ns, "--cascade=orphan")
	out := s.kubectl(strings.ReplaceAll(f.manifest, "storage: 1Gi", "storage: 2Gi"), "apply", "-n", ns, "-f", "-")
	contains(s.t, out, "Warning: "+rule+": ")
	if strings.Contains(out, "statefulset-scale-up") {
		s.t.Errorf("its own Pods use those claims:\n%s", out)
	}
	uid := s.kubectl("", "get", f.kind, f.name, "-n", ns, "-o", "jsonpath={.metadata.uid}")
	const owners = "jsonpath={.items[*].metadata.ownerReferences[0].uid}"
	if f.owned {
		s.output(uid, "get", "replicaset", "-n", ns, "-o", owners)
		uid = s.kubectl("", "get", "replicaset", "-n", ns, "-o", uids)
	}
	s.output(strings.Join([]string{uid, uid, uid}, " "), "get", "pod", "-n", ns, "-o", owners)
	s.stays(pods, "get", "pod", "-n", ns, "-o", uids)
	s.output(f.ready, "get", f.kind, f.name, "-n", ns, "-o", allReady)
	if f.kind == "statefulset" { // what is older than Stayput is made safe before it is made anew
		s.retained(ns)
	}
}

// retained waits until no volume of a template's claim has the policy Delete.
func (s side) retained(ns string) {
	s.t.Helper()
	claims := s.kubectl("", "get", "pvc", "-n", ns, "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.spec.volumeName}{"\n"}{end}`)
	for claim := range strings.Lines(claims) {
		if name, pv, _ := strings.Cut(strings.TrimSpace(claim), " "); strings.HasPrefix(name, "data-") {
			s.output("Retain", "get", "pv", pv, "-o", policyPath)
		}
	}
}

// hasty is the number of StatefulSets that are deleted and created again as fast as
// a client can.
const hasty = 5

// madeAtOnce deletes a StatefulSet without its Pods and makes it anew as soon as
// its name is free: repair, which begins when the deletion does, has its volumes
// retained by the time that the creation is answered.
func madeAtOnce(t *testing.T, s side, ns string) {
	t.Helper()
	c := newClient(t, s.Cluster.Config(), "")
	sts := &appsv1.StatefulSet{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "mysql"}, sts); err != nil {
		t.Fatal(err)
	}
	pods := s.kubectl("", "get", "pod", "-n", ns, "-o", uids)
	volumes := strings.Fields(s.kubectl("", "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeName}"))
	for _, pv := range volumes {
		s.output("Delete", "get", "pv", pv, "-o", policyPath)
	}
	larger := sts.DeepCopy()
	larger.ObjectMeta = metav1.ObjectMeta{Namespace: ns, Name: "mysql", Labels: sts.Labels}
	larger.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2Gi")
	if err := c.Delete(t.Context(), sts, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a := ask(t.Context(), func(ctx context.Context) error {
		for {
			if err := c.Create(ctx, larger.DeepCopy()); !apierrors.IsAlreadyExists(err) {
				return err
			}
		}
	})
	t.Logf("made anew %v after its deletion", time.Since(began))
	if a.err != nil {
		t.Fatal(a.err)
	}
	contains(t, strings.Join(a.warnings, "\n"), "statefulset-retention: ")
	for _, pv := range volumes { // not a moment later
		if got := s.kubectl("", "get", "pv", pv, "-o", policyPath); got != "Retain" {
			t.Errorf("%s has the policy %s", pv, got)
		}
	}
	s.stays(pods, "get", "pod", "-n", ns, "-o", uids)
}

// TestMadeAnewOnceItMayBe makes a StatefulSet anew as an operator does that tries
// again and again, while Stayput may not write the volumes: it is denied, with the
// reason, as long as its disks would be destroyed with its claims. Once Stayput may,
// a retry is accepted, and the Pods are what they were.
func TestMadeAnewOnceItMayBe(t *testing.T) {
	t.Parallel()
	s := ownCluster(t, config, localcluster.Options{})
	s.kubectl(class, "create", "-f", "-")
	const ns = "retried"
	forerunners(t)["statefulset-retention"].make(s, ns)
	s.output("3", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
	s.start()
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.becomes("stayput_repair_leading", 1)
	c := newClient(t, s.Cluster.Config(), "")
	giveBack := takeVolumesAway(t, s, c)

	pods := s.kubectl("", "get", "pod", "-n", ns, "-o", uids)
	volumes := strings.Fields(s.kubectl("", "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeName}"))
	sts := &appsv1.StatefulSet{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "mysql"}, sts); err != nil {
		t.Fatal(err)
	}
	larger := sts.DeepCopy()
	larger.ObjectMeta = metav1.ObjectMeta{Namespace: ns, Name: "mysql", Labels: sts.Labels}
	larger.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2Gi")
	if err := c.Delete(t.Context(), sts, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	create := func() answer {
		return ask(t.Context(), func(ctx context.Context) error {
			for {
				if err := c.Create(ctx, larger.DeepCopy()); !apierrors.IsAlreadyExists(err) {
					return err
				}
			}
		})
	}
	for range 2 { // at once, and when the operator tries again
		a := create()
		if !apierrors.IsForbidden(a.err) {
			t.Fatalf("while Stayput may not write volumes: %v", a.err)
		}
		contains(t, a.err.Error(), "statefulset-retention: ",
			"must be Retain: it would destroy the data, for the volume of data-mysql-0 has the policy Delete")
	}
	for _, pv := range volumes {
		s.output("Delete", "get", "pv", pv, "-o", policyPath)
	}
	s.stays(pods, "get", "pod", "-n", ns, "-o", uids)
	const owners = "jsonpath={.items[*].metadata.ownerReferences[0].uid}"
	if got := s.kubectl("", "get", "pod", "-n", ns, "-o", owners); got != "" {
		t.Errorf("the Pods have owners: %q", got)
	}

	giveBack()
	var accepted answer
	eventually(t, "a retry is accepted", func() error {
		accepted = create()
		return accepted.err
	})
	contains(t, strings.Join(accepted.warnings, "\n"), "statefulset-retention: ")
	for _, pv := range volumes {
		if got := s.kubectl("", "get", "pv", pv, "-o", policyPath); got != "Retain" {
			t.Errorf("%s has the policy %s", pv, got)
		}
	}
	uid := s.kubectl("", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	s.output(strings.Join([]string{uid, uid, uid}, " "), "get", "pod", "-n", ns, "-o", owners)
	s.stays(pods, "get", "pod", "-n", ns, "-o", uids)
	s.output("3", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
}

// takeVolumesAway removes Stayput's permission to write volumes, waits until that
// has taken effect, and returns a function that restores it.
func takeVolumesAway(t *testing.T, s side, c client.Client) (giveBack func()) {
	t.Helper()
	may := func(want string) {
		eventually(t, "stayput may write volumes: "+want, func() error {
			out, _ := s.Kubectl(t.Context(), "", "auth", "can-i", "patch", "persistentvolumes",
				"--as=system:serviceaccount:stayput:stayput") // which fails where the answer is no
			if got := strings.TrimSpace(out); !strings.HasSuffix(got, want) {
				return fmt.Errorf("%q", got)
			}
			return nil
		})
	}
	may("yes")
	role := &rbacv1.ClusterRole{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: "stayput"}, role); err != nil {
		t.Fatal(err)
	}
	less := role.DeepCopy()
	less.Rules = slices.DeleteFunc(less.Rules, func(r rbacv1.PolicyRule) bool {
		return slices.Equal(r.Resources, []string{"persistentvolumes"}) && slices.Contains(r.Verbs, "patch")
	})
	if len(less.Rules) != len(role.Rules)-1 {
		t.Fatalf("which rule lets Stayput write volumes? %v", role.Rules)
	}
	if err := c.Update(t.Context(), less); err != nil {
		t.Fatal(err)
	}
	may("no")
	return func() {
		t.Helper()
		less.Rules = role.Rules
		if err := c.Update(t.Context(), less); err != nil {
			t.Fatal(err)
		}
		may("yes")
	}
}

// deniedBy applies a manifest, which a rule must deny.
func deniedBy(t *testing.T, ns, rule, manifest string) {
	t.Helper()
	out, err := try(t, manifest, "apply", "-n", ns, "-f", "-")
	if err == nil {
		t.Errorf("%s: not denied:\n%s", rule, out)
	}
	contains(t, out, "denied the request", rule+": ")
}

// TestPodByHandBuysNoDisk makes a Pod as a StatefulSet would, with a claim whose
// disk is destroyed with it: a StatefulSet that deletes its claims is denied, until
// the volume is retained.
func TestPodByHandBuysNoDisk(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-mysql-0, labels: {app: mysql}}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: mysql-0, labels: {app: mysql}}
spec:
  hostname: mysql-0
  subdomain: mysql-h
  containers: [{name: mysql, image: mysql, volumeMounts: [{name: data, mountPath: /var/lib/mysql}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data-mysql-0}}]
---
`+headlessService)
	output(t, "Bound", "get", "pvc", "data-mysql-0", "-n", ns, "-o", "jsonpath={.status.phase}")
	output(t, "Running", "get", "pod", "mysql-0", "-n", ns, "-o", "jsonpath={.status.phase}")
	pv := kubectl(t, "get", "pvc", "data-mysql-0", "-n", ns, "-o", "jsonpath={.spec.volumeName}")
	letGo(t, []string{pv})
	output(t, "Delete", "get", "pv", pv, "-o", policyPath)
	manifest := strings.NewReplacer("replicas: 3",
		"replicas: 1\n  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}").
		Replace(readFile(t, "testdata", "mysql.yaml"))
	deniedBy(t, ns, "statefulset-retention", manifest)
	kubectl(t, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	contains(t, apply(t, ns, manifest), "Warning: statefulset-retention: ")
	output(t, fmt.Sprint(1), "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
}
