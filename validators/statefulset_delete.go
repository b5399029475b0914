package validators

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetDelete = &Rule{
	Name:      "statefulset-delete",
	Level:     Warn,
	Loses:     LosesData,
	NeverDeny: true,
	Reads:     []cluster.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `a person who deletes a StatefulSet should know what happens to its claims

By default the claims stay, their volumes still cost money, and a StatefulSet of
the same name uses them again. But the garbage collector deletes the claims
whose metadata.ownerReferences name the StatefulSet. The controller adds these
references to the claims of the Pods that exist while
persistentVolumeClaimRetentionPolicy.whenDeleted is Delete, and removes them
when it is Retain. It no longer changes the claims of Pods that were removed by
a scale-down in between.

kubectl delete --dry-run=server shows the rule's warning before anything is
deleted. To replace a StatefulSet whose fields cannot be changed, or to keep its
claims in any case, use kubectl delete --cascade=orphan: it keeps Pods and
claims, and removes the claims' references to the StatefulSet. The rule checks
requests of people only, not those of controllers and service accounts.`,

	Exempt: "never: it only tells a person what happens to the claims",

	Checks: []Check{OnDelete(func(p *Pass, sts *appsv1.StatefulSet) error {
		if p.Cluster.Request.Orphan || !p.Cluster.Request.ByPerson() {
			return nil
		}
		claims, err := replicaClaims(p.Cluster, sts)
		if err != nil || len(claims) == 0 {
			return err
		}
		of := func(fate claimFate) []string {
			return claimNames(claims, func(c replicaClaim) bool { return fateWith(sts, c) == fate })
		}
		if lost := of(goes); len(lost) > 0 {
			p.Report(field.Invalid(namePath, sts.Name, fmt.Sprintf("must not lose data: %s WILL BE DELETED with it",
				cluster.Few(lost))), orphanAll(sts))
		}
		if unsettled := of(unsettled); len(unsettled) > 0 {
			p.Report(field.Invalid(namePath, sts.Name,
				fmt.Sprintf("must not lose data: %s may be deleted with it; ownerReferences decide", cluster.Few(unsettled))),
				orphanAll(sts))
		}
		if kept := of(stays); len(kept) > 0 {
			p.Report(field.Invalid(namePath, sts.Name,
				fmt.Sprintf("cannot free storage: %s stay, and are used again by a StatefulSet of that name", cluster.Few(kept))),
				"apply it again to use them", "; or, to free it, find out first what each holds and keep a copy")
		}
		return nil
	})},
}

// orphanAll returns the command that deletes a StatefulSet and its Pods, and
// removes the owners of all claims.
func orphanAll(sts *appsv1.StatefulSet) string {
	remedy := fmt.Sprintf("kubectl delete sts %s -n %s --cascade=orphan", sts.Name, sts.Namespace)
	const most = 5
	wanted, more := ordinals(sts), ""
	if wanted.n > most {
		wanted.n, more = most, ", and so on"
	}
	var pods []string
	for i := range wanted.n {
		pods = append(pods, fmt.Sprintf("%s-%d", sts.Name, wanted.start+i))
	}
	if len(pods) == 0 {
		return remedy
	}
	return fmt.Sprintf("%s, then kubectl delete pod %s -n %s%s", remedy, strings.Join(pods, " "), sts.Namespace, more)
}
