package validators

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var volumeStaleClaim = &Rule{
	Name:      "volume-stale-claim",
	Level:     Deny,
	Loses:     LosesData,
	SavesData: true,
	Reads:     []cluster.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `a volume must not arrive with the uid of a claim that is gone

A PersistentVolume that was saved with kubectl get -o yaml contains the uid of
its claim. A claim in another cluster, or one that was created again, has
another uid. As soon as such a volume is applied it is Released, and its reclaim
policy applies: with Delete its disk is destroyed within a second, before a
claim can be created; with Retain no claim is bound to it. Without uid and
resourceVersion in claimRef the volume is reserved for the claim of that name,
whatever its uid: stayput recover --from FILE prints a saved file in that form.

A volume that exists, bound or not, is also Released as soon as somebody writes
such a uid into its claimRef.

The mutator volume-retain sets a volume that arrives so to Retain in the same
request. Where an annotation or the configuration prevents that, the rule denies
a person's request that would destroy the disk. It never denies a service
account, because a provisioner may create the volume of a claim that has just
been deleted.

A claim that was saved with the annotation pv.kubernetes.io/bind-completed is
Lost as soon as it is applied, unless its volume exists and is free: the
annotation says that it was bound already.`,

	Exempt: "the disk is to be destroyed by its provisioner, and nothing else can ask for that",

	Checks: []Check{
		OnCreate(func(p *Pass, pv *corev1.PersistentVolume) error {
			if pv.ResourceVersion != "" && !p.Cluster.Manifests() {
				return nil // the claim exists, and the volume has been reclaimed or not
			}
			return releasedAtOnce(p, pv)
		}),
		OnUpdate(func(p *Pass, old, pv *corev1.PersistentVolume) error {
			was, is := old.Spec.ClaimRef, pv.Spec.ClaimRef
			if was != nil && is != nil && was.UID == is.UID && was.Namespace == is.Namespace && was.Name == is.Name {
				return nil
			}
			return releasedAtOnce(p, pv)
		}).Of("spec.claimRef"),
		OnCreate(func(p *Pass, pvc *corev1.PersistentVolumeClaim) error {
			value, bound := pvc.Annotations[cluster.AnnotationBindCompleted]
			if !bound || pvc.ResourceVersion != "" && !p.Cluster.Manifests() {
				return nil
			}
			p.Warn(field.Invalid(field.NewPath("metadata", "annotations").Key(cluster.AnnotationBindCompleted), value,
				"is of an earlier binding; the claim is Lost at once, unless its volume is free"),
				"remove it, and uid from the volume's claimRef")
			return nil
		}),
	},
}

// releasedAtOnce reports a volume whose claimRef has the uid of no claim.
func releasedAtOnce(p *Pass, pv *corev1.PersistentVolume) error {
	switch stale, err := cluster.Stale(p.Cluster, pv); {
	case !p.presumed(err): // a claim that is applied from a manifest gets another uid
		return err
	case err == nil && !stale:
		return nil
	}
	what, report := "is the uid of no claim; the volume is Released at once, and never bound", p.Warn
	if destroysVolume(pv.Spec.PersistentVolumeReclaimPolicy) {
		what = "is the uid of no claim; the volume is Released at once, and its disk destroyed"
		if !p.Cluster.Manifests() && p.Cluster.Request.ByPerson() {
			report = p.Report
		}
	}
	claimRef := field.NewPath("spec", "claimRef")
	fix := removing("claimRef", claimRef.Child("uid"), claimRef.Child("resourceVersion"))
	report(field.Invalid(claimRef.Child("uid"), string(pv.Spec.ClaimRef.UID), what), fix.Text())
	p.Fix(fix)
	return nil
}
