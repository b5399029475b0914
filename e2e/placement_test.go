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
	forget(t, ns+"-near", ns+"-far")
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
		named("near")+named("far")+`apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: `+ns+`}
provisioner: example.com/nobody
volumeBindingMode: WaitForFirstConsumer
allowedTopologies: [{matchLabelExpressions: [{key: kubernetes.io/hostname, values: [nowhere]}]}]
---
`+pvcNamed("made", "storageClassName: "+ns+", "+once))
	phases(t, ns, "pvc", map[string]string{"near": "Bound", "far": "Bound"})
	pod := func(name string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec: {nodeSelector: {kubernetes.io/hostname: %s}, containers: [{name: db, image: db}],
  volumes: [{name: data, persistentVolumeClaim: {claimName: %[1]s}}]}
---
`, name, node)
	}
	contains(t, apply(t, ns, pod("far")), "must be nowhere, where volume "+ns+"-far is; the Pod stays Pending")
	contains(t, apply(t, ns, pod("made")), "must be nowhere, where class "+ns+" makes volumes; the Pod stays Pending")
	if out := apply(t, ns, pod("near")); strings.Contains(out, "workload-placement") {
		t.Errorf("of a Pod on the node of its volume: %s", out)
	}
	phases(t, ns, "pod", map[string]string{"near": "Running"}) // and with it all have been round
	for _, name := range []string{"far", "made"} {
		output(t, "Pending Unschedulable", "get", "pod", name, "-n", ns, "-o",
			"jsonpath={.status.phase} {.status.conditions[?(@.type=='PodScheduled')].reason}")
	}
}
