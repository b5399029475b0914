package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var claimTemplateDuplicate = &Rule{
	Name:  "claim-template-duplicate",
	Level: Deny,
	Loses: LosesData,
	Runs:  haveClaim,
	Doc: `the claim templates of a StatefulSet must have different names

The API server accepts two templates of one name. The StatefulSet controller
uses the last and ignores the others without an event, so the Pods may get
another size or class than the author asked for. Templates cannot be changed
later. Remove all but one, or rename them.`,

	Exempt: "never: one of the two templates is without any effect",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		first := map[string]int{}
		for i, t := range sts.Spec.VolumeClaimTemplates {
			j, again := first[t.Name]
			if !again {
				first[t.Name] = i
				continue
			}
			err := field.Duplicate(templatesPath.Index(i).Child("metadata", "name"), t.Name)
			err.Detail = fmt.Sprintf("must differ from that of template %d, which would be dropped silently", j)
			p.Report(err, "remove one of the two templates", ", or rename it and mount it by its new name")
		}
		return nil
	})},
}
