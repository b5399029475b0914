package operator

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// A database is a Database with the objects that it needs.
type database struct {
	*unstructured.Unstructured
	spec   Spec
	scheme *runtime.Scheme
}

func (db *database) labels() map[string]string { return map[string]string{"database": db.GetName()} }

func (db *database) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: db.GetNamespace(), Name: db.GetName(), Labels: db.labels()}
}

func (db *database) own(object client.Object) error {
	return controllerutil.SetControllerReference(db.Unstructured, object, db.scheme)
}

func (db *database) service() *corev1.Service {
	s := &corev1.Service{ObjectMeta: db.meta(), Spec: corev1.ServiceSpec{
		Selector: db.labels(), Ports: []corev1.ServicePort{{Port: 5432}},
	}}
	switch db.spec.Service {
	case Headless:
		s.Spec.ClusterIP = corev1.ClusterIPNone
	case Unselecting:
		s.Spec.Selector = nil
	}
	return s
}

func (db *database) budget() *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)
	return &policyv1.PodDisruptionBudget{ObjectMeta: db.meta(), Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: db.labels()},
	}}
}

func (db *database) requests() (corev1.ResourceList, error) {
	quantity, err := resource.ParseQuantity(db.spec.Storage)
	return corev1.ResourceList{corev1.ResourceStorage: quantity}, err
}

func (db *database) statefulSet() (*appsv1.StatefulSet, error) {
	requests, err := db.requests()
	if err != nil {
		return nil, err
	}
	now := int64(1)
	pod := corev1.PodSpec{
		TerminationGracePeriodSeconds: &now,
		Containers: []corev1.Container{{
			Name: "database", Image: db.spec.Image,
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
		}},
	}
	if db.spec.Placeholder {
		pod.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "placeholder"},
		}}}
	}
	set := &appsv1.StatefulSet{ObjectMeta: db.meta(), Spec: appsv1.StatefulSetSpec{
		Replicas:            &db.spec.Replicas,
		ServiceName:         db.GetName(),
		PodManagementPolicy: appsv1.ParallelPodManagement,
		Selector:            &metav1.LabelSelector{MatchLabels: db.labels()},
		Template:            corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: db.labels()}, Spec: pod},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: "data", Labels: db.labels()},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				StorageClassName: &db.spec.Class,
				Resources:        corev1.VolumeResourceRequirements{Requests: requests},
			},
		}},
	}}
	if db.spec.WhenDeleted != "" {
		set.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
			WhenDeleted: appsv1.PersistentVolumeClaimRetentionPolicyType(db.spec.WhenDeleted),
			WhenScaled:  appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		}
	}
	return set, db.own(set)
}

func storageOf(set *appsv1.StatefulSet) string {
	quantity := set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage]
	return quantity.String()
}
