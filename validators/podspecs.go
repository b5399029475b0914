package validators

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A podCheck is a check of a Pod, or of the template from which a workload makes its
// own, and of the path at which its spec stands.
type podCheck func(p *Pass, obj client.Object, spec *corev1.PodSpec, path *field.Path) error

// ofPods returns the checks of a StatefulSet's template, a Deployment's, and a Pod
// that no controller makes, whose own is checked where somebody can mend it. Reads
// are fields of a Pod's spec, and ofSet what is read of a StatefulSet besides.
func ofPods(check podCheck, reads []string, ofSet ...string) []Check {
	var template []string
	for _, read := range reads {
		template = append(template, "spec.template.spec."+read)
	}
	return []Check{
		On(func(p *Pass, sts *appsv1.StatefulSet) error {
			return check(p, sts, &sts.Spec.Template.Spec, podSpecPath)
		}).Of(append(ofSet, template...)...),
		On(func(p *Pass, d *appsv1.Deployment) error {
			return check(p, d, &d.Spec.Template.Spec, podSpecPath)
		}).Of(template...),
		// What such rules read of a Pod cannot change any more.
		OnCreate(func(p *Pass, pod *corev1.Pod) error {
			if metav1.GetControllerOf(pod) != nil {
				return nil
			}
			return check(p, pod, &pod.Spec, specPath)
		}),
	}
}

// inContainers returns a field of the containers of a Pod's spec, and of the init
// containers, as what a check reads.
func inContainers(fields ...string) (reads []string) {
	for _, f := range fields {
		reads = append(reads, "containers[*]."+f, "initContainers[*]."+f)
	}
	return reads
}
