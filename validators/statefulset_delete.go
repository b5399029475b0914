package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

var statefulsetDelete = &Rule{
	Name:      "statefulset-delete",
	Level:     Warn,
	NeverDeny: true,
	Reads:     []client.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `whoever deletes a StatefulSet should know what becomes of its claims

By default they stay, with their volumes and what these cost, and a StatefulSet
of the same name finds them again. Where
persistentVolumeClaimRetentionPolicy.whenDeleted is Delete, the garbage collector
deletes those of its Pods as soon as the StatefulSet is gone.

Ask first: kubectl delete --dry-run=server. To replace a StatefulSet whose fields
cannot be changed, kubectl delete --cascade=orphan leaves Pods and claims alone.
The rule speaks to people only, not to controllers and service accounts.`,

	Exempt: "never: it only tells whoever deletes what becomes of the claims",

	Checks: []Check{OnDelete(func(p *Pass, sts *appsv1.StatefulSet) error {
		if p.Cluster.Request.Orphan || !p.Cluster.Request.ByPerson() {
			return nil
		}
		claims, err := replicaClaims(p.Cluster, sts)
		if err != nil || len(claims) == 0 {
			return err
		}
		wanted, policy := ordinals(sts), sts.Spec.PersistentVolumeClaimRetentionPolicy
		deletes := policy != nil && policy.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		// The controller makes the StatefulSet the owner of its Pods' claims only.
		lost := claimNames(claims, func(c replicaClaim) bool { return deletes && wanted.has(c.ordinal) })
		kept := claimNames(claims, func(c replicaClaim) bool { return !deletes || !wanted.has(c.ordinal) })
		path := namePath
		if len(lost) > 0 {
			p.Report(field.Invalid(path, sts.Name, fmt.Sprintf("must not lose data: %s WILL BE DELETED with it", cluster.Few(lost))),
				fmt.Sprintf(`first kubectl patch sts %s -n %s -p '{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain"}}}'`, sts.Name, sts.Namespace))
		}
		if len(kept) > 0 {
			p.Report(field.Invalid(path, sts.Name, fmt.Sprintf("cannot free storage: %s stay, and are used again by a StatefulSet of that name", cluster.Few(kept))),
				deleteClaims(kept, sts.Namespace)+", if nobody needs the data")
		}
		return nil
	})},
}
