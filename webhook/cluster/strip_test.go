package cluster_test

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"stayput.dev/webhook/cluster"
)

func claim(name string) *corev1.PersistentVolumeClaim {
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, Labels: map[string]string{"app": "db"},
		Annotations: map[string]string{cluster.AnnotationLastApplied: "{}", "a": "b"},
	}}
	pvc.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	for _, manager := range []string{"kubectl", "kube-controller-manager"} {
		e := metav1.ManagedFieldsEntry{Manager: manager, Time: new(metav1.Now()), FieldsV1: &metav1.FieldsV1{}}
		e.FieldsV1.SetRawString(`{"f:spec":{"f:accessModes":{}}}`)
		pvc.ManagedFields = append(pvc.ManagedFields, e)
	}
	return pvc
}

// TestStripShares holds what two claims have in common to be in memory once.
func TestStripShares(t *testing.T) {
	a, b := claim("data-db-0"), claim("data-db-1")
	for _, pvc := range []*corev1.PersistentVolumeClaim{a, b} {
		if _, err := cluster.Strip(pvc); err != nil {
			t.Fatal(err)
		}
	}
	for name, same := range map[string]bool{
		"labels":         reflect.ValueOf(a.Labels).Pointer() == reflect.ValueOf(b.Labels).Pointer(),
		"annotations":    reflect.ValueOf(a.Annotations).Pointer() == reflect.ValueOf(b.Annotations).Pointer(),
		"requests":       reflect.ValueOf(a.Spec.Resources.Requests).Pointer() == reflect.ValueOf(b.Spec.Resources.Requests).Pointer(),
		"managed fields": &a.ManagedFields[0] == &b.ManagedFields[0],
	} {
		if !same {
			t.Errorf("%s: there are two", name)
		}
	}
	if len(a.Annotations) != 1 || len(a.ManagedFields) != 1 || !cluster.MadeByStatefulSet(a) {
		t.Errorf("%+v", a.ObjectMeta)
	}
}

func TestStripPod(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", ResourceVersion: "7", Labels: map[string]string{"a": "b"}}}
	pod.Spec.Hostname, pod.Spec.Subdomain = "db-0", "db"
	pod.Spec.Containers = []corev1.Container{{Name: "c"}}
	mounted := corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"}}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "tmp"}, mounted}
	pod.Status.Phase = corev1.PodRunning
	want := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", ResourceVersion: "7"}}
	want.Spec.Hostname, want.Spec.Subdomain, want.Spec.Volumes, want.Status.Phase = "db-0", "db", []corev1.Volume{mounted}, corev1.PodRunning
	got, err := cluster.Strip(cache.DeletedFinalStateUnknown{Key: "shop/db-0", Obj: pod})
	if err != nil || !reflect.DeepEqual(got.(cache.DeletedFinalStateUnknown).Obj, want) {
		t.Errorf("%+v, %v", got, err)
	}
}
