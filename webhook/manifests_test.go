package webhook

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"stayput.dev/cluster"
	"stayput.dev/mutators"
	"stayput.dev/validators"
	"stayput.dev/webhook/repair"
)

// webhookOf is what both kinds of webhooks have in common.
type webhookOf struct {
	admissionv1.ValidatingWebhook
	mutating bool
}

func allWebhooks(t *testing.T, d Deployment) map[string]webhookOf {
	t.Helper()
	return webhooksOf(t, d, validators.All)
}

// webhooksOf returns the webhooks of some rules and all mutators.
func webhooksOf(t *testing.T, d Deployment, rules []*validators.Rule) map[string]webhookOf {
	t.Helper()
	mutating, validating := d.Configurations(rules, mutators.All)
	all := map[string]webhookOf{}
	for _, w := range mutating.Webhooks {
		var v admissionv1.ValidatingWebhook
		data, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		all[w.Name] = webhookOf{v, true}
	}
	for _, w := range validating.Webhooks {
		all[w.Name] = webhookOf{w, false}
	}
	return all
}

// TestWhoNamesAPod holds that one webhook is asked for the name of a Pod, and in a
// namespace with injection always the same, whatever labels another webhook gives or
// takes: the API server asks no webhook again that it has not asked before.
func TestWhoNamesAPod(t *testing.T) {
	all := allWebhooks(t, Deployment{})
	matches := func(selector *metav1.LabelSelector, set labels.Set) bool {
		t.Helper()
		if selector == nil {
			return true
		}
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		return s.Matches(set)
	}
	labelled := labels.Set{cluster.LabelSubdomain: "peers"}
	for _, tc := range []struct {
		ns, pod labels.Set
		want    string
	}{
		{nil, nil, ""},
		{nil, labelled, Identity},
		{labels.Set{cluster.LabelInject: "disabled"}, nil, ""},
		{labels.Set{cluster.LabelInject: "disabled"}, labelled, Identity},
		{labels.Set{cluster.LabelInject: cluster.InjectEnabled}, nil, IdentityNamespace},
		{labels.Set{cluster.LabelInject: cluster.InjectEnabled}, labelled, IdentityNamespace},
	} {
		var got []string
		for _, name := range []string{Identity, IdentityNamespace} {
			if w := all[name]; matches(w.NamespaceSelector, tc.ns) && matches(w.ObjectSelector, tc.pod) {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("a Pod with labels %v in a namespace with %v: %v, want %s", tc.pod, tc.ns, got, tc.want)
		}
	}
}

func TestConfigurationsAreNarrow(t *testing.T) {
	policies := map[string]admissionv1.FailurePolicyType{
		Identity: admissionv1.Fail, IdentityNamespace: admissionv1.Fail, Defaults: admissionv1.Ignore,
		Deletion: admissionv1.Fail, Conventions: admissionv1.Ignore, Pods: admissionv1.Ignore,
		Finalizers: admissionv1.Ignore, Protected: admissionv1.Fail,
	}
	all := allWebhooks(t, Deployment{Namespace: "guard", Service: "stayput"})
	if len(all) != len(policies) {
		t.Errorf("%d webhooks, want %d", len(all), len(policies))
	}
	for name, w := range all {
		if *w.FailurePolicy != policies[name] {
			t.Errorf("%s: failurePolicy %s, want %s", name, *w.FailurePolicy, policies[name])
		}
		if *w.TimeoutSeconds > 3 || *w.SideEffects != admissionv1.SideEffectClassNone ||
			*w.MatchPolicy != admissionv1.Equivalent {
			t.Errorf("%s: timeout %d, side effects %s, match policy %s", name, *w.TimeoutSeconds, *w.SideEffects, *w.MatchPolicy)
		}
		never := w.NamespaceSelector.MatchExpressions[0]
		for _, ns := range []string{"kube-system", "kube-public", "kube-node-lease", "guard"} {
			if !slices.Contains(never.Values, ns) || never.Operator != "NotIn" || never.Key != "kubernetes.io/metadata.name" {
				t.Errorf("%s matches namespace %s", name, ns)
			}
		}
		for _, r := range w.Rules {
			for _, s := range slices.Concat(r.APIGroups, r.APIVersions, r.Resources) {
				if strings.Contains(s, "*") || strings.HasSuffix(s, "/status") {
					t.Errorf("%s is asked about %q", name, s)
				}
			}
			for _, op := range r.Operations {
				if op == admissionv1.OperationAll || op == admissionv1.Connect {
					t.Errorf("%s is asked about %s", name, op)
				}
			}
		}
		if len(w.MatchConditions) == 0 {
			t.Errorf("%s: no match condition", name)
		}
		if len(validators.Audited(map[string]string{name + "/" + validators.AuditRules: "r=deny"})) != 1 {
			t.Errorf("%s: its decisions are not read in an audit log", name)
		}
	}
}

// TestEveryRuleIsAsked holds the configurations to the lists: what a rule wants
// to see is sent, by the webhook that runs the rule, and nothing else is.
func TestEveryRuleIsAsked(t *testing.T) {
	sent := map[bool]sets.Set[string]{true: {}, false: {}}
	for _, w := range allWebhooks(t, Deployment{URL: "https://127.0.0.1:1"}) {
		for _, r := range w.Rules {
			for _, op := range r.Operations {
				sent[w.mutating].Insert(r.APIGroups[0] + "/" + r.Resources[0] + " " + string(op))
			}
		}
	}
	want := map[bool]sets.Set[string]{true: {}, false: {}}
	lists := wanted(validators.All, mutators.All)
	for r := range lists.freed {
		want[false].Insert(r.group + "/" + r.name + " " + string(r.op))
	}
	for mutating, rs := range map[bool]resources{true: lists.mutated, false: lists.validated} {
		for r := range rs {
			if r.name == "pods" && !mutating && r.op != admissionv1.Create {
				continue // a Pod's updates are never asked about
			}
			want[mutating].Insert(r.group + "/" + r.name + " " + string(r.op))
		}
	}
	if !sent[false].HasAll("apps/statefulsets/scale UPDATE", "apps/deployments/scale UPDATE") ||
		sent[true].Has("apps/statefulsets/scale UPDATE") {
		t.Error("scaling is for the validating webhook")
	}
	for mutating := range want {
		if missing := want[mutating].Difference(sent[mutating]); missing.Len() > 0 {
			t.Errorf("mutating %v: never asked about %q", mutating, sets.List(missing))
		}
		if more := sent[mutating].Difference(want[mutating]); more.Len() > 0 {
			t.Errorf("mutating %v: asked about %q, which nobody wants to see", mutating, sets.List(more))
		}
	}
}

// TestPermissions holds the two roles to what rules read and repair writes.
func TestPermissions(t *testing.T) {
	events := []string{"create events.k8s.io/events", "patch events.k8s.io/events"}
	for mode, want := range map[repair.Mode][]string{
		repair.Off:    nil,
		repair.Report: events,
		repair.New:    append([]string{"patch /persistentvolumes"}, events...),
		"":            append([]string{"patch /persistentvolumes"}, events...),
	} {
		d := Deployment{Namespace: "here", Repair: mode}
		role, err := d.ClusterRole(validators.All, mutators.All)
		if err != nil {
			t.Fatal(err)
		}
		checkReads(t, role)
		role.Rules = slices.DeleteFunc(role.Rules,
			func(r rbacv1.PolicyRule) bool { return slices.Equal(r.ResourceNames, []string{"stayput"}) })
		if got := writes(role.Rules); !got.Equal(sets.New(want...)) {
			t.Errorf("repair %q: may %q, want %q", mode, sets.List(got), want)
		}
		own := d.Role(mutators.All)
		if (own == nil) != (mode == repair.Off) {
			t.Errorf("repair %q: role in its own namespace: %v", mode, own)
		}
		if own != nil && own.Namespace != "here" {
			t.Errorf("a role in %q", own.Namespace)
		}
	}
	for _, r := range (Deployment{}).Role(mutators.All).Rules {
		if !slices.Equal(r.ResourceNames, []string{"stayput"}) && !slices.Equal(r.Verbs, []string{"create"}) {
			t.Errorf("may %q all %q", r.Verbs, r.Resources)
		}
	}
	without := slices.DeleteFunc(slices.Clone(mutators.All), func(m *mutators.Mutator) bool { return m.Repair })
	role, err := Deployment{}.ClusterRole(validators.All, without)
	certificates := role.Rules[len(role.Rules)-1]
	if got := append(certificates.Resources, certificates.Verbs...); !slices.Equal(got,
		[]string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations", "get", "watch",
			"patch"}) || !slices.Equal(certificates.ResourceNames, []string{"stayput"}) {
		t.Errorf("on its own configurations: %q", got)
	}
	role.Rules = role.Rules[:len(role.Rules)-1]
	if err != nil || writes(role.Rules).Len() > 0 || (Deployment{}).Role(without) != nil {
		t.Errorf("without a mutator to repair: %v, %v", role, err)
	}
}

