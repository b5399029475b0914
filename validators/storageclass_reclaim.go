package validators

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var storageclassReclaim = &Rule{
	Name:  "storageclass-reclaim",
	Level: Warn,
	Loses: LosesData,
	Doc: `a class should retain the volumes that it makes

Every volume of a class gets its reclaimPolicy. Delete, the default, destroys
the disk as soon as its claim is deleted: by hand, with its namespace, or by a
controller. The field of a class cannot be changed later, and volumes keep the
policy that they were made with. Set reclaimPolicy: Retain; Released volumes
then stay, and cost money, until somebody deletes them. For data that may be
deleted, create a second class and exempt it.`,

	Exempt: "the class is for data that can be created again: caches, builds, tests",

	Checks: []Check{OnCreate(func(p *Pass, sc *storagev1.StorageClass) error {
		// Nil is no choice of the author: lint sees the class before the
		// mutator storageclass-retain fills it in.
		if sc.ReclaimPolicy == nil || *sc.ReclaimPolicy != corev1.PersistentVolumeReclaimDelete || !provisions(sc) {
			return nil
		}
		path := field.NewPath("reclaimPolicy")
		p.ReportMend(field.Invalid(path, *sc.ReclaimPolicy,
			"must be Retain to keep data; every disk goes with its claim, and this cannot be changed later"),
			func() *Fix { return setting(path, string(corev1.PersistentVolumeReclaimRetain), 1) },
			func() string {
				return "reclaimPolicy: Retain, and kubectl replace --force -f FILE, which touches no volume; in between new " +
					"claims of it wait"
			})
		return nil
	})},
}
