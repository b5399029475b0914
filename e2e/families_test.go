package e2e

import (
	"regexp"
	"strings"
	"testing"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// TestAServiceStartsToSelect does on clusters of one and of two families of
// addresses what is printed for a headless Service that selects nothing. That is
// given both families, and a cluster of one then refuses every selector that comes
// by itself.
func TestAServiceStartsToSelect(t *testing.T) {
	t.Parallel()
	const service = `apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: db}]}
`
	for name, tt := range map[string]struct{ ranges, families string }{
		"one":  {"10.96.0.0/16", `["IPv4"]`},
		"both": {"10.96.0.0/16,fd00:10:96::/108", `["IPv4","IPv6"]`},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, err := localcluster.Start(t.Context(), localcluster.Options{Bare: true,
				APIServerArgs: []string{"--service-cluster-ip-range=" + tt.ranges}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cluster.Stop() })
			b := &bare{&harness.Stayput{Cluster: cluster}}
			b.kubectl(t, service, "apply", "-f", "-")
			out := stayput(t, "audit", "--kubeconfig", cluster.Kubeconfig()).stdout
			printed := regexp.MustCompile(`kubectl patch service db -n default -p '([^']*)'`).FindStringSubmatch(out)
			if printed == nil {
				t.Fatalf("no remedy:\n%s", out)
			}
			if out, err := b.try(t, "", "set", "selector", "service", "db", "app=db"); (err == nil) != (name == "both") {
				t.Errorf("the selector by itself: %v\n%s", err, out)
			}
			b.kubectl(t, "", "patch", "service", "db", "-p", printed[1])
			if got := b.kubectl(t, "", "get", "service", "db", "-o",
				"jsonpath={.spec.selector.app} {.spec.ipFamilies}"); strings.TrimSpace(got) != "db "+tt.families {
				t.Errorf("the Service has %s", got)
			}
			// What lint prints for a manifest is taken, too, whether it is new or not.
			for _, name := range []string{"db", "new"} {
				b.kubectl(t, "apiVersion: v1\nkind: Service\nmetadata: {name: "+name+"}\nspec: {clusterIP: None, ipFamilyPolicy: "+
					"SingleStack, selector: {app: db}}\n", "apply", "-f", "-")
			}
		})
	}
}