// writes returns what more than reading rules permit.
func writes(rules []rbacv1.PolicyRule) sets.Set[string] {
	all := sets.Set[string]{}
	for _, r := range rules {
		for _, verb := range r.Verbs {
			if slices.Contains([]string{"get", "list", "watch"}, verb) {
				continue
			}
			for _, resource := range r.Resources {
				all.Insert(verb + " " + r.APIGroups[0] + "/" + resource)
			}
		}
	}
	return all
}

func checkReads(t *testing.T, role *rbacv1.ClusterRole) {
	t.Helper()
	readable := sets.Set[string]{}
	for _, r := range role.Rules {
		if slices.Contains(r.Verbs, "get") {
			readable.Insert(r.Resources...)
		}
	}
	for _, resource := range []string{"namespaces", "statefulsets", "deployments", "persistentvolumes",
		"persistentvolumeclaims", "storageclasses", "services", "pods", "nodes", "jobs", "cronjobs"} {
		if !readable.Has(resource) {
			t.Errorf("may not read %s", resource)
		}
	}
	if readable.HasAny("secrets", "configmaps", "horizontalpodautoscalers", "*") {
		t.Errorf("may read %q", sets.List(readable))
	}
}

// TestUpdatesOfWhatIsReadAreAsked: the condition that leaves out updates compares
// every field that some check or mutator reads, of each kind that is sent.
func TestUpdatesOfWhatIsReadAreAsked(t *testing.T) {
	conditions := map[bool]string{}
	for name, w := range allWebhooks(t, Deployment{URL: "https://127.0.0.1:1"}) {
		for _, c := range w.MatchConditions {
			if c.Name == "changes-what-is-read" {
				conditions[w.mutating] += c.Expression
				if name != Defaults && name != Conventions {
					t.Errorf("%s has it", name)
				}
			}
		}
	}
	compared := func(mutating bool, path, by string) {
		t.Helper()
		for _, part := range []string{"has(object.%[1]s) != has(oldObject.%[1]s)", "object.%[1]s != oldObject.%[1]s"} {
			if !strings.Contains(conditions[mutating], fmt.Sprintf(part, path)) {
				t.Errorf("mutating %v: %s is not compared, and %s reads it", mutating, path, by)
			}
		}
	}
	reads := 0
	for _, r := range validators.All {
		for _, c := range r.Checks {
			if c.When != validators.Stored && c.When != validators.Updated || c.Kind.Kind == "Pod" ||
				!cluster.Watched(c.Kind) {
				continue
			}
			for _, read := range c.Reads() {
				elems := cluster.SplitPath(read.Path)
				top := elems[0]
				if top == "metadata" {
					top += "." + elems[1]
				}
				compared(r.Level == validators.Hint, top, r.Name)
				reads++
			}
		}
	}
	for _, m := range mutators.All {
		for _, e := range m.Edits {
			if e.When == mutators.Updated {
				for _, path := range validators.Written(cluster.Known(e.Kind).Object) {
					compared(true, path, m.Name)
				}
			}
		}
	}
	if reads < 50 {
		t.Errorf("only %d reads were looked at", reads)
	}
}

