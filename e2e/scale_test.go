package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestScaleIsSeen scales through statefulsets/scale and deployments/scale,
// which is all that kubectl scale sends.
func TestScaleIsSeen(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	letGo(t, database(t, ns, 2))
	apply(t, ns, fixedHostname)
	out := denied(t, "deployment-hostname", "scale", "deployment", "web", "-n", ns, "--replicas=3")
	contains(t, out, "its 3 replicas share the hostname web")
	output(t, "1", "get", "deployment", "web", "-n", ns, "-o", "jsonpath={.spec.replicas}")

	out = kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=1")
	contains(t, out, "Warning: statefulset-scale-down: spec.replicas: ", "data-mysql-1 stay")
	output(t, "1", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.status.replicas}")
	out = kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=3")
	contains(t, out, "Warning: statefulset-scale-up: spec.replicas: ", "as its claim exists: data-mysql-1")
	if strings.Contains(out, "data-mysql-2") {
		t.Errorf("warned of a claim that does not exist:\n%s", out)
	}
	output(t, "3", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
	kubectl(t, "patch", "statefulset", "mysql", "-n", ns, "-p",
		`{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Delete"}}}`)
	eventually(t, "a warning that claims go", func() error {
		out = kubectl(t, "scale", "statefulset", "mysql", "-n", ns, "--replicas=1", "--dry-run=server")
		if !strings.Contains(out, "data-mysql-1, data-mysql-2 WILL BE DELETED") {
			return fmt.Errorf("none:\n%s", out) // the informer is a moment behind
		}
		return nil
	})
}

// TestTheAutoscalerIsSeen lets the real HorizontalPodAutoscaler controller
// scale, which it does without metrics where minReplicas asks for it.
func TestTheAutoscalerIsSeen(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	letGo(t, database(t, ns, 1))
	autoscaler := func(kind, name string) string {
		return fmt.Sprintf(`apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: %s}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: %s, name: %[1]s}
  minReplicas: 3
  maxReplicas: 5
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
---
`, name, kind)
	}
	apply(t, ns, fixedHostname)
	apply(t, ns, autoscaler("Deployment", "web")+autoscaler("StatefulSet", "mysql"))
	eventually(t, "the denial in the autoscaler's status", func() error {
		out := kubectl(t, "get", "hpa", "web", "-n", ns, "-o",
			`jsonpath={.status.conditions[?(@.type=="AbleToScale")].message}`)
		if !strings.Contains(out, "deployment-hostname: ") {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	output(t, "1", "get", "deployment", "web", "-n", ns, "-o", "jsonpath={.spec.replicas}")
	// What only warns does not stop it.
	output(t, "3", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
	// And once the hostname is gone, neither does the guard.
	kubectl(t, "patch", "deployment", "web", "-n", ns, "-p", `{"spec":{"template":{"spec":{"hostname":null}}}}`)
	output(t, "3", "get", "deployment", "web", "-n", ns, "-o", "jsonpath={.spec.replicas}")
}
