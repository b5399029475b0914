package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

var claimTemplateClass = &Rule{
	Name:  "claim-template-class",
	Level: Warn,
	Reads: []client.Object{&storagev1.StorageClass{}, &corev1.PersistentVolume{}},
	Doc: `a claim template must have a class that exists

A claim whose class does not exist, or which names none in a cluster without a
default class, is Pending for ever, and with it the first Pod of the
StatefulSet. So is a claim of the class "", which is never provisioned, while
no volume is available for it. Templates cannot be changed later: name one of
the classes that there are now.`,

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		for i := range sts.Spec.VolumeClaimTemplates {
			pvc := &sts.Spec.VolumeClaimTemplates[i]
			if pvc.Spec.VolumeName != "" {
				continue // claim-template-pinned
			}
			missing, err := missingClass(p.Cluster, pvc)
			if err != nil {
				return err
			}
			if missing == nil {
				continue
			}
			path := field.NewPath("spec", "volumeClaimTemplates").Index(i).Child("spec", "storageClassName")
			// A claim that is Pending already would be found again, with its class.
			start, _ := cluster.Ordinals(sts)
			remedy := fmt.Sprintf("kubectl delete statefulset %s -n %s && kubectl delete pvc %s -n %[2]s, and create it again with another storageClassName (there are: %[4]s)",
				sts.Name, sts.Namespace, cluster.ClaimName(sts, pvc.Name, start), namesOf(missing.classes))
			switch missing.kind {
			case noClass:
				p.Report(notFound(path, missing.name, "must name a class that exists; the Pods would be Pending for ever"), remedy)
			case noDefault:
				p.Report(field.Required(path, "must name a class, for there is no default class; the Pods would be Pending for ever"), remedy)
			case noVolume:
				p.Report(field.Invalid(path, "", "must be a class that provisions, for no available volume fits; the Pods would be Pending"), remedy)
			}
		}
		return nil
	})},
}