// TestEachKindIsKnown: what a rule or a mutator is about, and what it looks up,
// stands in the table of kinds, from which all else follows.
func TestEachKindIsKnown(t *testing.T) {
	about := map[schema.GroupVersionKind]string{}
	reads := func(of string, objs []cluster.Object) {
		for _, obj := range objs {
			if cluster.KnownObject(obj) == nil {
				t.Errorf("%s reads a %T, which is not in cluster.Kinds", of, obj)
			}
		}
	}
	for _, r := range validators.All {
		reads(r.Name, r.Reads)
		for _, c := range r.Checks {
			about[c.Kind] = r.Name
		}
	}
	for _, m := range mutators.All {
		reads(m.Name, m.Reads)
		for _, e := range m.Edits {
			about[e.Kind] = m.Name
		}
	}
	reads("what is adopted", validators.Adopted(validators.All))
	for gvk, of := range about {
		if cluster.Known(gvk) == nil {
			t.Errorf("%s is about %s, which is not in cluster.Kinds", of, gvk)
		}
	}
}

// TestArrows keeps the packages apart. The list has the lowest first: none
// imports one behind it, nor any that is not in the list; some pairs are kept
// apart beside that, and rules know nothing of HTTP and YAML.
func TestArrows(t *testing.T) {
	layers := []string{
		"internal/bytype", "internal/pattern", "internal/jsonscan", "internal/quantity", "internal/fastjson",
		"internal/same",
		"cluster", "cluster/cache/trim", "cluster/cache/packed",
		"cluster/cache", "manifest/splice", "manifest", "internal/lsp",
		"validators", "mutators", "internal/config", "certs", "recovery", "webhook/repair", "webhook", "report", "rehearsal",
		"internal/cli", "internal/kubeconfig", "serve", "cmd/stayput-webhook", "cmd/stayput",
	}
	far := []string{"net/http", "flag", "log/slog", "github.com/prometheus/client_golang/prometheus",
		"github.com/spf13/cobra", "github.com/spf13/pflag",
		"stayput.dev/manifest", "stayput.dev/cluster/cache"}
	never := map[string][]string{
		"cluster":    far,
		"validators": far,
		"mutators":   append(far, "stayput.dev/validators"),
		"certs":      {"stayput.dev/validators", "stayput.dev/mutators", "stayput.dev/cluster"},
		"recovery":   {"stayput.dev/validators", "stayput.dev/mutators", "stayput.dev/certs"},
	}
	seen := 0
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "stayput.dev/...") {
		imports := strings.Fields(line)
		layer := strings.TrimPrefix(imports[0], "stayput.dev/")
		rank := slices.Index(layers, layer)
		if rank < 0 {
			continue
		}
		seen++
		for _, imported := range imports[1:] {
			own, ok := strings.CutPrefix(imported, "stayput.dev/")
			if ok && !slices.Contains(layers[:rank], own) || slices.Contains(never[layer], imported) {
				t.Errorf("%s imports %s", layer, imported)
			}
		}
	}
	if seen != len(layers) {
		t.Errorf("%d of %d packages were found", seen, len(layers))
	}
}

// goList returns the lines that go list prints.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %q: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
