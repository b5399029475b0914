package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var workloadHostPath = &Rule{
	Name:  "workload-host-path",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&corev1.Node{}},
	Doc: `a workload that may move between nodes must not keep data in a hostPath

A hostPath volume is a directory of the node on which the Pod runs. A Pod that
is replaced, because of an update or because its node is drained, may start on
another node, where the directory is another one and usually empty; the data
stays on the old node, and no event says so. Use a claim (volumeClaimTemplates
in a StatefulSet), and first copy the data of the directory to it, because the
claim starts empty. If the Pod must use this directory, keep it on the node that
has it, with nodeSelector: {kubernetes.io/hostname: <node>}.

Sockets, devices, single files and directories that are mounted read-only are
not data; agents that need a directory of every node belong in a DaemonSet. The
rule is silent in a cluster of one node; where the nodes are not known, as in
lint, it assumes several.`,

	Exempt: "the directory is the same on every node, as a mounted file share is, or holds data that can be created again",

	Checks: ofPods(func(p *Pass, obj cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
		if _, ok := obj.(*appsv1.StatefulSet); ok {
			return hostPaths(p, spec, at, func(volume string) (string, string) {
				return ownClaims(volume, "10Gi"), ownClaimsBriefly
			})
		}
		return hostPaths(p, spec, at, claimInstead)
	}, slices.Concat([]string{"volumes[*].hostPath"}, inContainers("volumeMounts", "volumeDevices"),
		[]string{"nodeName", "nodeSelector", "affinity.nodeAffinity", "tolerations"})),
}

func hostPaths(p *Pass, spec *corev1.PodSpec, path *field.Path,
	instead func(volume string) (remedy, brief string)) error {
	var at []int
	for i := range spec.Volumes {
		if hp := spec.Volumes[i].HostPath; hp != nil && directory(hp) {
			at = append(at, i)
		}
	}
	if len(at) == 0 || pinned(spec) {
		return nil
	}
	written := writtenVolumes(spec)
	at = slices.DeleteFunc(at, func(i int) bool { return !written[spec.Volumes[i].Name] })
	if len(at) == 0 {
		return nil
	}
	nodes, err := knownNodes(p.Cluster)
	if err != nil {
		return err
	}
	where := "nodes"
	if len(nodes) > 0 {
		n := nodesFor(spec, nodes)
		if n <= 1 {
			return nil
		}
		where = fmt.Sprintf("%d nodes", n)
	}
	for _, i := range at {
		v := &spec.Volumes[i]
		remedy, brief := instead(v.Name)
		p.Report(field.Invalid(path.Child("volumes").Index(i).Child("hostPath", "path"), v.HostPath.Path,
			fmt.Sprintf("must not hold data; the Pod may move between %s, and the data stays behind", where)), remedy)
		p.Briefly(brief)
	}
	return nil
}

func claimInstead(volume string) (remedy, brief string) {
	return fmt.Sprintf("%svolumes: [{name: %s, persistentVolumeClaim: {claimName: <claim>}}]", copyFirst, volume),
		copyFirst + "use a claim"
}

// writtenVolumes returns the names of the volumes that at least one container
// may write to.
func writtenVolumes(spec *corev1.PodSpec) map[string]bool {
	written := map[string]bool{}
	for _, c := range containers(spec) {
		for _, m := range c.item.VolumeMounts {
			written[m.Name] = written[m.Name] || !m.ReadOnly
		}
		for _, d := range c.item.VolumeDevices {
			written[d.Name] = true
		}
	}
	return written
}

// directory says whether a hostPath is a directory that may hold data. The type
// is usually left out, so the usual paths of sockets, devices and files that do
// not outlive a reboot are known by name.
func directory(hp *corev1.HostPathVolumeSource) bool {
	if hp.Type != nil {
		switch *hp.Type {
		case corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket, corev1.HostPathCharDev,
			corev1.HostPathBlockDev:
			return false
		}
	}
	for _, dir := range []string{"/dev/", "/proc/", "/run/", "/sys/", "/var/run/"} {
		if strings.HasPrefix(hp.Path+"/", dir) {
			return false
		}
	}
	return !strings.HasSuffix(hp.Path, ".sock")
}
