package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// podsHaveNoNode makes Pods that may not run where their volumes are, or would be
// made, beside Pods that may.
func podsHaveNoNode(t *testing.T, ns string) {
	forget(t, ns+"-near", ns+"-far", ns+"-racked", ns+"-asking")
	t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "delete", "sc", ns, "--ignore-not-found") })
	node := strings.TrimSpace(kubectl(t, "get", "node", "-o",
		"jsonpath={.items[0].metadata.labels['kubernetes\\.io/hostname']}"))
	on := func(host string) string {
		return oneGibi + ", nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [" +
			"{key: kubernetes.io/hostname, operator: In, values: [" + host + "]}]}]}}"
	}
	named := func(name string) string {
		return pvcNamed(name, fmt.Sprintf("storageClassName: by-hand-%s, volumeName: %[1]s-%s, %s", ns, name, once))
	}
	apply(t, ns, volumeNamed(ns+"-near", "by-hand-"+ns, on(node))+volumeNamed(ns+"-far", "by-hand-"+ns, on("nowhere"))+
		named("near")+named("far")+
		volumeNamed(ns+"-racked", "by-hand-"+ns, strings.Replace(on("b"), "kubernetes.io/hostname",
			"example.com/rack-"+ns, 1))+volumeNamed(ns+"-asking", "by-hand-"+ns, on(node))+
		named("racked")+named("asking")+`apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: `+ns+`}
provisioner: example.com/nobody
volumeBindingMode: WaitForFirstConsumer
allowedTopologies: [{matchLabelExpressions: [{key: kubernetes.io/hostname, values: [nowhere]}]}]
---
`+pvcNamed("made", "storageClassName: "+ns+", "+once))
	phases(t, ns, "pvc", map[string]string{"near": "Bound", "far": "Bound", "racked": "Bound",
		"asking": "Bound"})
	pod := func(name string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec: {nodeSelector: {kubernetes.io/hostname: %s}, containers: [{name: db, image: db}],
  volumes: [{name: data, persistentVolumeClaim: {claimName: %[1]s}}]}
---
`, name, node)
	}
	// By a label of the node: of one that the Pod names, and of one that the volume names.
	rack := "example.com/rack-" + ns
	kubectl(t, "label", "node", node, rack+"=a")
	t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "label", "node", node, rack+"-") })
	for name, rule := range map[string]string{
		"racked": "must have " + rack + " b, where volume " + ns + "-racked is; the Pod stays Pending",
		"asking": "must be met by node " + node + ", where volume " + ns + "-asking is; the Pod stays Pending",
	} {
		manifest := pod(name)
		if name == "asking" {
			manifest = strings.Replace(manifest, "kubernetes.io/hostname: "+node, rack+": b", 1)
		}
		eventually(t, "the label of the node is known", func() error {
			out, err := try(t, manifest, "apply", "-n", ns, "--dry-run=server", "-f", "-")
			if err == nil && !strings.Contains(out, rule) {
				err = fmt.Errorf("it says: %s", out)
			}
			return err
		})
		apply(t, ns, manifest)
	}
	contains(t, apply(t, ns, pod("far")), "must be nowhere, where volume "+ns+"-far is; the Pod stays Pending")
	contains(t, apply(t, ns, pod("made")), "must be nowhere, where class "+ns+" makes volumes; the Pod stays Pending")
	if out := apply(t, ns, pod("near")); strings.Contains(out, "workload-placement") {
		t.Errorf("of a Pod on the node of its volume: %s", out)
	}
	phases(t, ns, "pod", map[string]string{"near": "Running"}) // and with it all have been round
	for _, name := range []string{"far", "made", "racked", "asking"} {
		output(t, "Pending Unschedulable", "get", "pod", name, "-n", ns, "-o",
			"jsonpath={.status.phase} {.status.conditions[?(@.type=='PodScheduled')].reason}")
	}
}
