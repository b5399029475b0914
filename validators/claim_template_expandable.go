package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimTemplateExpandable = &Rule{
	Name:  "claim-template-expandable",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.StorageClass{}},
	Doc: `the class of a claim template should allow its volumes to grow

A database grows. Where the class does not say allowVolumeExpansion: true, the
API server refuses every larger request, and a disk that is full has to be
replaced, with its data, Pod by Pod. The field can be set on a class that is in
use, if the driver is able to expand volumes.`,

	Exempt: "the size is fixed for good, as on local disks, and growth means more replicas",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		for i := range sts.Spec.VolumeClaimTemplates {
			name, class, _, err := classOf(p.Cluster, &sts.Spec.VolumeClaimTemplates[i])
			if err != nil {
				return err
			}
			// Volumes made by hand can only be resized by hand, if at all.
			if !provisions(class) || class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion {
				continue
			}
			p.Report(field.Invalid(templatesPath.Index(i).Child("spec", "storageClassName"), name,
				"must allow expansion; a full disk could never grow"),
				p.Mend(fmt.Sprintf("allowVolumeExpansion: true in StorageClass %s, if its driver can", name),
					fmt.Sprintf(`kubectl patch sc %s -p '{"allowVolumeExpansion":true}', if its driver can`, name)))
		}
		return nil
	})},
}
