package validators

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimClass = &Rule{
	Name:  "claim-class",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.StorageClass{}, &corev1.PersistentVolume{}, &corev1.Pod{}},
	Doc: `a claim must have a class that exists

A claim whose class does not exist, or which names none in a cluster without a
default class, is Pending for ever, and so is every Pod that mounts it; only the
claim's events say why. Name one of the classes there are, or mark one as the
default. A class that does not exist is no finding where some volume has its
name: administrators match volumes made by hand to claims in this way. The claim
of a generic ephemeral volume is made together with its Pod; the rule checks it
already in the Pod template. A claim without a class may be given one later, but
only once.`,

	Versions: []*cluster.Feature{attributesClasses},

	Exempt: "the volume or the class is made later by something else, such as an operator or a second chart",

	Checks: append([]Check{
		OnCreate(func(p *Pass, pvc *corev1.PersistentVolumeClaim) error {
			return ofClass(p, pvc, "claim and Pods stay Pending")
		}),
		OnUpdate(func(p *Pass, old, pvc *corev1.PersistentVolumeClaim) error {
			if old.Spec.StorageClassName != nil || pvc.Spec.StorageClassName == nil {
				return nil // field-fixed
			}
			return ofClass(p, pvc, "claim and Pods stay Pending, and the class is final")
		}).Of("spec.storageClassName"),
	}, onEphemeral(func(p *Pass, pvc *corev1.PersistentVolumeClaim, spec *field.Path) error {
		if pvc.Spec.VolumeName != "" {
			return nil
		}
		missing, err := missingClass(p.Cluster, pvc)
		if err != nil || missing == nil {
			return err
		}
		path := spec.Child("storageClassName")
		if missing.kind == noDefault {
			p.Report(field.Required(path, "must name a class, for there is no default; Pods stay Pending"), missing.named())
			return nil
		}
		p.Report(notFound(path, missing.name, "must name a class that exists; Pods stay Pending"), missing.named())
		return nil
	})...),
}

// ofClass reports a claim whose class does not exist, and what that costs.
func ofClass(p *Pass, pvc *corev1.PersistentVolumeClaim, cost string) error {
	if pvc.Spec.VolumeName != "" {
		return nil // claim-volume
	}
	missing, err := missingClass(p.Cluster, pvc)
	if err != nil || missing == nil {
		return err
	}
	path := field.NewPath("spec", "storageClassName")
	if missing.kind == noDefault {
		remedy := "create a StorageClass and mark it as the default with the annotation " +
			"storageclass.kubernetes.io/is-default-class"
		if name := missing.first(); name != "" {
			remedy = p.Mend(fmt.Sprintf("storageClassName: %s (%s)", name, offered(missing.classes)),
				fmt.Sprintf(`kubectl patch pvc %s -n %s -p '{"spec":{"storageClassName":"%s"}}' (%s)`, pvc.Name, pvc.Namespace,
					name, offered(missing.classes)))
		}
		p.Report(field.Required(path, "must name a class, for there is no default; "+cost), remedy)
		return nil
	}
	create, other := "create StorageClass "+missing.name, ""
	if len(missing.classes) > 0 {
		other = fmt.Sprintf(", or make the claim anew with another (%s)", offered(missing.classes))
	}
	remedy := Remedy{p.Mend(missing.named(), create), p.Mend("", other)}
	nothing, err := holdsNothing(p.Cluster, pvc)
	if err != nil {
		return err
	}
	there := nothing && pvc.ResourceVersion != "" && len(missing.classes) > 0 // audit
	if there {
		remedy = Remedy{create, fmt.Sprintf(", or %s with another (%s)", remade(pvc), offered(missing.classes))}
	}
	p.Report(notFound(path, missing.name, "must name a class that exists; "+cost), remedy...)
	if there {
		p.Recreates(create)
	}
	return nil
}
