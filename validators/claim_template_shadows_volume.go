package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var claimTemplateShadowsVolume = &Rule{
	Name:  "claim-template-shadows-volume",
	Level: Deny,
	Doc: `a volume of the Pod template must not have the name of a claim template

The StatefulSet controller replaces the volume by the claim, without a word,
and the API server does not even look whether the volume is valid. Whoever wrote
it, an emptyDir for a cache or the claim of an older manifest, gets another one
than the manifest says. Remove the volume, or rename it and mount it by its new
name.`,

	Checks: []Check{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			reportShadowed(p.Report, sts)
			return nil
		}),
		// A StatefulSet that runs need not stop for it.
		OnUpdate(func(p *Pass, _, sts *appsv1.StatefulSet) error {
			reportShadowed(p.Warn, sts)
			return nil
		}),
	},
}

func reportShadowed(report func(*field.Error, string), sts *appsv1.StatefulSet) {
	templates := map[string]bool{}
	for _, t := range sts.Spec.VolumeClaimTemplates {
		templates[t.Name] = true
	}
	for i, v := range sts.Spec.Template.Spec.Volumes {
		if !templates[v.Name] {
			continue
		}
		err := field.Duplicate(podSpecPath.Child("volumes").Index(i).Child("name"), v.Name)
		err.Detail = "must differ from the names of volumeClaimTemplates; the claim would replace this volume silently"
		report(err, fmt.Sprintf("remove or rename volume %s, and its volumeMounts", v.Name))
	}
}
