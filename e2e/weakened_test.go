package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestPodSubresourcesChangeNothingOfOurs writes every field that a rule or a
// mutator of Pods reads through subresources for which no webhook is called: the
// API server ignores all fields that do not belong to the subresource.
func TestPodSubresourcesChangeNothingOfOurs(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pods := env.client.CoreV1().Pods(ns)
	apply(t, ns, `apiVersion: v1
kind: Pod
metadata: {name: web, labels: {stayput.dev/subdomain: web}}
spec:
  automountServiceAccountToken: false
  nodeSelector: {is: nowhere} # what kwok pretends to run cannot be resized
  containers: [{name: a, image: a, resources: {requests: {cpu: 100m}, limits: {cpu: 200m}},
    volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
`)
	ours := func(p *corev1.Pod) string {
		text, err := json.Marshal([]any{p.Name, p.Labels, p.Annotations, p.Spec.Hostname, p.Spec.Subdomain,
			p.Spec.HostnameOverride, p.Spec.SetHostnameAsFQDN,
			p.Spec.Volumes, p.Spec.Containers[0].VolumeMounts, p.Spec.TerminationGracePeriodSeconds})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	get := func() *corev1.Pod {
		p, err := pods.Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := get()
	if before.Spec.Hostname != "web" || before.Spec.Subdomain != "web" {
		t.Fatalf("not mutated: %q.%q", before.Spec.Hostname, before.Spec.Subdomain)
	}
	const theirs = `"metadata":{"labels":{"stayput.dev/subdomain":"other"},` +
		`"annotations":{"exempt.stayput.dev/pod-identity":"because"}}`
	for subresource, tc := range map[string]struct {
		spec string // what the subresource is for
		done func(p *corev1.Pod) bool
	}{
		"ephemeralcontainers": {`"ephemeralContainers":[{"name":"debug","image":"a","volumeMounts":[{"name":"data",` +
			`"mountPath":"/elsewhere"}]}]`,
			func(p *corev1.Pod) bool { return len(p.Spec.EphemeralContainers) == 1 }},
		"resize": {`"containers":[{"name":"a","resources":{"requests":{"cpu":"150m"}}}]`,
			func(p *corev1.Pod) bool { return p.Spec.Containers[0].Resources.Requests.Cpu().String() == "150m" }},
	} {
		t.Run(subresource, func(t *testing.T) {
			for _, patch := range []string{
				`{` + theirs + `,"spec":{"hostname":"other","subdomain":"other","terminationGracePeriodSeconds":0,` + tc.spec +
					`}}`,
				`{` + theirs + `,"spec":{"volumes":[{"name":"data","emptyDir":null,"hostPath":{"path":"/"}}],` + tc.spec + `}}`,
			} {
				_, err := pods.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{},
					subresource)
				t.Logf("%s: %v", patch, err)
				if got := ours(get()); got != ours(before) {
					t.Errorf("%s has changed\n%s to\n%s", patch, ours(before), got)
				}
			}
			// By itself it does what it is for: the others were not just refused.
			if _, err := pods.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{"spec":{`+tc.spec+`}}`),
				metav1.PatchOptions{}, subresource); err != nil {
				t.Fatal(err)
			}
			after := get()
			if !tc.done(after) {
				t.Error("it has no effect")
			}
			if ours(after) != ours(before) {
				t.Errorf("changed\n%s to\n%s", ours(before), ours(after))
			}
		})
	}
}

// TestAuditShowsWhatIsWeakened audits namespaces that are labelled with a
// weaker mode, and one whose tenant exempts: each is in the report, with who
// did so and why.
func TestAuditShowsWhatIsWeakened(t *testing.T) {
	t.Parallel()
	three := strings.Replace(fixedHostname, "replicas: 1", "replicas: 3", 1)
	exempt := func(reason string) string {
		return strings.Replace(three, "{name: web}",
			"{name: web, annotations: {exempt.stayput.dev/deployment-hostname: "+reason+"}}", 1)
	}
	off, warn, exempted, enforced := namespace(t, "stayput.dev/mode=off"), namespace(t, "stayput.dev/mode=warn"),
		namespace(t), namespace(t)
	apply(t, off, three)
	apply(t, warn, three)
	apply(t, exempted, exempt("it is a singleton in disguise"))
	apply(t, enforced, fixedHostname)
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--kubeconfig", env.Cluster.Kubeconfig(), "--config", file}
	for _, ns := range []string{off, warn, exempted, enforced} {
		args = append(args, "-n", ns)
	}
	r, end := audited(t, 0, args...)
	got := map[string]bool{}
	for _, e := range r.Exempted {
		got[fmt.Sprintf("%s: %s by %s: %s", e.Object, e.Rule, e.By, e.Reason)] = true
	}
	want := []string{
		"Namespace " + off + ": mode by the namespace: labelled stayput.dev/mode=off",
		"Namespace " + warn + ": mode by the namespace: labelled stayput.dev/mode=warn",
		"Deployment " + exempted + "/web: deployment-hostname by the object: it is a singleton in disguise",
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("missing: %s", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d are exempted, want %d: %v\n%s", len(got), len(want), got, end.stderr)
	}
}
