package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var protected = &Rule{
	Name:   "protected",
	Level:  Deny,
	Loses:  LosesData,
	Chosen: true,
	Doc: `what is labelled stayput.dev/protect: "true" must not be deleted

Label a StatefulSet, a claim, a volume or a Namespace with
stayput.dev/protect: "true", and nobody deletes it until the label is off: no
person, no GitOps tool that prunes, no operator. Nobody scales such a
StatefulSet to zero either, by its spec or by its subresource scale. Removing
the label and deleting the object are two requests on purpose.

Kubernetes' own controllers are not held back, nor is what is being deleted
already: the label on a Namespace protects the Namespace alone, and with it what
is in it; the label on a claim does not keep it in a Namespace that is deleted,
and an owner's deletion deletes what it owns through the garbage collector.
Label the Namespace and the owner, too.

While no replica of Stayput answers, the deletion of what has the label is
refused; that of anything else is not asked about by this webhook. Scaling to
zero then passes.`,

	Exempt: "never: one who may exempt the object may take its label off instead",

	Checks: []Check{
		protects[*appsv1.StatefulSet]("statefulset", "without the StatefulSet nobody makes its Pods again"),
		protects[*corev1.PersistentVolumeClaim]("pvc", "with the claim its volume goes, by its reclaim policy"),
		protects[*corev1.PersistentVolume]("pv", "without the volume no object refers to its disk"),
		protects[*corev1.Namespace]("namespace", "with the Namespace everything in it goes"),
		OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
			if old.Labels[cluster.LabelProtect] == cluster.ProtectTrue && ordinals(old).n > 0 && ordinals(sts).n == 0 {
				p.Report(field.Invalid(replicasPath, 0, fmt.Sprintf("must be at least 1 while the label %s is on: none of its "+
					"Pods stays", cluster.LabelProtect)), unprotect("statefulset", sts))
			}
			return nil
		}).Of(replicasPath.String(), protectPath.String()),
	},
}

var protectPath = metadataPath.Child("labels").Key(cluster.LabelProtect)

// protects denies the deletion of objects of a kind that have the label. Cost is
// what would be lost with one.
func protects[T cluster.Object](resource, cost string) Check {
	return OnDelete(func(p *Pass, obj T) error {
		if obj.GetLabels()[cluster.LabelProtect] == cluster.ProtectTrue {
			p.Report(field.Forbidden(protectPath, "must be taken off first: "+cost), unprotect(resource, obj))
		}
		return nil
	})
}

// unprotect returns the command that takes the label off.
func unprotect(resource string, obj cluster.Object) string {
	command := "kubectl label " + resource + " " + obj.GetName()
	if ns := obj.GetNamespace(); ns != "" {
		command += " -n " + ns
	}
	return command + " " + cluster.LabelProtect + "-"
}
