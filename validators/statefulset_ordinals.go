package validators

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetOrdinals = &Rule{
	Name:  "statefulset-ordinals",
	Level: Warn,
	Loses: LosesData,
	Doc: `the first ordinal of a StatefulSet should not move Pods out of its range

spec.ordinals.start shifts the whole range. Pods outside the new range are
deleted, whatever the number of replicas, and the new Pods get other names and
other claims, which are empty. The data stays in the claims of the old ordinals,
or is deleted with them where persistentVolumeClaimRetentionPolicy.whenScaled is
Delete.

Leave the first ordinal as it is. To move members to another StatefulSet, as
between clusters, change it together with replicas by one Pod at a time, and only
after the data of that Pod has been moved.`,

	Exempt: "the members move to another cluster, and these ordinals are meant to go",

	Checks: []Check{OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
		was, is := ordinals(old), ordinals(sts)
		if was.start == is.start {
			return nil // statefulset-scale-down
		}
		var gone []string
		for _, s := range was.less(is) {
			gone = append(gone, s.pods(sts.Name))
		}
		if len(gone) == 0 {
			return nil
		}
		start, _ := cluster.Ordinals(sts)
		cost := "; what they wrote stays behind in their claims"
		switch {
		case len(sts.Spec.VolumeClaimTemplates) == 0:
			cost = "; others with new names take their place"
		case deletesWhenScaled(sts):
			cost = ", and their claims WILL BE DELETED with them"
		case deletesWhenDeleted(sts):
			cost = "; what they wrote stays in claims that go when it is deleted"
		}
		p.Report(field.Invalid(field.NewPath("spec", "ordinals", "start"), start,
			fmt.Sprintf("cannot keep %s, which are out of range now and deleted%s", strings.Join(gone, " and "), cost)),
			fmt.Sprintf("ordinals: {start: %d}", was.start))
		return nil
	})},
}
