package validators

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/volume"

	"stayput.dev/cluster"
)

// volumeOf returns the volume that a claim is bound to, or nil. A volume that
// the claim only asks for, and that is bound to another claim, does not count.
func volumeOf(v *cluster.View, pvc *corev1.PersistentVolumeClaim) (*corev1.PersistentVolume, error) {
	if pvc.Spec.VolumeName == "" {
		return nil, nil
	}
	pv, err := cluster.Get[corev1.PersistentVolume](v, "", pvc.Spec.VolumeName)
	if err != nil {
		return nil, fmt.Errorf("get PersistentVolume %s: %w", pvc.Spec.VolumeName, err)
	}
	if pv == nil || !volume.IsVolumeBoundToClaim(pv, pvc) {
		return nil, nil
	}
	return pv, nil
}

// podsWith returns the sorted names of the live Pods that mount a claim by its
// name. It leaves out the Pod of a generic ephemeral volume, which is the
// claim's controller.
func podsWith(v *cluster.View, pvc *corev1.PersistentVolumeClaim) ([]string, error) {
	mounting, err := cluster.Find(v, cluster.PodsByClaim, pvc.Namespace, pvc.Name)
	if err != nil {
		return nil, fmt.Errorf("list Pods: %w", err)
	}
	var names []string
	for _, pod := range mounting {
		if live(pod) {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// live says whether a Pod runs or will run.
func live(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// A mountedClaim is a volume of a Pod template that names one claim, so that
// all replicas share it.
type mountedClaim struct {
	index    int
	name     string
	claim    string
	writable bool
	pvc      *corev1.PersistentVolumeClaim // nil if it does not exist (yet)
}

// mountedClaims returns the volumes of a Pod template that name a claim.
func mountedClaims(v *cluster.View, namespace string, spec *corev1.PodSpec) ([]mountedClaim, error) {
	var found []mountedClaim
	var read map[string]bool
	for i := range spec.Volumes {
		vol := &spec.Volumes[i]
		src := vol.PersistentVolumeClaim
		if src == nil {
			continue
		}
		if read == nil {
			read = onlyRead(spec)
		}
		pvc, err := cluster.Get[corev1.PersistentVolumeClaim](v, namespace, src.ClaimName)
		if err != nil {
			return nil, fmt.Errorf("get PersistentVolumeClaim %s: %w", src.ClaimName, err)
		}
		found = append(found, mountedClaim{i, vol.Name, src.ClaimName, !src.ReadOnly && !read[vol.Name], pvc})
	}
	return found, nil
}

// onlyRead returns the volumes that are mounted read-only by every container
// that mounts them, and by at least one.
func onlyRead(spec *corev1.PodSpec) map[string]bool {
	read, written := map[string]bool{}, writtenVolumes(spec)
	for _, c := range containers(spec) {
		for _, m := range c.item.VolumeMounts {
			read[m.Name] = !written[m.Name]
		}
	}
	return read
}

// exclusive says whether access modes, at least one, let no more than one node
// mount a volume.
func exclusive(modes []corev1.PersistentVolumeAccessMode) bool {
	return len(modes) > 0 && !slices.ContainsFunc(modes, func(m corev1.PersistentVolumeAccessMode) bool {
		return m != corev1.ReadWriteOnce && m != corev1.ReadWriteOncePod
	})
}

// onePod says whether access modes let no more than one Pod mount a volume.
func onePod(modes []corev1.PersistentVolumeAccessMode) bool {
	return slices.Contains(modes, corev1.ReadWriteOncePod)
}

// holdsNothing says whether a claim that was seen in a cluster is certain to
// hold no data: it is Pending, names no volume and no data source, no volume is
// reserved for it, and no Pod waits for it. Only such a claim may stand in a
// command that deletes it.
func holdsNothing(v *cluster.View, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if v.Manifests() || pvc.Status.Phase != corev1.ClaimPending || pvc.DeletionTimestamp != nil ||
		pvc.Spec.VolumeName != "" || pvc.Spec.DataSource != nil || pvc.Spec.DataSourceRef != nil {
		return false, nil
	}
	pods, err := podsWith(v, pvc)
	if err != nil || len(pods) > 0 {
		return false, err
	}
	pvs, err := volumesFor(v, pvc)
	return err == nil && !slices.ContainsFunc(pvs,
		func(pv *corev1.PersistentVolume) bool { return pv.Spec.ClaimRef != nil }), err
}

// retained returns the remedy that makes a volume outlive its claim.
func (p *Pass) retained(pv string) string {
	return p.Mend(fmt.Sprintf("persistentVolumeReclaimPolicy: Retain in PersistentVolume %s", pv), retainCommand(pv))
}

// retainCommand is the command that makes a volume outlive its claim.
func retainCommand(pv string) string {
	return fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`, pv)
}
