package validators

import (
	"cmp"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimReclaim = &Rule{
	Name:  "claim-reclaim",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&storagev1.StorageClass{}, &corev1.Namespace{}, &appsv1.StatefulSet{},
		&corev1.PersistentVolume{}},
	Doc: `the volume of a claim should be retained

Where the class of a claim says reclaimPolicy: Delete, its disk is destroyed as
soon as the claim is deleted, with its namespace for example; where the claim
has a volume, or one is reserved for it, that volume's own policy counts.
Annotate the claim stayput.dev/reclaim-policy: Retain before its volume is made,
or name a class that retains. If the data may go, annotate it
stayput.dev/reclaim-policy: Delete. Stayput retains the volumes of StatefulSets
without a warning, unless the configuration or an annotation says otherwise.`,

	Versions: []*cluster.Feature{attributesClasses},

	Exempt: "the data can be computed or fetched again, as in a cache or a scratch directory",

	Checks: []Check{OnCreate(func(p *Pass, pvc *corev1.PersistentVolumeClaim) error {
		if pvc.Spec.VolumeName != "" {
			pv, err := volumeOf(p.Cluster, pvc)
			if err != nil || pv == nil {
				return err
			}
			return volumesReclaim(p, pvc, pv)
		}
		reserved, unknown := reservedVolumes(p.Cluster, pvc)
		if !p.presumed(unknown) {
			return unknown
		}
		if pv := bestVolume(p.Cluster, pvc, reserved, false); pv != nil { // the claim gets it, regardless of its class
			return volumesReclaim(p, pvc, pv)
		}
		name, class, _, err := classOf(p.Cluster, pvc)
		if err != nil || !provisions(class) || !deletes(class) {
			return cmp.Or(err, unknown)
		}
		wanted, err := cluster.WantedReclaim(p.Cluster, nil, pvc)
		if !p.presumed(err) { // that the Namespace asks for something is the exception
			return err
		}
		unknown = cmp.Or(unknown, err)
		if wanted.Policy == corev1.PersistentVolumeReclaimRetain || wanted.From == cluster.FromClaim {
			return unknown // the mutator volume-retain decides, or the author's own annotation
		}
		p.ReportMend(field.Invalid(field.NewPath("spec", "storageClassName"), name,
			"must retain its volumes; this class destroys a disk with its claim"),
			func() *Fix {
				return setting(metadataPath.Child("annotations").Key(cluster.AnnotationReclaim), "Retain", 3)
			},
			func() string {
				return fmt.Sprintf("kubectl annotate pvc %s -n %s %s=Retain, before a Pod uses it", pvc.Name, pvc.Namespace,
					cluster.AnnotationReclaim)
			})
		return nil
	})},
}

// volumesReclaim checks the volume that a claim has, or that is reserved for
// it: its policy counts, not that of the class.
func volumesReclaim(p *Pass, pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) error {
	if pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	if !provisioned(pv) {
		return nil // volume-reclaim
	}
	wanted, err := cluster.ReclaimByAnnotation(p.Cluster, pv, pvc)
	if !p.presumed(err) {
		return err
	}
	if wanted.Policy == corev1.PersistentVolumeReclaimDelete && wanted.From != cluster.FromNamespace {
		return nil
	}
	p.Report(field.Invalid(field.NewPath("spec", "volumeName"), pv.Name,
		"must be retained; its disk would be destroyed as soon as the claim is deleted"), p.retained(pv.Name))
	return nil
}
