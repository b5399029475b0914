package validators

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
)

// A claimFate says what happens to a claim when its StatefulSet is deleted.
type claimFate int

const (
	stays     claimFate = iota
	goes                // the garbage collector deletes it
	unsettled           // the controller is about to change its owners, or somebody else owns it too
	leaving             // its Pod owns it: it was scaled away, and is deleted with the Pod in any case
)

// fateWith returns what happens to a claim when its StatefulSet is deleted
// together with its dependents. The garbage collector decides by the claim's
// owners. For Pods that exist, the controller changes the owners to match the
// policy within seconds; for claims of Pods that were scaled away it no longer
// changes anything. Source: k8s.io/kubernetes@v1.37.1
// pkg/controller/statefulset/stateful_set_utils.go.
func fateWith(sts *appsv1.StatefulSet, c replicaClaim) claimFate {
	set, pod, others, controlled := owners(sts, c)
	inRange := ordinals(sts).has(c.ordinal)
	follows := deletesWhenDeleted(sts) && inRange && !controlled
	switch {
	case pod:
		return leaving
	case set && !others && follows == inRange:
		return goes
	case set || follows:
		return unsettled
	}
	return stays
}

// owners says whether a StatefulSet owns a claim of its own, whether the Pod of
// that ordinal does, whether anything else does, and whether that other owner
// is the claim's controller.
func owners(sts *appsv1.StatefulSet, c replicaClaim) (set, pod, others, controlled bool) {
	for _, o := range c.claim.OwnerReferences {
		switch {
		case o.UID == sts.UID && strings.HasPrefix(o.APIVersion, appsv1.GroupName+"/"):
			set = true
		case o.Kind == "Pod" && o.Name == fmt.Sprintf("%s-%d", sts.Name, c.ordinal):
			pod = true
		default:
			others = true
			controlled = controlled || o.Controller != nil && *o.Controller
		}
	}
	return set, pod, others, controlled
}

// deletesWhenDeleted says whether the policy of a StatefulSet deletes claims
// with it.
func deletesWhenDeleted(sts *appsv1.StatefulSet) bool {
	policy := sts.Spec.PersistentVolumeClaimRetentionPolicy
	return policy != nil && policy.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType
}

// deletesWhenScaled says whether the policy of a StatefulSet deletes claims
// with the Pods that are scaled away.
func deletesWhenScaled(sts *appsv1.StatefulSet) bool {
	policy := sts.Spec.PersistentVolumeClaimRetentionPolicy
	return policy != nil && policy.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType
}

// leftOwned returns the claims of ordinals out of range that are deleted with a
// StatefulSet regardless of its policy.
func leftOwned(sts *appsv1.StatefulSet, claims []replicaClaim) []string {
	return claimNames(claims, func(c replicaClaim) bool {
		return !ordinals(sts).has(c.ordinal) && fateWith(sts, c) == goes
	})
}

// freeClaims returns the command that removes the owner references of claims,
// or of the first few. The controller writes them back only for claims of Pods
// that exist.
func freeClaims(names []string, namespace string) string {
	const most = 5
	more := ""
	if len(names) > most {
		names, more = names[:most], ", and so on"
	}
	return fmt.Sprintf(`kubectl patch pvc %s -n %s --type=json -p '[{"op":"remove",`+
		`"path":"/metadata/ownerReferences"}]'%s`,
		strings.Join(names, " "), namespace, more)
}
