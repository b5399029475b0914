package validators

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A podCheck checks a Pod or a workload's Pod template. Path is the path of its
// spec.
type podCheck func(p *Pass, obj client.Object, spec *corev1.PodSpec, path *field.Path) error

// ofPods returns the check for the template of a StatefulSet, for that of a
// Deployment, and for a Pod that no controller made; the Pods of controllers
// are checked in their template, where they can be mended. Reads are the fields
// of a Pod's spec that the check reads, and ofSet the other fields of a
// StatefulSet.
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
		// The fields of a Pod that such rules read can no longer change.
		OnCreate(func(p *Pass, pod *corev1.Pod) error {
			if metav1.GetControllerOf(pod) != nil {
				return nil
			}
			return check(p, pod, &pod.Spec, specPath)
		}),
	}
}

// inContainers returns, as reads of a check, fields of a Pod's containers and
// init containers.
func inContainers(fields ...string) (reads []string) {
	for _, f := range fields {
		reads = append(reads, "containers[*]."+f, "initContainers[*]."+f)
	}
	return reads
}
