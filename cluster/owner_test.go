package cluster_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

func TestForeignController(t *testing.T) {
	for name, test := range map[string]struct {
		owner metav1.OwnerReference
		want  bool
	}{
		"a custom resource": {metav1.OwnerReference{APIVersion: "postgresql.cnpg.io/v1", Kind: "Cluster",
			Controller: new(true)}, true},
		"one of a group under k8s.io": {metav1.OwnerReference{APIVersion: "kueue.x-k8s.io/v1", Kind: "Workload",
			Controller: new(true)}, true},
		"one that bears a familiar name": {metav1.OwnerReference{APIVersion: "apps.kruise.io/v1beta1", Kind: "StatefulSet",
			Controller: new(true)}, true},
		"an owner that is no controller": {metav1.OwnerReference{APIVersion: "postgresql.cnpg.io/v1", Kind: "Cluster"},
			false},
		"one that says so": {metav1.OwnerReference{APIVersion: "postgresql.cnpg.io/v1", Kind: "Cluster",
			Controller: new(false)}, false},
		"a StatefulSet": {metav1.OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet",
			Controller: new(true)}, false},
		"a Pod": {metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Controller: new(true)},
			false},
		"a group that is built in": {metav1.OwnerReference{APIVersion: "batch/v1", Kind: "Job",
			Controller: new(true)}, false},
		"a CustomResourceDefinition": {metav1.OwnerReference{APIVersion: "apiextensions.k8s.io/v1",
			Kind: "CustomResourceDefinition", Controller: new(true)}, false},
		"an apiVersion that means nothing": {metav1.OwnerReference{APIVersion: "a/b/c", Kind: "D", Controller: new(true)},
			false},
	} {
		t.Run(name, func(t *testing.T) {
			pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node"}, test.owner}}}
			groupIsForeign := test.want || test.owner.APIVersion == "postgresql.cnpg.io/v1"
			if got := cluster.ForeignOwner(pvc); (got != nil) != groupIsForeign || got != nil && got.Kind != test.owner.Kind {
				t.Errorf("owner: %v, want one: %t", got, groupIsForeign)
			}
			if got := cluster.ForeignController(pvc); (got != nil) != test.want || got != nil && got.Kind != test.owner.Kind {
				t.Errorf("%v, want it to be one: %t", got, test.want)
			}
		})
	}
	// No controller of Kubernetes' own makes these.
	leader := metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "db-0",
		Controller: new(true)}}}
	for _, obj := range []metav1.Object{&appsv1.StatefulSet{ObjectMeta: leader}, &appsv1.Deployment{ObjectMeta: leader}} {
		if got := cluster.ForeignController(obj); got == nil || got.Name != "db-0" {
			t.Errorf("%T of a Pod: %v", obj, got)
		}
	}
	if got := cluster.ForeignController(&appsv1.StatefulSet{}); got != nil {
		t.Errorf("of no owner: %v", got)
	}
	if got := cluster.ForeignController(&corev1.Pod{}); got != nil {
		t.Errorf("of no owner: %v", got)
	}
}
