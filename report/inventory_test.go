package report

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/validators"
)

// TestUnneeded has claims with users of every kind and with none, in the caches of
// audit, which keep the condition Unused.
func TestUnneeded(t *testing.T) {
	var objs []cluster.Object
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }
	claim := func(name, size string, phase corev1.PersistentVolumeClaimPhase, unused corev1.ConditionStatus,
		since string) {
		pvc := &corev1.PersistentVolumeClaim{ObjectMeta: meta(name)}
		pvc.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
		pvc.Status.Phase = phase
		at, err := time.Parse(time.DateOnly, since)
		if err != nil {
			t.Fatal(err)
		}
		pvc.Status.Conditions = []corev1.PersistentVolumeClaimCondition{
			{Type: corev1.PersistentVolumeClaimResizing, Status: corev1.ConditionTrue},
			{Type: corev1.PersistentVolumeClaimUnused, Status: unused, LastTransitionTime: metav1.NewTime(at),
				Reason: "NoPodsUsingPVC", Message: "No pods are currently referencing this PVC"}}
		objs = append(objs, pvc)
	}
	const yes, no = corev1.ConditionTrue, corev1.ConditionFalse
	claim("a-short", "1Gi", corev1.ClaimBound, yes, "2026-11-01")
	claim("b-long", "2Gi", corev1.ClaimBound, yes, "2026-01-02")
	claim("c-pending", "4Gi", corev1.ClaimPending, yes, "2026-01-01")
	claim("d-unsaid", "8Gi", corev1.ClaimBound, no, "2026-01-01")
	claim("e-of-a-finished-job", "16Gi", corev1.ClaimBound, yes, "2026-06-01")
	claim("data-scaled-3", "32Gi", corev1.ClaimBound, yes, "2026-07-01")
	pod := func(claim string) (spec corev1.PodSpec) {
		spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
		return spec
	}
	const needed = "2026-02-03"
	for _, name := range []string{"pod", "deployment", "cronjob", "job", "set", "data-zero-0", "data-scaled-2"} {
		claim(name, "1Gi", corev1.ClaimBound, yes, needed)
	}
	set := func(name string, replicas int32) *appsv1.StatefulSet {
		sts := &appsv1.StatefulSet{ObjectMeta: meta(name)}
		sts.Spec.Replicas = new(replicas)
		sts.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
		return sts
	}
	mounting := set("mounting", 0)
	mounting.Spec.Template.Spec = pod("set")
	deployment := &appsv1.Deployment{ObjectMeta: meta("d")}
	deployment.Spec.Replicas, deployment.Spec.Template.Spec = new(int32(0)), pod("deployment")
	cronJob := &batchv1.CronJob{ObjectMeta: meta("c")}
	cronJob.Spec.JobTemplate.Spec.Template.Spec = pod("cronjob")
	job, finished := &batchv1.Job{ObjectMeta: meta("j")}, &batchv1.Job{ObjectMeta: meta("f")}
	job.Spec.Template.Spec, finished.Spec.Template.Spec = pod("job"), pod("e-of-a-finished-job")
	finished.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	objs = append(objs, mounting, set("zero", 0), set("scaled", 3), deployment, cronJob, job, finished,
		&corev1.Pod{ObjectMeta: meta("p"), Spec: pod("pod")})

	take := func(minor int) *Inventory {
		snapshot := cache.NewSnapshot()
		snapshot.Complete = true
		for _, obj := range objs {
			if err := snapshot.Add(obj.DeepCopyObject().(cluster.Object)); err != nil {
				t.Fatal(err)
			}
		}
		environment := cluster.Environment{Source: snapshot, Finder: snapshot, Kubernetes: cluster.AnyPatch(minor)}
		return TakeInventory(environment.View(t.Context(), cluster.Request{}), func(string) bool { return true },
			snapshot.Forget, nil)
	}
	inv := take(37)
	want := []string{"shop/b-long", "shop/e-of-a-finished-job", "shop/data-scaled-3", "shop/a-short", "shop/c-pending",
		"shop/d-unsaid"}
	if diff := cmp.Diff(want, inv.Unneeded); diff != "" || inv.UnneededBytes != 63<<30 {
		t.Errorf("%d bytes, -want +got:\n%s", inv.UnneededBytes, diff)
	}
	since := map[string]string{"b-long": "2026-01-02T00:00:00Z", "cronjob": "2026-02-03T00:00:00Z", "pod": "",
		"c-pending": "", "d-unsaid": ""}
	for _, c := range inv.Claims {
		if want, listed := since[c.Name]; listed && c.UnusedSince != want {
			t.Errorf("%s is unused since %q, want %q", c.Name, c.UnusedSince, want)
		}
	}
	r := &Report{Command: "audit", FailOn: validators.Deny, Inventory: inv}
	r.Finish()
	var text, markdown, page, data bytes.Buffer
	if err := errors.Join(r.Text(&text, TextOptions{}), r.Markdown(&markdown), r.HTML(&page), r.JSON(&data)); err != nil {
		t.Fatal(err)
	}
	for out, parts := range map[*bytes.Buffer][]string{
		&text: {"known to need, 63 GiB in all, unused for longest first:\n" +
			"  shop/b-long 2Gi, no Pod has used it since at least 2026-01-02\n  shop/e-of-a-finished-job 16Gi, no Pod",
			"  shop/d-unsaid 8Gi\n"},
		&markdown: {"| no, no Pod has used it since at least 2026-01-02 |", "known to need, 63 GiB in all",
			"- shop/b-long 2Gi, no Pod has used it since at least 2026-01-02\n- shop/e-of-a-finished-job 16Gi"},
		&page: {"known to need, 63 GiB in all", "<li>shop/b-long 2Gi, no Pod has used it since at least 2026-01-02</li>",
			" · not known to be needed · no Pod has used it since at least 2026-01-02"},
		&data: {`"unusedSince": "2026-01-02T00:00:00Z"`, `"unneededBytes": 67645734912`},
	} {
		for _, part := range parts {
			if !strings.Contains(out.String(), part) {
				t.Errorf("lacks %q:\n%s", part, out)
			}
		}
	}
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(&data)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}

	// Before 1.37 nothing is said, whatever a cluster that was newer has left.
	inv = take(36)
	slices.Sort(want)
	if diff := cmp.Diff(want, inv.Unneeded); diff != "" {
		t.Errorf("1.36: -want +got:\n%s", diff)
	}
	for _, c := range inv.Claims {
		if c.UnusedSince != "" {
			t.Errorf("1.36: %s is unused since %s", c.Name, c.UnusedSince)
		}
	}
}

// An inventory of a namespace has the volumes of its claims, and none that is
// free, which is no namespace's.
func TestVolumesOfANamespace(t *testing.T) {
	snapshot := cache.NewSnapshot()
	snapshot.Complete = true
	for name, ref := range map[string]*corev1.ObjectReference{
		"a": {Namespace: "shop", Name: "a"}, "b": {Namespace: "till", Name: "b"}, "free": nil,
	} {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
		pv.Spec.ClaimRef = ref
		if err := snapshot.Add(pv); err != nil {
			t.Fatal(err)
		}
	}
	for namespace, want := range map[string][]string{"": {"a", "b", "free"}, "shop": {"a"}} {
		view := cluster.Environment{Source: snapshot, Finder: snapshot}.View(t.Context(), cluster.Request{})
		inv := TakeInventory(view, func(ns string) bool { return namespace == "" || ns == namespace },
			func(schema.GroupVersionKind) {}, nil)
		var got []string
		for _, v := range inv.Volumes {
			got = append(got, v.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("volumes of %q, -want +got:\n%s", namespace, diff)
		}
	}
}
