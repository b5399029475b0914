package e2e

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestBypasses tries unusual ways to write an object, which a rule might miss, and
// every way to act as another user.
func TestBypasses(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	apply(t, ns, fixedHostname) // of one replica, which is fine
	three := strings.Replace(fixedHostname, "replicas: 1", "replicas: 3", 1)
	refused := func(t *testing.T, out string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("allowed:\n%s", out)
		}
		contains(t, out, "deployment-hostname")
	}
	for name, args := range map[string][]string{
		"a strategic merge patch": {"patch", "deployment", "web", "--type=strategic",
			`-p={"spec":{"replicas":3}}`},
		"a merge patch": {"patch", "deployment", "web", "--type=merge",
			`-p={"spec":{"replicas":3}}`},
		"a JSON patch": {"patch", "deployment", "web", "--type=json",
			`-p=[{"op":"replace","path":"/spec/replicas","value":3}]`},
		"the subresource scale": {"patch", "deployment", "web", "--subresource=scale", "--type=merge",
			`-p={"spec":{"replicas":3}}`},
		"scale, as a dry run": {"scale", "deployment", "web", "--replicas=3", "--dry-run=server"},
		"a patch, as a dry run": {"patch", "deployment", "web", "--dry-run=server",
			`-p={"spec":{"replicas":3}}`},
		"a patch with an exemption": {"patch", "deployment", "web",
			`-p={"metadata":{"annotations":{"exempt.stayput.dev/deployment-hostname":""}},"spec":{"replicas":3}}`},
		"a patch that pretends to be a controller's": {"patch", "deployment", "web",
			"--field-manager=kube-controller-manager", `-p={"spec":{"replicas":3}}`},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := try(t, "", append(args, "-n", ns)...)
			refused(t, out, err)
		})
	}
	other := strings.Replace(three, "{name: web}", "{name: other}", 1)
	for name, tc := range map[string]struct {
		manifest string
		args     []string
	}{
		"server-side apply":             {other, []string{"apply", "--server-side", "-f", "-"}},
		"server-side apply of a change": {three, []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}},
		"replace":                       {three, []string{"replace", "-f", "-"}},
		"create, as a dry run":          {other, []string{"create", "--dry-run=server", "-f", "-"}},
		"generateName": {strings.Replace(three, "{name: web}", "{generateName: web-}", 1),
			[]string{"create", "-f", "-"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := try(t, tc.manifest, append(tc.args, "-n", ns)...)
			refused(t, out, err)
		})
	}
	output(t, "1", "get", "deployment", "web", "-n", ns, "-o", "jsonpath={.spec.replicas}")
	output(t, "deployment.apps/web", "get", "deployments", "-n", ns, "-o", "name")

	t.Run("an annotation of mirror Pods", func(t *testing.T) {
		out, err := try(t, `apiVersion: v1
kind: Pod
metadata: {name: mirror, labels: {stayput.dev/subdomain: web},
	annotations: {kubernetes.io/config.mirror: forged, kubernetes.io/config.source: file}}
spec: {nodeName: nowhere, automountServiceAccountToken: false, containers: [{name: a, image: a}]}
`, "create", "-n", ns, "-f", "-", "--dry-run=server", "-o", "jsonpath={.spec.hostname}.{.spec.subdomain}")
		if err == nil && !strings.HasSuffix(out, "mirror.web") {
			t.Errorf("it was not asked about: %s", out)
		}
		if err != nil {
			t.Error(out)
		}
	})
	t.Run("impersonation of a controller", func(t *testing.T) {
		token := newAccount(t, ns, "tenant", "rolebinding --clusterrole=admin")
		for _, who := range []string{"system:serviceaccount:kube-system:deployment-controller",
			"system:kube-controller-manager", "system:node:n"} {
			out, err := try(t, "", "--kubeconfig=/dev/null", "--server="+env.Cluster.Config().Host, "--insecure-skip-tls-verify",
				"--token="+token, "--as="+who,
				"scale", "deployment", "web", "-n", ns, "--replicas=3")
			if err == nil {
				t.Errorf("a tenant could be %s:\n%s", who, out)
			}
			contains(t, out, "cannot impersonate")
		}
	})
	t.Run("another served version", func(t *testing.T) {
		_, lists, err := env.client.Discovery().ServerGroupsAndResources()
		if err != nil {
			t.Fatal(err)
		}
		api := env.client.AdmissionregistrationV1()
		validating, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "stayput", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range validating.Webhooks {
			for _, r := range w.Rules {
				for _, list := range lists {
					group, version, found := strings.Cut(list.GroupVersion, "/")
					if !found {
						group, version = "", group
					}
					if !slices.Contains(r.APIGroups, group) || slices.Contains(r.APIVersions, version) {
						continue
					}
					for _, resource := range list.APIResources { // the API server would convert it
						if slices.Contains(r.Resources, resource.Name) && string(*w.MatchPolicy) != "Equivalent" {
							t.Errorf("%s misses %s in %s", w.Name, resource.Name, list.GroupVersion)
						}
					}
				}
			}
		}
	})
}
