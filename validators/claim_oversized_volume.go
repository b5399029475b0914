package validators

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimOversizedVolume = &Rule{
	Name:  "claim-oversized-volume",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.StorageClass{}, &corev1.PersistentVolume{}},
	Doc: `a claim should not take a volume much larger than it asks for

Where no class provisions volumes, a claim is bound to the smallest available
volume that holds what it asks for, among those with the fewest access modes.
That volume may be a hundred times larger: the claim has all of it, nobody else
can use the rest, and the claim that was meant to have it finds none. Up to a
tenth more is no finding, because disks have round sizes, such as 100G for 93Gi.
Make a volume of the right size, choose one with volumeName or a selector, name
a class that provisions, or ask for the whole of it.`,

	Versions: []*cluster.Feature{attributesClasses},

	Exempt: "the whole volume is meant for this claim, and its size is only what the claim says",

	Checks: []Check{OnCreate(func(p *Pass, pvc *corev1.PersistentVolumeClaim) error {
		if pvc.Spec.VolumeName != "" {
			return nil // bound, or chosen
		}
		asked := pvc.Spec.Resources.Requests.Storage()
		if asked.IsZero() {
			return nil
		}
		name, class, named, err := classOf(p.Cluster, pvc)
		if err != nil || provisions(class) {
			return err
		}
		if !named && class != nil { // lint sees the claim before the API server fills in the default class
			of := *pvc
			of.Spec.StorageClassName = &name
			pvc = &of
		}
		pvs, err := volumesFor(p.Cluster, pvc)
		if err != nil {
			return err
		}
		pv := bestVolume(p.Cluster, pvc, pvs, waits(class))
		if pv == nil || pv.Spec.ClaimRef != nil {
			return nil // none, or somebody reserved one for this claim
		}
		size := pv.Spec.Capacity.Storage()
		if !muchLarger(size, asked) {
			return nil
		}
		p.Report(field.Invalid(field.NewPath("spec", "resources", "requests").Key("storage"), asked.String(),
			fmt.Sprintf("cannot be had exactly: the nearest volume, %s, has %s, and the claim takes all of it", pv.Name, size)),
			fmt.Sprintf("make a volume of %s first", asked), ", choose one with volumeName",
			fmt.Sprintf(", or ask for %s", size))
		return nil
	})},
}

// muchLarger says whether a size is larger than another by more than a tenth.
func muchLarger(size, than *resource.Quantity) bool {
	return size.AsApproximateFloat64() > 1.1*than.AsApproximateFloat64()
}
