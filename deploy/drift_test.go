package deploy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/mutators"
	"stayput.dev/validators"
	"stayput.dev/webhook"
	"stayput.dev/webhook/repair"
)

// TestTheChartFollowsTheRules renders the chart, and compares the webhooks and
// the permissions with what the rules come to.
func TestTheChartFollowsTheRules(t *testing.T) {
	for repair, values := range map[repair.Mode]string{
		repair.New:    "{}",
		repair.Report: "config: {repair: report}",
		repair.Off:    "config: {repair: off}",
	} {
		t.Run(string(repair), func(t *testing.T) {
			d := webhook.Deployment{Namespace: "stayput", Service: "stayput", Repair: repair}
			objs := mustRender(t, values)
			noMeta := cmpopts.IgnoreTypes(metav1.ObjectMeta{})
			wantMutating, wantValidating := d.Configurations(validators.All, mutators.All)
			var mutating admissionv1.MutatingWebhookConfiguration
			find(t, objs, "MutatingWebhookConfiguration", "stayput", &mutating)
			if diff := cmp.Diff(wantMutating, &mutating, noMeta); diff != "" {
				t.Errorf("the chart's webhooks are not those of the rules (make generate): -want +got\n%s", diff)
			}
			var validating admissionv1.ValidatingWebhookConfiguration
			find(t, objs, "ValidatingWebhookConfiguration", "stayput", &validating)
			if diff := cmp.Diff(wantValidating, &validating, noMeta); diff != "" {
				t.Errorf("the chart's webhooks are not those of the rules (make generate): -want +got\n%s", diff)
			}
			wantRole, err := d.ClusterRole(validators.All, mutators.All)
			if err != nil {
				t.Fatal(err)
			}
			var role rbacv1.ClusterRole
			find(t, objs, "ClusterRole", "stayput", &role)
			// What only a deployment with a CA of its own needs.
			other := func(r rbacv1.PolicyRule) bool { return r.APIGroups[0] == admissionv1.GroupName }
			role.Rules, wantRole.Rules = slices.DeleteFunc(role.Rules, other), slices.DeleteFunc(wantRole.Rules, other)
			if diff := cmp.Diff(wantRole.Rules, role.Rules); diff != "" {
				t.Errorf("the chart's ClusterRole is not that of the rules (make generate): -want +got\n%s", diff)
			}
			var own rbacv1.Role
			find(t, objs, "Role", "stayput", &own)
			own.Rules = slices.DeleteFunc(own.Rules, func(r rbacv1.PolicyRule) bool { return r.Resources[0] == "secrets" })
			var want []rbacv1.PolicyRule
			if r := d.Role(mutators.All); r != nil {
				want = r.Rules
			}
			if diff := cmp.Diff(want, own.Rules, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the chart's Role is not that of repair (make generate): -want +got\n%s", diff)
			}
		})
	}
}

// TestPermissionsAreExact holds what the chart adds to the rules' permissions:
// no wildcard, Secrets and configurations by name only.
func TestPermissionsAreExact(t *testing.T) {
	for _, mode := range []string{"self-signed", "cert-manager", "files"} {
		t.Run(mode, func(t *testing.T) { exact(t, mode) })
	}
}

func exact(t *testing.T, mode string) {
	objs := mustRender(t, "certificates: {mode: "+mode+", files: {secretName: tls}}")
	var cluster rbacv1.ClusterRole
	find(t, objs, "ClusterRole", "stayput", &cluster)
	var own rbacv1.Role
	find(t, objs, "Role", "stayput", &own)
	// What the flags name is what may be read, and written where it is Stayput's.
	args := deployment(t, objs).Spec.Template.Spec.Containers[0].Args
	may := func(resource, flag string, verbs ...string) {
		t.Helper()
		i := slices.IndexFunc(own.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, resource) })
		if len(verbs) == 0 {
			if i >= 0 {
				t.Errorf("permission for %s: %v", resource, own.Rules[i])
			}
			return
		}
		if i < 0 || !slices.Equal(own.Rules[i].Verbs, verbs) || !slices.Contains(args, flag+own.Rules[i].ResourceNames[0]) {
			t.Errorf("%s: want %v on what %s names, in %v; the arguments are %q", resource, verbs, flag, own.Rules, args)
		}
	}
	secrets, certificates := []string(nil), []string(nil)
	switch mode {
	case "self-signed":
		secrets = webhook.Deployment{}.SecretRole("").Rules[0].Verbs
	case "cert-manager":
		certificates = []string{"get", "watch"}
	}
	may("secrets", "--secret=", secrets...)
	may("certificates", "--certificate=", certificates...)
	for _, r := range slices.Concat(cluster.Rules, own.Rules) {
		for _, s := range slices.Concat(r.APIGroups, r.Resources, r.Verbs) {
			if s == "*" {
				t.Errorf("wildcard in %v", r)
			}
		}
		for _, resource := range r.Resources {
			if (resource == "secrets" || r.APIGroups[0] == admissionv1.GroupName) && len(r.ResourceNames) != 1 {
				t.Errorf("%s without a name: %v", resource, r)
			}
		}
	}
	for _, r := range cluster.Rules {
		if slices.Contains(r.Resources, "secrets") || slices.Contains(r.Resources, "configmaps") ||
			slices.Contains(r.Resources, "leases") {
			t.Errorf("everywhere: %v", r)
		}
	}
}

// TestNamespacesThatAreNeverMatched cannot be talked out of it by values.
func TestNamespacesThatAreNeverMatched(t *testing.T) {
	objs := mustRender(t, "webhook: {namespaceSelector: [{key: team, operator: Exists}]}")
	var validating admissionv1.ValidatingWebhookConfiguration
	find(t, objs, "ValidatingWebhookConfiguration", "stayput", &validating)
	var mutating admissionv1.MutatingWebhookConfiguration
	find(t, objs, "MutatingWebhookConfiguration", "stayput", &mutating)
	selectors := map[string]*metav1.LabelSelector{}
	for _, w := range validating.Webhooks {
		selectors[w.Name] = w.NamespaceSelector
	}
	for _, w := range mutating.Webhooks {
		selectors[w.Name] = w.NamespaceSelector
	}
	for name, selector := range selectors {
		want := []metav1.LabelSelectorRequirement{
			{Key: "kubernetes.io/metadata.name", Operator: "NotIn", Values: []string{"kube-node-lease", "kube-public",
				"kube-system", "stayput"}},
		}
		if name == webhook.Identity { // its own comes before what the values add
			want = append(want, metav1.LabelSelectorRequirement{Key: "stayput.dev/inject", Operator: "NotIn",
				Values: []string{"enabled"}})
		}
		want = append(want, metav1.LabelSelectorRequirement{Key: "team", Operator: "Exists"})
		if diff := cmp.Diff(want, selector.MatchExpressions); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}
