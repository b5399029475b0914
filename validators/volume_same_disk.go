package validators

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var volumeSameDisk = &Rule{
	Name:  "volume-same-disk",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}},
	Doc: `a disk should be the disk of one volume

Two PersistentVolumes with the same CSI driver and volumeHandle, the same NFS server
and path, or the same directory of a node are one disk, and nothing in Kubernetes
knows it. Each is bound to a claim of its own. If one has the reclaim policy Delete,
the deletion of its claim destroys the data of the other. With an access mode
that is for one node, such as ReadWriteOnce, each claim is taken to be alone on the
disk, and the Pods of two write the same files. Where every access mode is ReadWriteMany or ReadOnlyMany, and the
policy of both is Retain, sharing is meant, and nothing is said; nor of a volume whose
claim is gone and which is retained, for the other one takes its place.

A Pod that mounts two volumes of one CSI handle never starts, whatever the access
modes: the kubelet knows a volume by driver and handle, mounts it once, and waits for
the other (kubernetes/kubernetes#132921, no event says so). Mount one claim in two
places, or give each volume a handle of its own; most drivers for shared file systems
accept any that is unique.`,

	Exempt: "what shares the disk never runs at the same time, and both volumes are retained",

	Checks: append([]Check{
		On(sharedDisk).Of("spec.csi", "spec.nfs", "spec.local", "spec.hostPath", "spec.nodeAffinity", "spec.accessModes",
			"spec.persistentVolumeReclaimPolicy", "metadata.annotations["+cluster.AnnotationProvisionedBy+"]"),
	}, ofPods(mountedTwice, []string{"volumes[*].persistentVolumeClaim"},
		"spec.volumeClaimTemplates", "spec.ordinals")...),
}

// sharedDisk reports a volume on the disk of another, where one loses by it.
func sharedDisk(p *Pass, pv *corev1.PersistentVolume) error {
	if replaced(pv) {
		return nil
	}
	others, err := cluster.SameDisk(p.Cluster, pv)
	if err != nil {
		return fmt.Errorf("list PersistentVolumes: %w", err)
	}
	slices.SortFunc(others, func(a, b *corev1.PersistentVolume) int { return strings.Compare(a.Name, b.Name) })
	for _, other := range others {
		if replaced(other) {
			continue
		}
		path, value := diskPath(pv)
		for _, one := range []*corev1.PersistentVolume{pv, other} {
			if destroyedWithClaim(one) {
				p.Report(field.Invalid(path, value, fmt.Sprintf("must not be the disk of %s, too; %s has the policy Delete, "+
					"and with its claim go the data of both", other.Name, one.Name)), p.retained(one.Name))
				return nil
			}
		}
		if shareable(pv) && shareable(other) {
			continue
		}
		p.Report(field.Invalid(path, value, fmt.Sprintf("must not be the disk of %s, too; the Pods of two claims "+
			"would write the same files", other.Name)),
			"use one of both alone", ", or say accessModes: [ReadWriteMany] in both if the storage can share it")
		return nil
	}
	return nil
}

// replaced says whether a volume is retained and its claim is gone, or it is going
// itself: another may take its place.
func replaced(pv *corev1.PersistentVolume) bool {
	return (pv.DeletionTimestamp != nil || claimGone(pv)) && !destroyedWithClaim(pv)
}

// destroyedWithClaim says whether somebody destroys a volume's disk when its claim is
// deleted: its provisioner, or the controller manager, which deletes directories.
func destroyedWithClaim(pv *corev1.PersistentVolume) bool {
	return pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete &&
		(provisioned(pv) || pv.Spec.HostPath != nil)
}

// shareable says whether all access modes of a volume are for several nodes.
func shareable(pv *corev1.PersistentVolume) bool {
	return !slices.ContainsFunc(pv.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool {
		return m != corev1.ReadWriteMany && m != corev1.ReadOnlyMany
	})
}

// diskPath returns the field that names a volume's disk, and its value.
func diskPath(pv *corev1.PersistentVolume) (*field.Path, string) {
	switch s := &pv.Spec.PersistentVolumeSource; {
	case s.CSI != nil:
		return specPath.Child("csi", "volumeHandle"), short(s.CSI.VolumeHandle)
	case s.NFS != nil:
		return specPath.Child("nfs", "path"), short(s.NFS.Path)
	case s.Local != nil:
		return specPath.Child("local", "path"), short(s.Local.Path)
	default:
		return specPath.Child("hostPath", "path"), short(s.HostPath.Path)
	}
}

// mountedTwice reports a Pod with two volumes of one CSI handle, of which it names one
// claim at least: the claims that are made of templates get volumes of their own.
func mountedTwice(p *Pass, obj cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
	if !slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil }) {
		return nil
	}
	mounts := podClaims(obj, spec)
	if len(mounts) < 2 {
		return nil
	}
	volumes := make([]*corev1.PersistentVolume, len(mounts))
	var unknown error
	for i, m := range mounts {
		pv, err := m.boundVolume(p.Cluster, obj)
		if errors.Is(err, cluster.ErrUnknown) {
			unknown = err
			continue
		}
		if err != nil {
			return err
		}
		volumes[i] = pv
		first := slices.IndexFunc(volumes[:i], func(earlier *corev1.PersistentVolume) bool { return collide(earlier, pv) })
		if first < 0 {
			continue
		}
		path := at.Child("volumes").Index(m.index)
		if m.by == aTemplate {
			path = templatesPath.Index(m.index)
		}
		p.Report(field.Invalid(path, m.volume, fmt.Sprintf("must not be the disk of volume %s, too (handle %s); the "+
			"kubelet mounts it once, and the Pod never starts", mounts[first].volume, short(pv.Spec.CSI.VolumeHandle))),
			fmt.Sprintf("mount volume %s in both places", mounts[first].volume))
		return unknown
	}
	return unknown
}

// boundVolume returns the volume of a claim that Pods use, of a claim template that of
// the first ordinal; nil if it has none.
func (c podClaim) boundVolume(v *cluster.View, obj cluster.Object) (*corev1.PersistentVolume, error) {
	switch sts, _ := obj.(*appsv1.StatefulSet); c.by {
	case anEphemeral:
		return nil, nil
	case aTemplate:
		start, _ := cluster.Ordinals(sts)
		c.by, c.claim = aClaim, cluster.ClaimName(sts, c.volume, start)
	}
	pvc, err := c.object(v, obj.GetNamespace())
	if err != nil || pvc == nil {
		return nil, err
	}
	return volumeOf(v, pvc)
}

// collide says whether the kubelet takes two volumes, which may be nil, for one.
func collide(a, b *corev1.PersistentVolume) bool {
	return a != nil && b != nil && a.Name != b.Name && a.Spec.CSI != nil && b.Spec.CSI != nil &&
		a.Spec.CSI.Driver == b.Spec.CSI.Driver && a.Spec.CSI.VolumeHandle == b.Spec.CSI.VolumeHandle
}
