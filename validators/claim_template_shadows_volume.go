package validators

import (
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

var claimTemplateShadowsVolume = &Rule{
	Name:  "claim-template-shadows-volume",
	Level: Warn,
	Loses: LosesData,
	Reads: []client.Object{&corev1.PersistentVolumeClaim{}},
	Runs:  haveClaim,
	Doc: `a volume of the Pod template must not have the name of a claim template

The StatefulSet controller replaces the volume by the claim, without a word,
and the API server does not even look whether the volume is valid. Whoever wrote
it, an emptyDir for a cache or the claim of an older manifest, gets another one
than the manifest says. Remove the volume; or, if it is the one to be used, rename
it and mount it by its new name, once what the claims hold is copied.

A volume that names a claim which does not exist is a placeholder: the author
wanted a claim there, as some charts and operators write it, and gets one. Of
such a volume there is nothing to say. Nothing is lost by a volume that is
replaced, so the rule warns.`,

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
