package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

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
	if pv == nil || !cluster.Reserves(pv, pvc) {
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

// A claimedBy says by what a volume is a claim, in words for a sentence.
type claimedBy string

const (
	aTemplate   claimedBy = "its template" // of a StatefulSet
	anEphemeral claimedBy = "its claim"    // made for the Pod
	aClaim      claimedBy = "the claim"    // that the Pods name
)

// A podClaim is a claim that Pods use as a volume.
type podClaim struct {
	by     claimedBy
	volume string // the volume's name, which is the template's
	index  int    // of the volume in the Pod, or of the template
	claim  string // the claim's name, if the Pods name it

	namespace string
	template  *corev1.PersistentVolumeClaim         // or nil
	ephemeral *corev1.PersistentVolumeClaimTemplate // or nil
}

// made returns the claim as it is made for a Pod, named as its claim template or not
// at all, or nil if the Pods name the claim.
func (c *podClaim) made() *corev1.PersistentVolumeClaim {
	var pvc corev1.PersistentVolumeClaim
	switch c.by {
	case aTemplate:
		pvc = *c.template
	case anEphemeral:
		pvc.Spec = c.ephemeral.Spec
	default:
		return nil
	}
	pvc.Namespace = c.namespace
	return &pvc
}

// podClaims returns the claims that the Pods of a workload, or a Pod, use. A
// claim template replaces the volume of its name.
func podClaims(obj cluster.Object, spec *corev1.PodSpec) (all []podClaim) {
	replaced := map[string]bool{}
	if sts, ok := obj.(*appsv1.StatefulSet); ok {
		for i := range sts.Spec.VolumeClaimTemplates {
			t := &sts.Spec.VolumeClaimTemplates[i]
			replaced[t.Name] = true
			all = append(all, podClaim{by: aTemplate, volume: t.Name, index: i, namespace: sts.Namespace, template: t})
		}
	}
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		switch {
		case replaced[v.Name]:
		case v.PersistentVolumeClaim != nil:
			all = append(all, podClaim{by: aClaim, volume: v.Name, index: i, claim: v.PersistentVolumeClaim.ClaimName})
		case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
			all = append(all, podClaim{by: anEphemeral, volume: v.Name, index: i, namespace: obj.GetNamespace(),
				ephemeral: v.Ephemeral.VolumeClaimTemplate})
		}
	}
	return all
}

// object returns the claim: as it is made for a Pod, or as it is in the cluster,
// which is nil if it does not exist (yet).
func (c podClaim) object(v *cluster.View, namespace string) (*corev1.PersistentVolumeClaim, error) {
	if c.by != aClaim {
		return c.made(), nil
	}
	pvc, err := cluster.Get[corev1.PersistentVolumeClaim](v, namespace, c.claim)
	if err != nil {
		return nil, fmt.Errorf("get PersistentVolumeClaim %s: %w", c.claim, err)
	}
	return pvc, nil
}

// A sharedClaim is a claim that Pods name, so that all replicas share it.
type sharedClaim struct {
	podClaim
	writable bool
	pvc      *corev1.PersistentVolumeClaim // nil if it does not exist (yet)
}

// sharedClaims returns the claims that the Pods of a workload name.
func sharedClaims(v *cluster.View, obj cluster.Object, spec *corev1.PodSpec) (found []sharedClaim, err error) {
	var read map[string]bool
	for _, c := range podClaims(obj, spec) {
		if c.by != aClaim {
			continue
		}
		if read == nil {
			read = onlyRead(spec)
		}
		pvc, err := c.object(v, obj.GetNamespace())
		if err != nil {
			return nil, err
		}
		source := spec.Volumes[c.index].PersistentVolumeClaim
		found = append(found, sharedClaim{c, !source.ReadOnly && !read[c.volume], pvc})
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

// remade is the command that makes a claim anew which holds nothing.
func remade(pvc *corev1.PersistentVolumeClaim) string {
	return fmt.Sprintf("kubectl delete pvc %s -n %s && %s", pvc.Name, pvc.Namespace, applyAgain)
}

// holdsNothing says whether a claim that was seen in a cluster is certain to
// hold no data: it is Pending, names no volume that it may get and no data source,
// no volume is reserved for it, and no Pod waits for it. Only such a claim may
// stand in a command that deletes it.
func holdsNothing(v *cluster.View, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if v.Manifests() || pvc.Status.Phase != corev1.ClaimPending || pvc.DeletionTimestamp != nil ||
		pvc.Spec.DataSource != nil || pvc.Spec.DataSourceRef != nil {
		return false, nil
	}
	if pvc.Spec.VolumeName != "" {
		pv, err := cluster.Get[corev1.PersistentVolume](v, "", pvc.Spec.VolumeName)
		if err != nil {
			return false, fmt.Errorf("get PersistentVolume %s: %w", pvc.Spec.VolumeName, err)
		}
		if pv != nil && (pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.Namespace == pvc.Namespace &&
			pv.Spec.ClaimRef.Name == pvc.Name) {
			return false, nil
		}
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
