package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetScaleDown = &Rule{
	Name:  "statefulset-scale-down",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}, &corev1.Pod{}},
	Doc: `a person who scales a StatefulSet down should know what happens to its claims

By default the claims of the deleted Pods stay, and so do their volumes, which
still cost money. After a later scale-up the Pods get the same volumes back with
the old data, which a database may take for current. Where
persistentVolumeClaimRetentionPolicy.whenScaled is Delete, the claims are
deleted with the Pods instead, and scaling up again starts with nothing. Where
whenDeleted is Delete, the StatefulSet stays the owner of the remaining claims,
and they are deleted with it, even if whenDeleted is Retain by then.

A StatefulSet that was deleted with --cascade=orphan and is created again with
fewer replicas than there are Pods is scaled down at its creation: it adopts all
Pods, and deletes those outside its range, with their claims where whenScaled is
Delete.

Before you delete a claim, find out what it holds. To keep what is about to be
deleted, set whenScaled to Retain while the Pods terminate: the controller then
removes these Pods from the owners of their claims.`,

	Exempt: "never: it only tells a person what happens to the claims of the removed Pods",

	Checks: []Check{OnArrival(condemned), OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
		was, is := ordinals(old), ordinals(sts)
		if is.n >= was.n {
			return nil
		}
		claims, err := replicaClaims(p.Cluster, sts)
		if err != nil {
			return err
		}
		leaves := func(c replicaClaim) bool { return was.has(c.ordinal) && !is.has(c.ordinal) }
		if deletesWhenScaled(sts) {
			// The garbage collector deletes nothing that has another owner.
			lost := claimNames(claims, func(c replicaClaim) bool {
				_, _, others, _ := owners(sts, c)
				return leaves(c) && !others
			})
			if len(lost) > 0 {
				p.Report(field.Invalid(replicasPath, is.n, fmt.Sprintf("must not lose data: %s WILL BE DELETED with their Pods",
					cluster.Few(lost))),
					fmt.Sprintf(`at once: kubectl patch sts %s -n %s -p `+
						`'{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Retain"}}}'`, sts.Name, sts.Namespace))
			}
			return nil
		}
		left := claimNames(claims, leaves)
		if len(left) == 0 {
			return nil
		}
		what := fmt.Sprintf("cannot free storage: %s stay, and are used again, stale, when it is scaled up",
			cluster.Few(left))
		if deletesWhenDeleted(sts) {
			what += "; they go when it is deleted"
		}
		p.Report(field.Invalid(replicasPath, is.n, what),
			"scale up again to use them", "; or, to free it, find out first what each holds and keep a copy")
		return nil
	})},
}

// condemned reports the claims of Pods that a StatefulSet adopts when it is
// created and deletes at once, because they are out of its range.
func condemned(p *Pass, sts *appsv1.StatefulSet) error {
	if !deletesWhenScaled(sts) {
		return nil
	}
	claims, err := replicaClaims(p.Cluster, sts)
	if err != nil {
		return err
	}
	is, last := ordinals(sts), 0
	claims = slices.DeleteFunc(claims, func(c replicaClaim) bool { return is.has(c.ordinal) })
	adopted, err := usedByOwn(p.Cluster, sts, claims)
	if err != nil {
		return err
	}
	lost := claimNames(claims, func(c replicaClaim) bool {
		if !adopted[c.claim.Name] {
			return false
		}
		last = max(last, c.ordinal)
		_, _, others, _ := owners(sts, c)
		return !others
	})
	if len(lost) == 0 {
		return nil
	}
	keep := Remedy{"persistentVolumeClaimRetentionPolicy: {whenScaled: Retain}"}
	if start, _ := cluster.Ordinals(sts); last >= start {
		keep = Remedy{fmt.Sprintf("replicas: %d", last-start+1), ", or " + keep[0]}
	}
	p.Report(field.Invalid(replicasPath, is.n,
		fmt.Sprintf("must not lose data: %s WILL BE DELETED with their Pods, which it adopts", cluster.Few(lost))), keep...)
	return nil
}
