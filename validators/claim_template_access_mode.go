package validators

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var claimTemplateAccessMode = &Rule{
	Name:  "claim-template-access-mode",
	Level: Warn,
	Loses: LosesTime,
	Doc: `a claim template should ask for the access that one Pod needs

Every claim of a template belongs to one Pod. ReadWriteMany asks for a volume
that many nodes can write at once. That is usually a network file system, which
is slower and has other rules for locks. Most drivers for disks cannot make such
a volume, and the claim stays Pending. With ReadOnlyMany alone the new volume is
empty, and a driver that enforces the mode mounts it read-only. Ask for
ReadWriteOnce, or ReadWriteOncePod. Templates cannot be changed later.`,

	Exempt: "the storage offers no other mode, as some file shares do, or another workload mounts the same claims",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		for i := range sts.Spec.VolumeClaimTemplates {
			t := &sts.Spec.VolumeClaimTemplates[i]
			modes := t.Spec.AccessModes
			path := func(j int) *field.Path { return templatesPath.Index(i).Child("spec", "accessModes").Index(j) }
			once := func() *Fix { return setting(path(0), string(corev1.ReadWriteOnce), 2) }
			if j := slices.Index(modes, corev1.ReadWriteMany); j >= 0 {
				p.Report(field.Invalid(path(j), modes[j],
					"must be what one Pod needs; most drivers for disks cannot make such a volume"), once().Text())
				if len(modes) == 1 {
					p.Fix(once())
				}
			}
			writes := func(m corev1.PersistentVolumeAccessMode) bool { return m != corev1.ReadOnlyMany }
			if len(modes) > 0 && !slices.ContainsFunc(modes, writes) && t.Spec.DataSource == nil && t.Spec.DataSourceRef == nil {
				p.Report(field.Invalid(path(0), modes[0],
					"must let the Pod write; a driver that mounts the new volume read-only leaves it empty"),
					once().Text())
				if len(modes) == 1 {
					p.Fix(once())
				}
			}
		}
		return nil
	})},
}
