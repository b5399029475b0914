package validators

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// onEphemeral returns checks that call f for each claim that
// kube-controller-manager will make for a generic ephemeral volume of a Pod or
// of a workload's template. The claim has no name; spec is the path of its
// spec. Pods with a controller are left out: their template is checked.
func onEphemeral(f func(p *Pass, pvc *corev1.PersistentVolumeClaim, spec *field.Path) error) []Check {
	return ofPods(func(p *Pass, obj cluster.Object, pod *corev1.PodSpec, at *field.Path) error {
		for i := range pod.Volumes {
			source := pod.Volumes[i].Ephemeral
			if source == nil || source.VolumeClaimTemplate == nil {
				continue
			}
			pvc := &corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{Namespace: obj.GetNamespace()}, Spec: source.VolumeClaimTemplate.Spec,
			}
			spec := at.Child("volumes").Index(i).Child("ephemeral", "volumeClaimTemplate", "spec")
			if err := f(p, pvc, spec); err != nil {
				return err
			}
		}
		return nil
	}, []string{"volumes[*].ephemeral"})
}
