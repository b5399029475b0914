package validators

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// onEphemeral returns checks that call f for each claim that
// kube-controller-manager will make for a generic ephemeral volume of a Pod or
// of a workload's template. The claim has no name; spec is the path of its
// spec. Pods with a controller are left out: their template is checked.
func onEphemeral(f func(p *Pass, pvc *corev1.PersistentVolumeClaim, spec *field.Path) error) []Check {
	each := func(p *Pass, namespace string, pod *corev1.PodSpec, path *field.Path) error {
		for i := range pod.Volumes {
			source := pod.Volumes[i].Ephemeral
			if source == nil || source.VolumeClaimTemplate == nil {
				continue
			}
			pvc := &corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: source.VolumeClaimTemplate.Spec,
			}
			at := path.Child("volumes").Index(i).Child("ephemeral", "volumeClaimTemplate", "spec")
			if err := f(p, pvc, at); err != nil {
				return err
			}
		}
		return nil
	}
	const volumes = "spec.template.spec.volumes[*].ephemeral"
	return []Check{
		On(func(p *Pass, sts *appsv1.StatefulSet) error {
			return each(p, sts.Namespace, &sts.Spec.Template.Spec, podSpecPath)
		}).Of(volumes),
		On(func(p *Pass, dep *appsv1.Deployment) error {
			return each(p, dep.Namespace, &dep.Spec.Template.Spec, podSpecPath)
		}).Of(volumes),
		OnCreate(func(p *Pass, pod *corev1.Pod) error {
			if metav1.GetControllerOf(pod) != nil {
				return nil
			}
			return each(p, pod.Namespace, &pod.Spec, specPath)
		}),
	}
}
