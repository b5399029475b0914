package validators

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var volumeReclaim = &Rule{
	Name:  "volume-reclaim",
	Level: Warn,
	Loses: LosesData,
	Doc: `a volume should be retained when its claim goes

With the reclaim policy Delete, the disk behind a volume is destroyed as soon as
its claim is deleted; with Recycle, which is deprecated, all files on it are. A
volume that is made by hand usually has data on it already, or a disk that
nobody can make again. If the policy of a bound volume changes from Retain to
Delete, the next kubectl delete of the claim or of its namespace destroys the
data; if the volume is Released, the disk is destroyed at once. Set
persistentVolumeReclaimPolicy: Retain, the default; if the data may be deleted,
annotate the volume stayput.dev/reclaim-policy: Delete.

A volume that somebody has deleted while a claim has it waits for that claim, and
goes with it. This cannot be undone. With Retain its disk stays, but nothing in
the cluster refers to it any more. Audit finds such a volume. Until the claim
goes, the policy can be changed and the volume be saved; from that file stayput
recover --from makes it anew.`,

	Exempt: "the volume is for data that can be created again, and its provisioner cleans it up",

	Checks: []Check{
		OnCreate(goesWhenReleased),
		On(func(p *Pass, pv *corev1.PersistentVolume) error {
			if provisioned(pv) || letsGo(pv) {
				return nil
			}
			switch pv.Spec.PersistentVolumeReclaimPolicy {
			case corev1.PersistentVolumeReclaimDelete:
				p.mustRetain(pv, "must be Retain on a volume made by hand; the disk would be destroyed with its claim")
			case corev1.PersistentVolumeReclaimRecycle:
				p.mustRetain(pv, "must be Retain; every file on the volume would be deleted with its claim")
			}
			return nil
		}).Of("spec.persistentVolumeReclaimPolicy", "metadata.annotations["+cluster.AnnotationProvisionedBy+"]",
			"metadata.annotations["+cluster.AnnotationReclaim+"]"),
		OnUpdate(func(p *Pass, old, pv *corev1.PersistentVolume) error {
			if !provisioned(pv) || letsGo(pv) || pv.Spec.ClaimRef == nil {
				return nil // made by hand: see above
			}
			was, policy := old.Spec.PersistentVolumeReclaimPolicy, pv.Spec.PersistentVolumeReclaimPolicy
			if was != corev1.PersistentVolumeReclaimRetain || policy != corev1.PersistentVolumeReclaimDelete {
				return nil
			}
			ref := pv.Spec.ClaimRef
			what := fmt.Sprintf("must stay Retain while claim %s/%s has it; the data would go with the claim", ref.Namespace,
				ref.Name)
			if claimGone(old) {
				what = fmt.Sprintf("must stay Retain, for claim %s/%s is gone; the disk is destroyed at once", ref.Namespace,
					ref.Name)
			}
			p.mustRetain(pv, what)
			return nil
		}),
	},
}

// mustRetain reports the policy of a volume.
func (p *Pass) mustRetain(pv *corev1.PersistentVolume, what string) {
	path := field.NewPath("spec", "persistentVolumeReclaimPolicy")
	p.ReportMend(field.Invalid(path, pv.Spec.PersistentVolumeReclaimPolicy, what),
		func() *Fix { return setting(path, string(corev1.PersistentVolumeReclaimRetain), 1) },
		func() string { return retainCommand(pv.Name) })
}

// letsGo says whether an annotation of the volume itself permits the loss of
// its data.
func letsGo(pv *corev1.PersistentVolume) bool {
	return pv.Annotations[cluster.AnnotationReclaim] == string(corev1.PersistentVolumeReclaimDelete)
}

// goesWhenReleased reports a volume that is being deleted and waits for its claim.
// The API server drops the time from a manifest.
func goesWhenReleased(p *Pass, pv *corev1.PersistentVolume) error {
	if pv.DeletionTimestamp == nil || pv.Spec.ClaimRef == nil || letsGo(pv) || p.Cluster.Manifests() {
		return nil
	}
	ref, fate, remedy := pv.Spec.ClaimRef, "the volume goes with it, and nothing refers to the disk", saveCommand(pv.Name)
	if goesWithClaim(pv) {
		fate, remedy = "volume and disk go with it", retainCommand(pv.Name)+" && "+remedy
	}
	what := fmt.Sprintf("must not be set while claim %s/%s has the volume; %s", ref.Namespace, ref.Name, fate)
	if claimGone(pv) {
		what = fmt.Sprintf("must not be set on a volume with data of claim %s/%s; %s", ref.Namespace, ref.Name,
			strings.ReplaceAll(fate, " with it", " at any moment"))
	}
	p.Report(field.Invalid(field.NewPath("metadata", "deletionTimestamp"), pv.DeletionTimestamp.UTC().Format(time.RFC3339),
		what), remedy+", then stayput recover --from volumes.yaml makes it anew")
	return nil
}
