package e2e

import "testing"

// TestReadsAreAsKubectlPrintsThem compares what the harness reads itself with what
// kubectl prints.
func TestReadsAreAsKubectlPrintsThem(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, ordinaryNamed("one")+ordinaryNamed("two"))
	for _, args := range [][]string{
		{"get", "svc", "-n", ns, "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.spec.ports}{"\n"}{end}`},
		{"get", "svc", "-n", ns, "-l", "app=nobody", "-o", "jsonpath={.kind} {.items}"},
		{"get", "service", "one", "-n", ns, "-o", "jsonpath={.metadata.name} {.spec} {.metadata.managedFields} {.missing}"},
		{"get", "service/two", "-n", ns, "-o", "jsonpath={.metadata.labels} {.spec.ports[0].port}"},
		{"get", "services", "kubernetes", "-o", "jsonpath={.metadata.namespace}"},
		{"get", "namespace", ns, "-o", "jsonpath={.status.phase}"},
		{"get", "storageclass", "disk", "-o", "jsonpath={.reclaimPolicy} {.parameters}"},
		{"get", "validatingwebhookconfiguration", "stayput", "-o", "jsonpath={.webhooks[*].name}"},
		{"get", "nothing", "-n", ns, "-o", "jsonpath={.items}"},
		{"get", "svc", "three", "-n", ns, "-o", "jsonpath={.spec}"},
	} {
		got, failed := env.Kubectl(t.Context(), "", args...)
		want, fails := env.KubectlAs(t.Context(), env.Cluster.Kubeconfig(), "", args...)
		if got != want || (failed == nil) != (fails == nil) {
			t.Errorf("%q\nis  %s (%v)\nnot %s (%v)", args, got, failed, want, fails)
		}
	}
}
