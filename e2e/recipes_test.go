package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/manifest"
	"stayput.dev/validators"
)

// follow runs the commands of a recipe in a shell, with the manifest as its file.
func follow(t *testing.T, recipe, manifest string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "manifest")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(env.Cluster.Kubectl(), filepath.Join(dir, "kubectl")); err != nil {
		t.Fatal(err)
	}
	sh := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(recipe, "<file>", file))
	sh.Env = append(os.Environ(), "KUBECONFIG="+env.Cluster.Kubeconfig(), "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, recipe, out)
	}
}

// remedyAt returns the whole remedy that a rule gives at a path of an object, as
// admission and audit say it.
func remedyAt(t *testing.T, rule *validators.Rule, path string, old, obj cluster.Object) string {
	t.Helper()
	source := cache.Reader(newClient(t, env.Cluster.Config(), ""))
	view := cluster.Environment{Source: source}.View(t.Context(), cluster.Request{})
	findings, undecided := validators.Review(view, []*validators.Rule{rule}, old, obj)
	if len(undecided) > 0 {
		t.Fatal(undecided[0])
	}
	for _, f := range findings {
		if strings.HasPrefix(f.Field, path) {
			return f.Remedy.String()
		}
	}
	t.Fatalf("%s says nothing of %s: %v", rule.Name, path, findings)
	return ""
}

