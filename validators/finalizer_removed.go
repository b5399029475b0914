package validators

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// The finalizers that keep a claim or a volume until nothing needs it. Sources:
// k8s.io/kubernetes@v1.37.1 pkg/volume/util/finalizer.go; kubernetes-csi/
// external-provisioner and sig-storage-lib-external-provisioner.
const (
	guardOfClaim      = "kubernetes.io/pvc-protection"
	guardOfVolume     = "kubernetes.io/pv-protection"
	guardOfDisk       = "external-provisioner.volume.kubernetes.io/finalizer"
	guardOfInTreeDisk = "kubernetes.io/pv-controller"
)

// Guards are the finalizers whose removal by hand is reviewed.
func Guards() []string { return []string{guardOfClaim, guardOfVolume, guardOfDisk, guardOfInTreeDisk} }

var finalizerRemoved = &Rule{
	Name:      "finalizer-removed",
	Level:     Warn,
	Loses:     LosesData,
	NeverDeny: true,
	Reads:     []cluster.Object{&corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{}},
	Doc: `a finalizer that guards data should be left to the controller that set it

The finalizer kubernetes.io/pvc-protection keeps a deleted claim while Pods
mount it, kubernetes.io/pv-protection keeps a deleted volume while it has a
claim, and the provisioner's finalizer keeps a volume until its disk is
destroyed. The controllers remove them when it is safe. A finalizer that is
removed by hand, because an object "hangs in Terminating", makes the loss
certain that it delayed: the claim is gone while its Pods run, and with the
policy Delete its disk is destroyed; or the claim of the volume is Lost, for
good; or the disk stays in the storage system, and no object in the cluster
refers to it.

While the finalizer is there, the data can still be saved: set the volume to
Retain, or save its manifest. A claim is released when its last Pod is gone, in
a terminating namespace, too.

The rule checks requests of people only, not those of controllers and service
accounts.`,

	Exempt: "never: it only warns a person of what is lost",

	Checks: []Check{
		OnFree(func(p *Pass, old, pvc *corev1.PersistentVolumeClaim) error {
			if !p.Cluster.Request.ByPerson() || !takenOff(old, pvc, guardOfClaim) {
				return nil
			}
			mounting, err := cluster.Find(p.Cluster, cluster.PodsByClaim, old.Namespace, old.Name)
			if err != nil {
				return fmt.Errorf("list Pods: %w", err)
			}
			var pods []string
			for _, pod := range mounting { // one that is being deleted may still write
				if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
					pods = append(pods, pod.Name)
				}
			}
			if len(pods) == 0 {
				return nil
			}
			users := "Pod " + slices.Min(pods)
			if len(pods) > 1 {
				users += fmt.Sprintf(" and %d more", len(pods)-1)
			}
			pv, err := volumeOf(p.Cluster, old)
			if err != nil {
				return err
			}
			what := "must stay: without it the claim goes at once, though used by " + users
			if !goesWithClaim(pv) {
				p.Report(field.Forbidden(finalizersPath, what), "leave it: it goes with the last Pod")
				return nil
			}
			p.Report(field.Forbidden(finalizersPath, what+"; its disk is destroyed"), "first "+retainCommand(pv.Name))
			p.Loses(pv.Name)
			return nil
		}),
		OnFree(func(p *Pass, old, pv *corev1.PersistentVolume) error {
			if !p.Cluster.Request.ByPerson() {
				return nil
			}
			if takenOff(old, pv, guardOfVolume) && old.Status.Phase == corev1.VolumeBound && old.Spec.ClaimRef != nil {
				ref := old.Spec.ClaimRef
				pvc, err := cluster.Get[corev1.PersistentVolumeClaim](p.Cluster, ref.Namespace, ref.Name)
				if err != nil {
					return fmt.Errorf("get PersistentVolumeClaim %s/%s: %w", ref.Namespace, ref.Name, err)
				}
				if pvc != nil && cluster.Reserves(old, pvc) {
					p.Report(field.Forbidden(finalizersPath, fmt.Sprintf("must stay: without it the volume goes at once, and claim "+
						"%s/%s is Lost for ever", ref.Namespace, ref.Name)), "first "+saveCommand(pv.Name))
					return nil
				}
			}
			if goesWithClaim(old) && (takenOff(old, pv, guardOfDisk) || takenOff(old, pv, guardOfInTreeDisk)) {
				p.Report(field.Forbidden(finalizersPath, "must stay: without it the provisioner does not destroy the disk, and no "+
					"object refers to it"), "first "+saveCommand(pv.Name))
			}
			return nil
		}),
	},
}

var finalizersPath = field.NewPath("metadata", "finalizers")

// takenOff says whether an update removes a finalizer.
func takenOff(old, obj cluster.Object, finalizer string) bool {
	return slices.Contains(old.GetFinalizers(), finalizer) && !slices.Contains(obj.GetFinalizers(), finalizer)
}
