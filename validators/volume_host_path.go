package validators

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var volumeHostPath = &Rule{
	Name:  "volume-host-path",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&corev1.Node{}},
	Doc: `a volume on a node's own disk must say which node

A hostPath is a directory of the node on which the Pod runs. When the Pod moves
to another node, it finds an empty directory there, and its data stays on the
old node. Give the volume a nodeAffinity, so that its Pods run where the data
is; better, use the source local, for which the API server requires one. The
rule is silent in a cluster of one node; where the nodes are not known, as in
lint, it assumes several.`,

	Exempt: "the directory is the same on every node, as a mounted file share is",

	Checks: []Check{OnCreate(func(p *Pass, pv *corev1.PersistentVolume) error {
		if pv.Spec.HostPath == nil || pv.Spec.NodeAffinity != nil && pv.Spec.NodeAffinity.Required != nil {
			return nil
		}
		nodes, err := knownNodes(p.Cluster)
		if err != nil || len(nodes) == 1 {
			return err
		}
		p.Report(field.Invalid(field.NewPath("spec", "hostPath", "path"), pv.Spec.HostPath.Path,
			"must have a node, by nodeAffinity; a Pod that moves finds an empty directory, its data left behind"),
			p.Mend("nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: "+
				"In, values: [<node>]}]}]}}",
				fmt.Sprintf(`kubectl patch pv %s -p `+
					`'{"spec":{"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[`+
					`{"key":"kubernetes.io/hostname","operator":"In","values":["NODE"]}]}]}}}}'`, pv.Name)))
		return nil
	})},
}