func ruleNamed(t *testing.T, name string) *validators.Rule {
	t.Helper()
	for _, r := range validators.All {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("there is no rule %s", name)
	return nil
}

// TestSelectorRecipes changes selectors, which the API server refuses, and follows the
// hints: all Pods, or as many as in a rollout, serve at every moment, and the claims
// stay.
func TestSelectorRecipes(t *testing.T) {
	t.Parallel()
	deployment := func(ns, labels, selector, strategy string) string {
		return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %s}
spec:
  replicas: 2
  strategy: {type: %s}
  selector: {matchLabels: %s}
  template:
    metadata: {labels: %s}
    spec: {containers: [{name: web, image: web}]}
`, ns, strategy, selector, labels)
	}
	set := func(ns, labels, selector, _ string) string {
		return fmt.Sprintf(`apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: %s}
spec:
  replicas: 2
  selector: {matchLabels: %s}
  template:
    metadata: {labels: %s}
    spec: {containers: [{name: web, image: web, volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: disk, `+once+`}}]
`, ns, selector, labels)
	}
	const one, two = "{app: web, chart: web-1}", "{app: web, chart: web-2}"
	for name, tc := range map[string]struct {
		manifest        func(ns, labels, selector, strategy string) string
		kind            string
		labels          string // of the new template
		selector        string // the new one
		strategy        string
		same            bool // the Pods that run stay
		serving         int  // how many Pods serve at every moment
		refusal, recipe string
	}{
		"Deployment value": {deployment, "deploy", two, two, "RollingUpdate", false, 2,
			"field is immutable", "kubectl label rs -l "},
		"Deployment less": {deployment, "deploy", one, "{app: web}", "RollingUpdate", true, 2, "field is immutable", ""},
		"Deployment more": {deployment, "deploy", one, "{app: web, chart: web-1, tier: a}", "RollingUpdate", false, 2,
			"", "tier=a"},
		"Deployment recreated": {deployment, "deploy", two, two, "Recreate", false, 0, "field is immutable",
			"--cascade=foreground"},
		"StatefulSet value": {set, "sts", two, two, "", false, 1, "spec.selector: ", "kubectl label pod -l "},
		"StatefulSet less":  {set, "sts", one, "{app: web}", "", true, 2, "spec.selector: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, "stayput.dev/mode=warn")
			if strings.Contains(tc.selector, "tier") {
				tc.labels = tc.selector
			}
			before, after := tc.manifest(ns, one, one, tc.strategy), tc.manifest(ns, tc.labels, tc.selector, tc.strategy)
			apply(t, ns, before)
			output(t, "2", "get", tc.kind, "web", "-n", ns, "-o", allReady)
			if tc.kind == "sts" {
				letGo(t, strings.Fields(kubectl(t, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeName}")))
			}
			pods, claims := kubectl(t, "get", "pod", "-n", ns, "-o", uids), kubectl(t, "get", "pvc", "-n", ns, "-o", uids)
			was := kubectl(t, "get", tc.kind, "web", "-n", ns, "-o", "jsonpath={.metadata.uid}")
			out, err := try(t, after, "apply", "-f", "-")
			if err == nil {
				t.Fatalf("the API server accepts it:\n%s", out)
			}
			refusal := tc.refusal
			if tc.kind == "sts" && env.minor < 37 {
				refusal = otherFields
			}
			contains(t, out, "field-fixed: spec.selector.matchLabels[", refusal)

			var old cluster.Object = &appsv1.Deployment{}
			if tc.kind == "sts" {
				old = &appsv1.StatefulSet{}
			}
			c := newClient(t, env.Cluster.Config(), "")
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "web"}, old); err != nil {
				t.Fatal(err)
			}
			parsed, _, err := manifest.ParseManifests("after", []byte(after))
			if err != nil {
				t.Fatal(err)
			}
			_, recipe, ok := strings.Cut(remedyAt(t, ruleNamed(t, "field-fixed"), "spec.selector", old, parsed[0].Object),
				", or ")
			if !ok || !strings.Contains(recipe, tc.recipe) {
				t.Fatalf("the recipe is %q", recipe)
			}
			recipe, _, _ = strings.Cut(recipe, "; in between")
			t.Log(recipe)

			served, watched := lowest(t, c, ns)
			follow(t, recipe, after)
			uid := kubectl(t, "get", tc.kind, "web", "-n", ns, "-o", "jsonpath={.metadata.uid}")
			if uid == was {
				t.Error("it is not made anew")
			}
			output(t, "2", "get", tc.kind, "web", "-n", ns, "-o", "jsonpath={.status.updatedReplicas}")
			output(t, "2", "get", tc.kind, "web", "-n", ns, "-o", allReady)
			output(t, "2", "get", tc.kind, "web", "-n", ns, "-o", "jsonpath={.status.replicas}")
			watched()
			if least := served(); least < tc.serving {
				t.Errorf("%d Pods served at one moment, want %d at every", least, tc.serving)
			}
			controlled := "rs"
			if tc.kind == "sts" {
				controlled = "pod"
			}
			owners := kubectl(t, "get", controlled, "-n", ns, "-o", "jsonpath={.items[*].metadata.ownerReferences[0].uid}")
			for _, owner := range strings.Fields(owners) {
				if owner != uid {
					t.Errorf("a %s is not its own: %s", controlled, owners)
				}
			}
			if now := kubectl(t, "get", "pod", "-n", ns, "-o", uids); tc.same && now != pods {
				t.Errorf("the Pods are others: %s, were %s", now, pods)
			}
			if now := kubectl(t, "get", "pvc", "-n", ns, "-o", uids); now != claims {
				t.Errorf("the claims are others: %s, were %s", now, claims)
			}
		})
	}
}

// lowest counts the Pods of a namespace that serve, again and again, until stop is
// called; least returns the lowest number.
func lowest(t *testing.T, c client.Client, ns string) (least func() int, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done, fewest := make(chan error, 1), 1<<30
	go func() {
		for {
			pods := &corev1.PodList{}
			if err := c.List(ctx, pods, client.InNamespace(ns)); err != nil {
				done <- err
				return
			}
			n := 0
			for i := range pods.Items {
				for _, is := range pods.Items[i].Status.Conditions {
					if is.Type == corev1.PodReady && is.Status == corev1.ConditionTrue {
						n++
					}
				}
			}
			fewest = min(fewest, n)
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int { return fewest }, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestFixedLabelsRecipe has labels that every claim gets, from the claim template and,
// before that, from the selector, and takes them out as audit says: no Pod stops, and
// the label by which a tool prunes is off the claims.
func TestFixedLabelsRecipe(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/mode=warn")
	const tracked, instance = "argocd.argoproj.io/instance", "app.kubernetes.io/instance"
	set := func(selector, template string) string {
		return fmt.Sprintf(`apiVersion: apps/v1
kind: StatefulSet
metadata: {name: mq, namespace: %s, labels: {%s: shop, %s: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: mq, %[3]s: mq%[4]s}}
  template:
    metadata: {labels: {app: mq, %[3]s: mq, %[2]s: shop}}
    spec: {containers: [{name: mq, image: mq, volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimTemplates:
  - metadata: {name: data, labels: {%[5]s%[3]s: shop}}
    spec: {storageClassName: disk, `+once+`}
`, ns, tracked, instance, selector, template)
	}
	out := apply(t, ns, set(", "+tracked+": shop", "helm.sh/chart: mq-1.2.3, "))
	contains(t, out, "fixed-labels: spec.selector.matchLabels["+tracked+"]", "its tool prunes the claims",
		"fixed-labels: spec.volumeClaimTemplates[0].metadata.labels[helm.sh/chart]")
	output(t, "2", "get", "sts", "mq", "-n", ns, "-o", allReady)
	letGo(t, strings.Fields(kubectl(t, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeName}")))
	labels := func(key string) string {
		return kubectl(t, "get", "pvc", "-n", ns, "-o",
			"jsonpath={.items[*].metadata.labels."+strings.ReplaceAll(key, ".", `\.`)+"}")
	}
	// The selector's labels are on every claim, and go before those of the template.
	for key, want := range map[string]string{
		tracked: "shop shop", instance: "mq mq", "helm.sh/chart": "mq-1.2.3 mq-1.2.3",
	} {
		if got := labels(key); got != want {
			t.Errorf("the claims have %q for %s, want %q", got, key, want)
		}
	}
	pods, claims := kubectl(t, "get", "pod", "-n", ns, "-o", uids), kubectl(t, "get", "pvc", "-n", ns, "-o", uids)

	stored, err := env.client.AppsV1().StatefulSets(ns).Get(t.Context(), "mq", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	without := set("", "")
	if out, err := try(t, without, "apply", "-f", "-"); err == nil {
		t.Fatalf("the API server accepts it:\n%s", out)
	}
	for _, path := range []string{"spec.selector", "spec.volumeClaimTemplates[0].metadata.labels"} {
		_, recipe, ok := strings.Cut(remedyAt(t, ruleNamed(t, "fixed-labels"), path, nil, stored), ", then ")
		if !ok {
			t.Fatalf("no recipe at %s", path)
		}
		t.Log(recipe)
		follow(t, recipe, without)
	}
	uid := kubectl(t, "get", "sts", "mq", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	output(t, uid+" "+uid, "get", "pod", "-n", ns, "-o", "jsonpath={.items[*].metadata.ownerReferences[0].uid}")
	output(t, pods, "get", "pod", "-n", ns, "-o", uids)
	output(t, claims, "get", "pvc", "-n", ns, "-o", uids)
	if got := labels(tracked); got != "" {
		t.Errorf("a tool would prune the claims, which have %s: %s", tracked, got)
	}
	if out := apply(t, ns, without); strings.Contains(out, "fixed-labels") {
		t.Errorf("is not mended:\n%s", out)
	}
}
