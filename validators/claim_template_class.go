package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimTemplateClass = &Rule{
	Name:  "claim-template-class",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.StorageClass{}, &corev1.PersistentVolume{}},
	Doc: `a claim template must have a class that exists

A claim whose class does not exist, or which names none in a cluster without a
default class, is Pending for ever, and so is the first Pod of the StatefulSet.
Templates cannot be changed later: name one of the classes that there are now.`,

	Versions: []*cluster.Feature{attributesClasses},

	Exempt: "the class is made later by something else, such as the provisioner's own chart",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		for i := range sts.Spec.VolumeClaimTemplates {
			pvc := &sts.Spec.VolumeClaimTemplates[i]
			if pvc.Spec.VolumeName != "" {
				continue // claim-template-pinned
			}
			missing, err := missingClass(p.Cluster, p.firstClaim(sts, i)) // for which a volume may be reserved
			if err != nil {
				return err
			}
			if missing == nil {
				continue
			}
			path := templatesPath.Index(i).Child("spec", "storageClassName")
			switch missing.kind {
			case noClass:
				p.Report(notFound(path, missing.name, "must exist; the Pods stay Pending"),
					p.Mend(missing.named(), "create StorageClass "+missing.name), p.Mend("", orOtherClass(sts, missing)))
			case noDefault:
				p.Report(field.Required(path, "must be set without a default class; Pods stay Pending until there is one"),
					p.Mend(missing.named(), "mark a class as the default"), p.Mend("", orOtherClass(sts, missing)))
			}
		}
		return nil
	})},
}

// orOtherClass returns how else the templates of a StatefulSet can get a class,
// if there is one. The claims that the StatefulSet has made already are still
// Pending; statefulset-scale-up says what to do about those that hold no data.
func orOtherClass(sts *appsv1.StatefulSet, missing *classless) string {
	if len(missing.classes) == 0 {
		return ""
	}
	return fmt.Sprintf(", or name another (%s) after kubectl delete sts %s -n %s --cascade=orphan",
		offered(missing.classes), sts.Name, sts.Namespace)
}
