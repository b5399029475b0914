package mutators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

var volumeRetain = &Mutator{
	Name:   "volume-retain",
	Repair: true,
	Reads:  []cluster.Object{&appsv1.StatefulSet{}, &corev1.Namespace{}, &corev1.PersistentVolumeClaim{}},
	Doc: `a volume outlives its claim

A provisioner copies the reclaim policy of the StorageClass, which is Delete
unless somebody thought of it, into the volume: with the claim goes the disk. A
volume that is provisioned for a claim of a StatefulSet, be it made from a
template or mounted by its name, gets Retain instead; the configuration can
extend this to those of claims that a custom resource owns, to all volumes that
are provisioned, or to none.

Annotation stayput.dev/reclaim-policy: Retain or Delete decides for itself: on
the PersistentVolume, on the claim (StatefulSets copy it from the
volumeClaimTemplate), or on the Namespace; the nearest one counts. A volume
that was retained stays, and costs, until it is deleted by hand.

Annotation stayput.dev/claim-of: <statefulset>/<template>/<ordinal> on the
volume records whose it was: once the StatefulSet and the claim are gone,
nothing else remembers. For a claim that is mounted by its name, it is
<statefulset>/<claim>. Annotation stayput.dev/reclaim-policy-set marks that the
policy was seen to, and whose word it was: <policy>/<volume, claim, namespace or
configuration>. Volumes made by hand are left alone.

A volume that is restored from a backup with the uid of a claim that is gone is
Released as soon as it arrives, and with Delete its disk destroyed. It gets
Retain, made by hand or not, unless it or the Namespace of its claim is annotated
Delete, or the configuration retains nothing.

What admission missed is repaired later, and a volume follows its annotations
when they change. Each word is obeyed once: who changes the policy itself
afterwards has the last one.`,

	Edits: []Edit{OnCreate(func(p *Pass, pv *corev1.PersistentVolume) error {
		if pv.Spec.ClaimRef == nil {
			return nil
		}
		want, err := restored(p.Cluster, pv)
		if err != nil {
			return err
		}
		if want.Policy == corev1.PersistentVolumeReclaimRetain {
			p.retain(pv, want)
			return nil
		}
		if pv.Annotations[cluster.AnnotationProvisionedBy] == "" {
			return nil
		}
		want, err = reclaimOf(p, p.Cluster, pv)
		// The claim's StatefulSet may be newer than the cache.
		if live := p.Cluster.Live(); err == nil && live != nil &&
			(want.Policy == "" || pv.Annotations[cluster.AnnotationClaimOf] == "") {
			want, err = reclaimOf(p, live, pv)
		}
		if err != nil {
			return err
		}
		if want.Policy == "" || pv.Annotations[cluster.AnnotationReclaimSet] == want.Mark() {
			return nil // nothing is wanted, or Stayput set it before: a later change of the policy was intended
		}
		p.retain(pv, want)
		return nil
	})},
}

// retain sets a volume to the wanted policy, and marks it.
func (p *Pass) retain(pv *corev1.PersistentVolume, want cluster.Reclaim) {
	p.annotate(&pv.ObjectMeta, cluster.AnnotationReclaimSet, want.Mark())
	if want.Policy == pv.Spec.PersistentVolumeReclaimPolicy {
		return
	}
	was := pv.Spec.PersistentVolumeReclaimPolicy
	set(p, &pv.Spec.PersistentVolumeReclaimPolicy, want.Policy, "spec", "persistentVolumeReclaimPolicy")
	if p.Cluster.Request.ByPerson() { // a provisioner cannot use advice
		p.Filled("persistentVolumeReclaimPolicy", string(want.Policy), string(was),
			fmt.Sprintf(", as %s wants it; annotation %s on the volume would decide for itself", want.From,
				cluster.AnnotationReclaim))
	}
}

// restored returns Retain for a volume that would be reclaimed as soon as it is
// created, unless an annotation permits that, and nothing for any other volume.
// Kubernetes' own controllers create no volumes for claims that do not exist.
func restored(v *cluster.View, pv *corev1.PersistentVolume) (cluster.Reclaim, error) {
	switch pv.Spec.PersistentVolumeReclaimPolicy {
	case corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle:
	default:
		return cluster.Reclaim{}, nil
	}
	if v.Retain() == cluster.RetainOff || v.Request.ByController() {
		return cluster.Reclaim{}, nil
	}
	if stale, err := cluster.Stale(v, pv); err != nil || !stale {
		return cluster.Reclaim{}, err
	}
	claim := new(corev1.PersistentVolumeClaim) // nothing is known of its annotations
	claim.Namespace = pv.Spec.ClaimRef.Namespace
	want, err := cluster.ReclaimByAnnotation(v, pv, claim)
	if want.Policy == "" {
		want = cluster.Reclaim{Policy: corev1.PersistentVolumeReclaimRetain, From: cluster.FromConfiguration}
	}
	return want, err
}

// reclaimOf records on a volume the claim that it was provisioned for, if that
// is a StatefulSet's, and returns the reclaim policy that is wanted for it. If
// the claim is gone, only the volume itself and the configuration decide.
func reclaimOf(p *Pass, v *cluster.View, pv *corev1.PersistentVolume) (cluster.Reclaim, error) {
	ref := pv.Spec.ClaimRef
	pvc, err := cluster.Get[corev1.PersistentVolumeClaim](v, ref.Namespace, ref.Name)
	if err != nil {
		return cluster.Reclaim{}, fmt.Errorf("get PersistentVolumeClaim %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	if pvc != nil && ref.UID != "" && ref.UID != pvc.UID {
		pvc = nil // a later claim of the same name
	}
	if pvc != nil && pv.Annotations[cluster.AnnotationClaimOf] == "" {
		record, known, err := cluster.RecordFor(v, pvc)
		if err != nil {
			return cluster.Reclaim{}, err
		}
		if known {
			p.annotate(&pv.ObjectMeta, cluster.AnnotationClaimOf, record.String())
		}
	}
	return cluster.WantedReclaim(v, pv, pvc)
}
