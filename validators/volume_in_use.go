package validators

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var volumeInUse = &Rule{
	Name:      "volume-in-use",
	Level:     Deny,
	Loses:     LosesData,
	SavesData: true,
	Reads:     []cluster.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `a volume that a claim is bound to must not be deleted

A deletion cannot be taken back. Kubernetes delays it until the claim is gone,
and then deletes the PersistentVolume whatever its reclaim policy: with Retain
the disk stays in the storage system, but no object in the cluster says which
data it holds. Delete the claim instead: the volume then follows its reclaim
policy. A volume whose claim is gone or being deleted may be deleted. For a
volume made by hand the rule only warns, because its author may delete it
together with its claim, in any order.

A claim is the volume's if it has the uid in claimRef; a claimRef without a uid
means the claim of that name.`,

	Exempt: "the disk is to be given to another claim, and a copy of the data exists",

	Checks: []Check{OnDelete(func(p *Pass, pv *corev1.PersistentVolume) error {
		ref := pv.Spec.ClaimRef
		if ref == nil || pv.Status.Phase != corev1.VolumeBound {
			return nil // provisioners delete volumes that are Released or Failed
		}
		pvc, err := cluster.Get[corev1.PersistentVolumeClaim](p.Cluster, ref.Namespace, ref.Name)
		if err != nil {
			return fmt.Errorf("get PersistentVolumeClaim %s/%s: %w", ref.Namespace, ref.Name, err)
		}
		if pvc == nil || pvc.DeletionTimestamp != nil || !cluster.Reserves(pv, pvc) {
			return nil
		}
		finding := field.Forbidden(namePath,
			fmt.Sprintf("cannot be undone: once claim %s, which is bound to it, goes, it goes too, even if it is to be retained",
				pvc.Name))
		remedy := "leave it to its claim, whose end it follows by its reclaim policy"
		if pv.Annotations[cluster.AnnotationProvisionedBy] == "" {
			p.Warn(finding, remedy)
			return nil
		}
		p.Report(finding, remedy, fmt.Sprintf("; or kubectl annotate pv %s %s=\"why\"", pv.Name,
			cluster.ExemptPrefix+p.rule.Name))
		p.Loses(pv.Name)
		return nil
	})},
}
