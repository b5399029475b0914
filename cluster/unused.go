package cluster

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// UnusedConditions is the condition Unused of claims. Source:
// k8s.io/kubernetes@v1.37.1 pkg/controller/volume/pvcprotection.
var UnusedConditions = &Feature{
	With:    "a bound claim that no Pod names has the condition Unused, and messages say since when at least",
	Without: "nothing tells",
	Gate:    "PersistentVolumeClaimUnusedSinceTime", Gated: Version{Minor: 36},
	On: []Span{{From: Version{Minor: 37}}},
}

// UnusedSince returns since when at least no Pod has used a claim: the transition
// of its condition, which is younger where the cluster was upgraded, or the claim
// bound, meanwhile. It is zero if a Pod that has not ended names the claim, and where
// it is not known: of Pending claims, and where one of the API servers is older, for
// after a downgrade the condition stays as it was.
func UnusedSince(v *View, pvc *corev1.PersistentVolumeClaim) time.Time {
	if pvc.Status.Phase != corev1.ClaimBound || !UnusedConditions.In(v.Kubernetes()).Likely() {
		return time.Time{}
	}
	if kept := UnusedCondition(pvc); len(kept) > 0 {
		return kept[0].LastTransitionTime.UTC()
	}
	return time.Time{}
}

// UnusedCondition returns what UnusedSince reads of a claim's conditions, which is at
// most one.
func UnusedCondition(pvc *corev1.PersistentVolumeClaim) []corev1.PersistentVolumeClaimCondition {
	for _, c := range pvc.Status.Conditions {
		if c.Type == corev1.PersistentVolumeClaimUnused && c.Status == corev1.ConditionTrue &&
			!c.LastTransitionTime.IsZero() {
			return []corev1.PersistentVolumeClaimCondition{{Type: c.Type, Status: c.Status,
				LastTransitionTime: c.LastTransitionTime}}
		}
	}
	return nil
}

// SinceUnused says since when no Pod has used a claim, as a clause, or is "" if
// that is not known.
func SinceUnused(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return "no Pod has used it since at least " + since.Format(time.DateOnly)
}
