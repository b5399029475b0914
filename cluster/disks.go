package cluster

import (
	"hash/fnv"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Disks names the storage that a volume stands for: the handle of a CSI driver, the
// directory of an NFS server, or a directory of each node that the volume says it is
// on. Volumes with a name in common are on the same disk. Of other sources nothing is
// known.
func Disks(pv *corev1.PersistentVolume) (names []string) {
	directory := ""
	switch s := &pv.Spec.PersistentVolumeSource; {
	case s.CSI != nil:
		return []string{"csi " + s.CSI.Driver + " " + s.CSI.VolumeHandle}
	case s.NFS != nil:
		return []string{"nfs " + s.NFS.Server + " " + path.Clean(s.NFS.Path)}
	case s.Local != nil:
		directory = s.Local.Path
	case s.HostPath != nil:
		directory = s.HostPath.Path
	default:
		return nil
	}
	for _, node := range nodesOf(pv) {
		names = append(names, "node "+node+" "+path.Clean(directory))
	}
	return names
}

// nodesOf returns the hostnames of the nodes to which a volume's affinity restricts it.
func nodesOf(pv *corev1.PersistentVolume) (nodes []string) {
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return nil
	}
	for _, term := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			if e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpIn {
				nodes = append(nodes, e.Values...)
			}
		}
	}
	return nodes
}

// SameDisk returns the other volumes that are on a disk of this one, by name.
func SameDisk(v *View, pv *corev1.PersistentVolume) ([]*corev1.PersistentVolume, error) {
	names := Disks(pv)
	if len(names) == 0 {
		return nil, nil
	}
	found, err := Find(v, VolumesByDisk, "", hashes(names)...)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(slices.Clone(found), func(other *corev1.PersistentVolume) bool {
		return other.Name == pv.Name ||
			!slices.ContainsFunc(Disks(other), func(name string) bool { return slices.Contains(names, name) })
	})
	return found, nil
}

// hashes returns keys of a few bytes, for handles are long and volumes many.
func hashes(names []string) []string {
	keys := make([]string, len(names))
	for i, name := range names {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name))
		keys[i] = string(h.Sum(nil))
	}
	return keys
}
