package validators

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/webhook/cluster"
)

var statefulsetOrdinals = &Rule{
	Name:  "statefulset-ordinals",
	Level: Warn,
	Doc: `the first ordinal of a StatefulSet should not move Pods out of its range

spec.ordinals.start shifts the whole range. Pods that are no longer in it are
deleted, in any number of replicas, and the new ones get other names and other
claims, which are empty. What was written stays behind in the claims of the old
ordinals.

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
		p.Report(field.Invalid(field.NewPath("spec", "ordinals", "start"), start,
			fmt.Sprintf("cannot keep %s, which are out of range now and deleted; what they wrote stays behind in their claims", strings.Join(gone, " and "))),
			fmt.Sprintf("ordinals: {start: %d}", was.start))
		return nil
	})},
}
