package validators

import (
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var claimTemplateShadowsVolume = &Rule{
	Name:  "claim-template-shadows-volume",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}},
	Runs:  haveClaim,
	Doc: `a volume of the Pod template must not have the name of a claim template

The StatefulSet controller replaces the volume by the claim without an event,
and the API server does not even check whether the volume is valid. The author
of the volume, which may be an emptyDir for a cache or the claim of an older
manifest, gets another volume than the manifest says. Remove the volume. If the
Pods should use it, copy the data of the claims, rename the volume and mount it
by its new name.

A volume that names a claim which does not exist is a placeholder: some charts
and operators write one where they want the template's claim, and they get it.
The rule ignores such a volume. A volume that is replaced loses no data, so the
rule only warns.`,

	Exempt: "a tool writes the volume, and the claim is known to take its place",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		templates := map[string]bool{}
		for _, t := range sts.Spec.VolumeClaimTemplates {
			templates[t.Name] = true
		}
		var unknown error
		for i, v := range sts.Spec.Template.Spec.Volumes {
			if !templates[v.Name] {
				continue
			}
			hidden := "this volume"
			if source := v.PersistentVolumeClaim; source != nil {
				pvc, err := cluster.Get[corev1.PersistentVolumeClaim](p.Cluster, sts.Namespace, source.ClaimName)
				switch {
				case errors.Is(err, cluster.ErrUnknown): // the other volumes need no lookup
					unknown = fmt.Errorf("get PersistentVolumeClaim %s: %w", source.ClaimName, err)
					continue
				case err != nil:
					return fmt.Errorf("get PersistentVolumeClaim %s: %w", source.ClaimName, err)
				case pvc == nil:
					continue
				}
				hidden = "claim " + source.ClaimName
			}
			err := field.Duplicate(podSpecPath.Child("volumes").Index(i).Child("name"), v.Name)
			err.Detail = "must differ from the names of volumeClaimTemplates; Pods get the template's claim, not " + hidden
			p.Report(err, fmt.Sprintf("leave volume %s out", v.Name), "; or, to use it, copy the data first (it stays in the "+
				"template's claims), then rename it and its volumeMounts")
		}
		return unknown
	}).Of("spec.volumeClaimTemplates", "spec.template.spec.volumes[*].name",
		"spec.template.spec.volumes[*].persistentVolumeClaim")},
}
