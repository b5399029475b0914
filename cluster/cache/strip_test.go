package cache_test

import (
	"reflect"
	"testing"

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
