package validators

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var volumeReclaim = &Rule{
	Name:  "volume-reclaim",
	Level: Warn,
	Loses: LosesData,
	Doc: `a volume should be retained when its claim goes

With the reclaim policy Delete, the disk behind a volume is destroyed as soon as
its claim is deleted; with Recycle, which is deprecated, all files on it are. A
volume that is made by hand usually has data on it already, or a disk that
nobody can make again. If the policy of a bound volume changes from Retain to
Delete, the next kubectl delete of the claim or of its namespace destroys the
data; if the volume is Released, the disk is destroyed at once. Set
persistentVolumeReclaimPolicy: Retain, the default; if the data may be deleted,
annotate the volume stayput.dev/reclaim-policy: Delete.`,

	Exempt: "the volume is for data that can be created again, and its provisioner cleans it up",

	Checks: []Check{
		On(func(p *Pass, pv *corev1.PersistentVolume) error {
			if provisioned(pv) || letsGo(pv) {
				return nil
			}
			path, policy := field.NewPath("spec", "persistentVolumeReclaimPolicy"), pv.Spec.PersistentVolumeReclaimPolicy
			fix := setting(path, string(corev1.PersistentVolumeReclaimRetain), 1)
			switch policy {
			case corev1.PersistentVolumeReclaimDelete:
				p.Report(field.Invalid(path, policy,
					"must be Retain on a volume made by hand; the disk would be destroyed with its claim"),
					p.Mend(fix.Text(), retainCommand(pv.Name)))
				p.Fix(fix)
			case corev1.PersistentVolumeReclaimRecycle:
				p.Report(field.Invalid(path, policy, "must be Retain; every file on the volume would be deleted with its claim"),
					p.Mend(fix.Text(), retainCommand(pv.Name)))
				p.Fix(fix)
			}
			return nil
		}).Of("spec.persistentVolumeReclaimPolicy", "metadata.annotations["+cluster.AnnotationProvisionedBy+"]",
			"metadata.annotations["+cluster.AnnotationReclaim+"]"),
		OnUpdate(func(p *Pass, old, pv *corev1.PersistentVolume) error {
			if !provisioned(pv) || letsGo(pv) || pv.Spec.ClaimRef == nil {
				return nil // made by hand: see above
			}
			was, policy := old.Spec.PersistentVolumeReclaimPolicy, pv.Spec.PersistentVolumeReclaimPolicy
			if was != corev1.PersistentVolumeReclaimRetain || policy != corev1.PersistentVolumeReclaimDelete {
				return nil
			}
			path, ref := field.NewPath("spec", "persistentVolumeReclaimPolicy"), pv.Spec.ClaimRef
			fix := setting(path, string(corev1.PersistentVolumeReclaimRetain), 1)
			what := fmt.Sprintf("must stay Retain while claim %s/%s has it; the data would go with the claim", ref.Namespace,
				ref.Name)
			if claimGone(old) {
				what = fmt.Sprintf("must stay Retain, for claim %s/%s is gone; the disk is destroyed at once", ref.Namespace,
					ref.Name)
			}
			p.Report(field.Invalid(path, policy, what), p.Mend(fix.Text(), retainCommand(pv.Name)))
			p.Fix(fix)
			return nil
		}),
	},
}

// letsGo says whether an annotation of the volume itself permits the loss of
// its data.
func letsGo(pv *corev1.PersistentVolume) bool {
	return pv.Annotations[cluster.AnnotationReclaim] == string(corev1.PersistentVolumeReclaimDelete)
}
