package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

var statefulsetScaleDown = &Rule{
	Name:  "statefulset-scale-down",
	Level: Warn,
	Reads: []client.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `whoever scales a StatefulSet down should know what becomes of its claims

By default the claims of the Pods that go stay, and so do their volumes and what
these cost. Scaled up again, the Pods get the same volumes back, with data as old
as that: a database may take it for current. Where
persistentVolumeClaimRetentionPolicy.whenScaled is Delete, the claims are
deleted with the Pods instead, and scaling up again starts with nothing.

Delete claims that nobody needs any more. To keep what is about to be deleted,
scale up again at once and set whenScaled to Retain first.`,

	Exempt: "never: it only tells whoever scales what becomes of the claims",

	Checks: []Check{OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
		was, is := ordinals(old), ordinals(sts)
		if is.n >= was.n {
			return nil
		}
		claims, err := replicaClaims(p.Cluster, sts)
		if err != nil {
			return err
		}
		leaving := claimNames(claims, func(c replicaClaim) bool { return was.has(c.ordinal) && !is.has(c.ordinal) })
		if len(leaving) == 0 {
			return nil
		}
		path := replicasPath
		if policy := sts.Spec.PersistentVolumeClaimRetentionPolicy; policy != nil && policy.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType {
			p.Report(field.Invalid(path, is.n, fmt.Sprintf("must not lose data: %s WILL BE DELETED", cluster.Few(leaving))),
				fmt.Sprintf("at once kubectl scale sts %s -n %s --replicas=%d, and whenScaled: Retain", sts.Name, sts.Namespace, was.n))
			return nil
		}
		p.Report(field.Invalid(path, is.n, fmt.Sprintf("cannot free storage: %s stay, and are used again, stale, when it is scaled up", cluster.Few(leaving))),
			deleteClaims(leaving, sts.Namespace)+", if nobody needs the data")
		return nil
	})},
}
