package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetRetention = &Rule{
	Name:      "statefulset-retention",
	Level:     Deny,
	Loses:     LosesData,
	SavesData: true,
	Runs:      allRetained,
	Awaits:    awaitRetained,
	Reads: []cluster.Object{&corev1.Namespace{}, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{},
		&storagev1.StorageClass{}},
	Doc: `a StatefulSet must not delete claims whose volumes are deleted with them

With persistentVolumeClaimRetentionPolicy Delete the garbage collector deletes
the claims of a StatefulSet that is deleted (whenDeleted) or scaled down
(whenScaled), perhaps by an autoscaler at night. Where the volumes also have the
reclaim policy Delete, the data is destroyed with the claims. Where they have
Retain, the data stays, but on volumes that somebody must bind again by hand.

The rule denies Delete where it would destroy data and nobody asked for that:
where the volume of a claim that exists has the reclaim policy Delete, or where
the configuration retains no volumes (retain: off) and the StorageClass of a
template deletes them. In all other cases it warns: where the volumes are
retained, where the class is not known, and where the nearest annotation
stayput.dev/reclaim-policy, on the volume, the claim, the template or the
Namespace, says Delete, because its author asked for it.

Leave the field out, or set it to Retain. Volumes that exist are made safe by
kubectl patch pv NAME -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'.
For data that may go, annotate the template or the Namespace.

If whenDeleted is set back to Retain, the controller removes the StatefulSet
from the owners of the claims whose Pods exist. The claims of Pods that were
scaled down under Delete keep it as their owner, and are still deleted with it:
the rule warns of them when the field changes, and in an audit. This command
removes the owners of a claim: kubectl patch pvc NAME --type=json -p
'[{"op":"remove","path":"/metadata/ownerReferences"}]'`,

	Exempt: "the data can be created again, as that of caches, runners and test databases",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		if sts.UID == "" || p.Cluster.Manifests() {
			return nil // new, or in a file: it owns nothing yet
		}
		return stillOwned(p, sts, sts)
	}), OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
		if !deletesWhenDeleted(old) {
			return nil
		}
		return stillOwned(p, old, sts)
	}), On(func(p *Pass, sts *appsv1.StatefulSet) error {
		deletes := deletedWhen(sts)
		if len(deletes) == 0 || len(sts.Spec.VolumeClaimTemplates) == 0 {
			return nil
		}
		reason, disk, err := destroys(p.Cluster, sts)
		if !p.presumed(err) { // without the volumes, only the level is not known
			return err
		}
		mend := ""
		if disk != "" {
			mend = ", or for each volume " + p.retained(disk)
		}
		for _, d := range deletes {
			path := field.NewPath("spec", "persistentVolumeClaimRetentionPolicy", d)
			fix := setting(path, string(corev1.PersistentVolumeReclaimRetain), 1)
			if reason != "" {
				p.ReportFix(field.Invalid(path, "Delete", "must be Retain: it would destroy the data, for "+reason), fix, mend)
				if disk != "" {
					p.Loses(disk)
				}
				continue
			}
			p.Warn(field.Invalid(path, "Delete",
				"must be Retain; claims are deleted, and their volumes with them or left to be bound again by hand"), fix.Text())
			p.Fix(fix)
		}
		return nil
	}).Of("spec.persistentVolumeClaimRetentionPolicy", "spec.volumeClaimTemplates")},
}

// stillOwned reports the claims that whenDeleted: Retain does not keep. The
// controller frees the claims of Pods that exist, even of those that the same
// request scales away.
func stillOwned(p *Pass, old, sts *appsv1.StatefulSet) error {
	if deletesWhenDeleted(sts) {
		return nil
	}
	claims, err := replicaClaims(p.Cluster, sts)
	if err != nil {
		return err
	}
	was := ordinals(old)
	claims = slices.DeleteFunc(claims, func(c replicaClaim) bool { return was.has(c.ordinal) })
	owned := leftOwned(sts, claims)
	if len(owned) == 0 {
		return nil
	}
	p.Warn(field.Invalid(field.NewPath("spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"), "Retain",
		fmt.Sprintf("cannot keep %s, scaled away under Delete; they WILL BE DELETED with it", cluster.Few(owned))),
		freeClaims(owned, sts.Namespace))
	return nil
}

// deletedWhen returns the fields of the retention policy with the value Delete.
func deletedWhen(sts *appsv1.StatefulSet) (when []string) {
	if deletesWhenDeleted(sts) {
		when = append(when, "whenDeleted")
	}
	if deletesWhenScaled(sts) {
		when = append(when, "whenScaled")
	}
	return when
}

// destroys returns why the data of a StatefulSet would be destroyed with its
// claims although no annotation asks for that, and the volume if it exists; or
// "".
func destroys(v *cluster.View, sts *appsv1.StatefulSet) (reason, disk string, err error) {
	claims, err := replicaClaims(v, sts)
	if err != nil {
		return "", "", err
	}
	for _, c := range claims {
		pv, err := volumeOf(v, c.claim)
		if err != nil {
			return "", "", err
		}
		if pv == nil || !destroysVolume(pv.Spec.PersistentVolumeReclaimPolicy) {
			continue
		}
		owner := c.claim
		if wish := owner.Annotations[cluster.AnnotationReclaim]; wish != "Retain" && wish != "Delete" {
			owner = claimFrom(sts, c.template) // the claim was made before the template got its annotation
		}
		asked, err := cluster.ReclaimByAnnotation(v, pv, owner)
		if err != nil {
			return "", "", err
		}
		if asked.Policy != corev1.PersistentVolumeReclaimDelete {
			return fmt.Sprintf("the volume of %s has the policy %s", c.claim.Name, pv.Spec.PersistentVolumeReclaimPolicy),
				pv.Name, nil
		}
	}
	if v.Retain() != cluster.RetainOff {
		return "", "", nil // the volumes of new claims will be retained
	}
	for i := range sts.Spec.VolumeClaimTemplates {
		t := claimFrom(sts, &sts.Spec.VolumeClaimTemplates[i])
		asked, err := cluster.ReclaimByAnnotation(v, nil, t)
		if err != nil {
			return "", "", err
		}
		if asked.Policy != "" {
			continue // retained, or the loss is permitted
		}
		name, class, _, err := classOf(v, t)
		if err != nil {
			return "", "", err
		}
		if provisions(class) && deletes(class) {
			return fmt.Sprintf("StorageClass %s deletes volumes", name), "", nil
		}
	}
	return "", "", nil
}

// allRetained says whether nothing can be destroyed with the claims of a
// StatefulSet: each claim that it wants has a volume, and the volume of each
// existing claim, in range or not, is retained.
func allRetained(v *cluster.View, obj cluster.Object, _ *remnants) (func(*Finding) bool, error) {
	sts := obj.(*appsv1.StatefulSet)
	claims, err := replicaClaims(v, sts)
	if err != nil {
		return nil, err
	}
	wanted := ordinals(sts)
	missing, doomed := len(sts.Spec.VolumeClaimTemplates)*wanted.n, false
	for _, c := range claims {
		pv, err := volumeOf(v, c.claim)
		if err != nil {
			return nil, err
		}
		if pv == nil || pv.DeletionTimestamp != nil || destroysVolume(pv.Spec.PersistentVolumeReclaimPolicy) {
			doomed = true
			break
		}
		if wanted.has(c.ordinal) {
			missing--
		}
	}
	return func(*Finding) bool { return missing == 0 && !doomed }, nil
}
