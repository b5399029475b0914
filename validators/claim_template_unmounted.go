package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var claimTemplateUnmounted = &Rule{
	Name:  "claim-template-unmounted",
	Level: Warn,
	Loses: LosesData,
	Doc: `a claim template should be mounted by a container

Every Pod of the StatefulSet gets a claim from each template, with a disk that
costs money, whether a container mounts it or not. Often the names of template
and volumeMount differ by a letter: the program then writes its data into the
container's own file system, and loses it with the Pod. Templates cannot be
removed later.`,

	Exempt: "an injector adds the container that mounts it when the Pod is made",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		mounted := map[string]bool{}
		for _, c := range containers(&sts.Spec.Template.Spec) {
			for _, m := range c.item.VolumeMounts {
				mounted[m.Name] = true
			}
			for _, d := range c.item.VolumeDevices {
				mounted[d.Name] = true
			}
		}
		for i, t := range sts.Spec.VolumeClaimTemplates {
			if mounted[t.Name] {
				continue
			}
			p.Report(field.Invalid(templatesPath.Index(i).Child("metadata", "name"), t.Name,
				"must be mounted; every Pod would get a disk that nothing uses"),
				fmt.Sprintf("volumeMounts: [{name: %s, mountPath: %s}] in a container", t.Name,
					freePath(&sts.Spec.Template.Spec)), ", or remove it")
		}
		return nil
	})},
}
