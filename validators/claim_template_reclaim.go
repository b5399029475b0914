package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimTemplateReclaim = &Rule{
	Name:  "claim-template-reclaim",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&storagev1.StorageClass{}, &corev1.Namespace{}},
	Doc: `the volumes of a StatefulSet should be retained

Where the class of a claim template says reclaimPolicy: Delete, a disk is
destroyed as soon as its claim is deleted. Stayput retains the volumes of
StatefulSets, unless its configuration or an annotation of the Namespace says
otherwise: this warning says that these volumes will not be retained. Annotate
the template stayput.dev/reclaim-policy: Retain, or name a class that retains.
If the data may go, annotate the template stayput.dev/reclaim-policy: Delete.`,

	Exempt: "the data can be fetched again from elsewhere, as that of a cache, or of a member that synchronises",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		var unknown error
		for i := range sts.Spec.VolumeClaimTemplates {
			claim := sts.Spec.VolumeClaimTemplates[i] // a shallow copy: nothing but its namespace is written
			claim.Namespace = sts.Namespace           // the namespace of its claims
			pvc := &claim
			name, class, _, err := classOf(p.Cluster, pvc)
			if err != nil {
				return err
			}
			if !provisions(class) || !deletes(class) {
				continue
			}
			wanted, err := cluster.ReclaimByAnnotation(p.Cluster, nil, pvc)
			if unknown = err; !p.presumed(err) {
				return err
			}
			why := ""
			switch {
			case wanted.Policy == corev1.PersistentVolumeReclaimRetain || wanted.From == cluster.FromClaim:
				continue // retained, or decided by the author's own annotation
			case wanted.Policy == corev1.PersistentVolumeReclaimDelete:
				why = "the Namespace lets it"
			case p.Cluster.Retain() == cluster.RetainOff:
				why = "nothing retains it"
			default:
				continue // the mutator volume-retain handles it
			}
			annotations := templatesPath.Index(i).Child("metadata", "annotations")
			const shown = 5 // from volumeClaimTemplates on
			p.ReportFix(field.Invalid(templatesPath.Index(i).Child("spec", "storageClassName"), name,
				fmt.Sprintf("must retain its volumes; this class destroys a disk with its claim, and %s", why)),
				setting(annotations.Key(cluster.AnnotationReclaim), "Retain", shown))
		}
		if len(p.findings) > 0 {
			return nil
		}
		return unknown
	})},
}
