package cache_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
)

func claim(name string) *corev1.PersistentVolumeClaim {
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, Labels: map[string]string{"app": "db"},
		Annotations: map[string]string{cluster.AnnotationLastApplied: "{}", "a": "b", cluster.AnnotationReclaim: "Retain",
			cluster.ExemptPrefix + "claim-in-use": "why"},
	}}
	pvc.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	for _, manager := range []string{"kubectl", "kube-controller-manager"} {
		e := metav1.ManagedFieldsEntry{Manager: manager, Time: new(metav1.Now()), FieldsV1: &metav1.FieldsV1{}}
		e.FieldsV1.SetRawString(`{"f:spec":{"f:accessModes":{}}}`)
		pvc.ManagedFields = append(pvc.ManagedFields, e)
	}
	return pvc
}

func TestStripClaim(t *testing.T) {
	made := claim("data-db-0")
	if _, err := cache.Strip(made); err != nil {
		t.Fatal(err)
	}
	if len(made.Annotations) != 2 || len(made.ManagedFields) != 1 || !cluster.MadeByStatefulSet(made) {
		t.Errorf("%+v", made.ObjectMeta)
	}
	other := claim("data-db-0")
	other.ManagedFields = other.ManagedFields[:1] // kubectl's
	if _, err := cache.Strip(other); err != nil {
		t.Fatal(err)
	}
	if len(other.ManagedFields) != 0 || cluster.MadeByStatefulSet(other) {
		t.Errorf("%+v", other.ObjectMeta)
	}
}

func TestStripPod(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", ResourceVersion: "7",
		Labels: map[string]string{"a": "b"}}}
	pod.Spec.Hostname, pod.Spec.Subdomain = "db-0", "db"
	pod.Spec.Containers = []corev1.Container{{Name: "c"}}
	mounted := corev1.Volume{Name: "data",
		VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"},
		}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "tmp"}, mounted}
	pod.Status.Phase = corev1.PodRunning
	want := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", ResourceVersion: "7"}}
	want.Spec.Hostname, want.Spec.Subdomain, want.Spec.Volumes, want.Status.Phase = "db-0", "db", []corev1.Volume{mounted},
		corev1.PodRunning
	got, err := cache.Strip(toolscache.DeletedFinalStateUnknown{Key: "shop/db-0", Obj: pod})
	if err != nil || !reflect.DeepEqual(got.(toolscache.DeletedFinalStateUnknown).Obj, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestStripJob holds that of a Job and a CronJob remain the claims, by which alone they
// are found, and of a Job that has ended none.
func TestStripJob(t *testing.T) {
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "dump"}}}
	template.Spec.Containers = []corev1.Container{{Name: "dump", Image: "dump"}}
	template.Spec.Volumes = []corev1.Volume{{Name: "tmp"}, {Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "backups", ReadOnly: true}}}}
	held := []corev1.Volume{{VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "backups"}}}}
	named := metav1.ObjectMeta{Namespace: "shop", Name: "dump", UID: "u", ResourceVersion: "7"}
	meta := named
	meta.Labels, meta.Annotations = map[string]string{"a": "b"}, map[string]string{"a": "b"}
	job := func(edit func(*batchv1.Job)) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: template}}
		edit(j)
		return j
	}
	cronJob, heldCronJob := &batchv1.CronJob{ObjectMeta: meta}, &batchv1.CronJob{ObjectMeta: named}
	cronJob.Spec.Schedule, cronJob.Spec.JobTemplate.Spec.Template = "@daily", template
	heldCronJob.Spec.JobTemplate.Spec.Template.Spec.Volumes = held
	for name, tt := range map[string]struct{ obj, want cluster.Object }{
		"a CronJob": {cronJob, heldCronJob},
		"a Job": {job(func(*batchv1.Job) {}), &batchv1.Job{ObjectMeta: named, Spec: batchv1.JobSpec{
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Volumes: held}}}}},
		"a CronJob's Job": {job(func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "dump",
				Controller: new(true)}}
		}), &batchv1.Job{ObjectMeta: named}},
		"a Job that has ended": {job(func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		}), &batchv1.Job{ObjectMeta: named}},
	} {
		got, err := cache.Strip(tt.obj)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, cmp.Diff(tt.want, got))
		}
		if found := cluster.Keys(cluster.KnownObject(tt.want).GVK(), true); len(found) != 1 || found["mount"] == nil {
			t.Errorf("%s: it is found by %d indexes, and should be by its claims alone", name, len(found))
		}
	}
}
