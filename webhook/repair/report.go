package repair

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// The reasons of the Events on a volume and its claim.
const (
	reasonRepaired  = "ReclaimPolicyRepaired"  // the policy was set
	reasonMissed    = "ReclaimPolicyMissed"    // the policy would be set in another mode
	reasonOverruled = "ReclaimPolicyOverruled" // somebody changed it after it was set
)

func (r *Controller) reportRepaired(pv *corev1.PersistentVolume, p plan) {
	r.Metrics.repairs.WithLabelValues(string(p.want.Policy)).Inc()
	r.tell(pv, p, corev1.EventTypeNormal, reasonRepaired,
		fmt.Sprintf("reclaim policy of volume %s set to %s, as %s wants it; it was %s; annotation %s on the claim or the "+
			"volume decides for itself",
			pv.Name, p.want.Policy, p.want.From, pv.Spec.PersistentVolumeReclaimPolicy, cluster.AnnotationReclaim))
}

// reportMissed reports, once, what repair would do.
func (r *Controller) reportMissed(ctx context.Context, pv *corev1.PersistentVolume, p plan) error {
	if !p.changes(pv) {
		r.Metrics.settled(pv.Name)
		return nil
	}
	if !r.Metrics.missed(pv.Name, p.want) {
		return nil
	}
	if err := r.Limit.Wait(ctx); err != nil {
		return err
	}
	r.tell(pv, p, corev1.EventTypeWarning, reasonMissed,
		fmt.Sprintf("reclaim policy of volume %s is %s, and %s wants %s; nothing is changed, for the configuration says "+
			"repair: report",
			pv.Name, pv.Spec.PersistentVolumeReclaimPolicy, p.want.From, p.want.Policy))
	return nil
}

// reportOverruled reports, once in the life of a process, that somebody changed
// the policy afterwards.
func (r *Controller) reportOverruled(ctx context.Context, pv *corev1.PersistentVolume, p plan) error {
	if !r.Metrics.overruled(pv.Name, p.want) {
		return nil
	}
	if err := r.Limit.Wait(ctx); err != nil {
		return err
	}
	policy := pv.Spec.PersistentVolumeReclaimPolicy
	r.tell(pv, p, corev1.EventTypeWarning, reasonOverruled,
		fmt.Sprintf("reclaim policy of volume %s is %s: somebody changed it after it was set to %s, as %s wants it; it is "+
			"left so; to settle it: kubectl annotate pv %s %s=%s",
			pv.Name, policy, p.want.Policy, p.want.From, pv.Name, cluster.AnnotationReclaim, policy))
	return nil
}

// tell writes an Event on the volume, one on its claim, and a line of log.
func (r *Controller) tell(pv *corev1.PersistentVolume, p plan, kind, reason, note string) {
	r.Events.Eventf(pv, nil, kind, reason, "Repair", "%s", note)
	if p.claim != nil {
		r.Events.Eventf(p.claim, pv, kind, reason, "Repair", "%s", note)
	}
	r.Log.Info("repair", "reason", reason, "volume", pv.Name,
		"namespace", pv.Spec.ClaimRef.Namespace, "claim", pv.Spec.ClaimRef.Name,
		"policy", pv.Spec.PersistentVolumeReclaimPolicy, "wanted", p.want.Policy, "by", p.want.From.String())
}
