package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimTemplatePinned = &Rule{
	Name:  "claim-template-pinned",
	Level: Deny,
	Loses: LosesTime,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}, &storagev1.StorageClass{}},
	Runs:  claimsAsk,
	Doc: `a claim template must not ask for one particular volume

A volume has one claim. With volumeName in a template, the claim of every
replica asks for the same volume: the first gets it, and the others are Pending
for ever. A claim with a selector is never provisioned, because no provisioner
supports selectors: it waits for a volume made by hand. Templates cannot be
changed later. Remove the field; to give each replica a volume of its own
choice, reserve the volumes with claimRef, or make the claims before the
StatefulSet.`,

	Exempt: "the one replica is bound to that volume on purpose, and will never have a second",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		for i := range sts.Spec.VolumeClaimTemplates {
			pvc := &sts.Spec.VolumeClaimTemplates[i]
			if replicas := replicasOf(sts.Spec.Replicas); pvc.Spec.VolumeName != "" && replicas > 1 {
				p.Report(field.Invalid(templatesPath.Index(i).Child("spec", "volumeName"), pvc.Spec.VolumeName,
					fmt.Sprintf("must be empty with %d replicas; one gets the volume, the others are Pending for ever", replicas)),
					fmt.Sprintf("remove it, and reserve a volume for each claim: claimRef: {namespace: %s, name: %s-%s-0} in the "+
						"PersistentVolume", sts.Namespace, pvc.Name, sts.Name))
			}
		}
		for i := range sts.Spec.VolumeClaimTemplates {
			pvc := &sts.Spec.VolumeClaimTemplates[i]
			if pvc.Spec.Selector == nil || pvc.Spec.VolumeName != "" {
				continue
			}
			name, class, _, err := classOf(p.Cluster, pvc)
			if err != nil {
				return err
			}
			if provisions(class) {
				p.Warn(field.Forbidden(templatesPath.Index(i).Child("spec", "selector"),
					fmt.Sprintf("cannot be honoured by class %s; the claims stay Pending", name)),
					"remove the selector", `, or write storageClassName: "" to choose among volumes made by hand`)
			}
		}
		return nil
	})},
}

// claimsAsk says whether the claim of a running Pod asks for the volume of the
// finding.
func claimsAsk(v *cluster.View, obj cluster.Object, left *remnants) (func(*Finding) bool, error) {
	claims, err := replicaClaims(v, obj.(*appsv1.StatefulSet))
	if err != nil {
		return nil, err
	}
	asked := map[any]bool{}
	for _, c := range claims {
		if left.ordinals[c.ordinal] && left.mounting[c.claim.Name] > 0 {
			asked[c.claim.Spec.VolumeName] = true
		}
	}
	return func(denial *Finding) bool { return asked[denial.BadValue] }, nil
}
