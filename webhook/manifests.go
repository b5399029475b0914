package webhook

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/mutators"
	"stayput.dev/validators"
	"stayput.dev/webhook/repair"
)

// The webhooks, by the name that the API server's messages and metrics give
// them.
const (
	Identity          = "identity.stayput.dev"
	IdentityNamespace = "identity-namespace.stayput.dev"
	Defaults          = "defaults.stayput.dev"
	Deletion          = "deletion.stayput.dev"
	Protected         = "protected.stayput.dev"
	Conventions       = "conventions.stayput.dev"
	Finalizers        = "finalizers.stayput.dev"
	Pods              = "pods.stayput.dev"
)

// A Deployment says where the API server finds the webhook.
type Deployment struct {
	// Name of the two configurations; empty means stayput.
	Name string

	// Namespace that Stayput runs in, which is never matched, so that an
	// outage cannot stop its own Pods. Empty outside a cluster.
	Namespace string

	// Service that leads to Stayput, and its port. Empty with URL.
	Service string
	Port    int32

	// URL is https://host:port, instead of a Service.
	URL string

	// Repair is what the configuration says; empty means [repair.New].
	Repair repair.Mode

	// CABundle is the PEM of the authorities that the API server trusts.
	CABundle []byte
}

// Configurations returns the objects to apply so that the API server sends
// Stayput exactly the requests that some rule or mutator needs.
func (d Deployment) Configurations(rules []*validators.Rule,
	ms []*mutators.Mutator) (*admissionv1.MutatingWebhookConfiguration, *admissionv1.ValidatingWebhookConfiguration) {
	name := cmp.Or(d.Name, "stayput")
	mutating := &admissionv1.MutatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(),
			Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": "stayput"}},
	}
	validating := &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(),
			Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": "stayput"}},
	}
	for _, e := range entries(wanted(rules, ms)) {
		if len(e.rules) == 0 {
			continue
		}
		timeout, equivalent, none := int32(3), admissionv1.Equivalent, admissionv1.SideEffectClassNone
		selector := d.namespaceSelector(e)
		if e.mutating {
			mutating.Webhooks = append(mutating.Webhooks, admissionv1.MutatingWebhook{
				Name: e.name, ClientConfig: d.client(MutatePath), Rules: e.rules, FailurePolicy: &e.policy,
				MatchPolicy: &equivalent, NamespaceSelector: selector, ObjectSelector: e.objects, SideEffects: &none,
				TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"}, MatchConditions: e.conditions,
				ReinvocationPolicy: new(admissionv1.IfNeededReinvocationPolicy),
			})
			continue
		}
		validating.Webhooks = append(validating.Webhooks, admissionv1.ValidatingWebhook{
			Name: e.name, ClientConfig: d.client(ValidatePath), Rules: e.rules, FailurePolicy: &e.policy,
			MatchPolicy: &equivalent, NamespaceSelector: selector, ObjectSelector: e.objects, SideEffects: &none,
			TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"}, MatchConditions: e.conditions,
		})
	}
	return mutating, validating
}

func (d Deployment) client(path string) admissionv1.WebhookClientConfig {
	c := admissionv1.WebhookClientConfig{CABundle: d.CABundle}
	if d.URL != "" {
		c.URL = new(strings.TrimSuffix(d.URL, "/") + path)
		return c
	}
	c.Service = &admissionv1.ServiceReference{Namespace: d.Namespace, Name: d.Service, Path: &path,
		Port: new(cmp.Or(d.Port, 443))}
	return c
}

// namespaceSelector excludes the namespaces that the control plane and Stayput
// itself need to start.
func (d Deployment) namespaceSelector(e entry) *metav1.LabelSelector {
	never := []string{"kube-node-lease", "kube-public", "kube-system"}
	if d.Namespace != "" && !slices.Contains(never, d.Namespace) {
		never = append(never, d.Namespace)
	}
	return &metav1.LabelSelector{
		MatchLabels: e.namespaces.MatchLabels,
		MatchExpressions: append([]metav1.LabelSelectorRequirement{{
			Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: never,
		}}, e.namespaces.MatchExpressions...),
	}
}

// An entry is one webhook of a configuration.
type entry struct {
	name       string
	mutating   bool
	policy     admissionv1.FailurePolicyType
	rules      []admissionv1.RuleWithOperations
	namespaces metav1.LabelSelector
	objects    *metav1.LabelSelector
	conditions []admissionv1.MatchCondition
}

// entries sorts resources into webhooks by failure policy: where an outage
// would lose a name or data permanently, the request waits.
func entries(want wants) []entry {
	labelled := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: cluster.LabelSubdomain,
		Operator: metav1.LabelSelectorOpExists}}}
	injected := metav1.LabelSelector{MatchLabels: map[string]string{cluster.LabelInject: cluster.InjectEnabled}}
	notInjected := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: cluster.LabelInject,
		Operator: metav1.LabelSelectorOpNotIn, Values: []string{cluster.InjectEnabled}}}}
	pod := func(r resource) bool { return r.name == "pods" }
	notPod := func(r resource) bool { return !pod(r) }
	destroys := func(r resource) bool {
		return r.op == admissionv1.Delete && (r.name == "persistentvolumeclaims" || r.name == "persistentvolumes" ||
			r.name == "namespaces")
	}
	defaults := want.mutated.only(notPod)
	shield, others := protection(want)
	conventions := want.validated.only(func(r resource) bool { return notPod(r) && !destroys(r) })
	return []entry{
		{
			name: Identity, mutating: true, policy: admissionv1.Fail, rules: want.mutated.only(pod),
			namespaces: notInjected, objects: labelled,
			conditions: []admissionv1.MatchCondition{notNode, notStatefulSetPod},
		},
		{
			// All Pods of these namespaces: of the webhooks that an object matches once another
			// one has changed it, the API server asks only those again that it has asked before.
			name: IdentityNamespace, mutating: true, policy: admissionv1.Fail, rules: want.mutated.only(pod),
			namespaces: injected,
			conditions: []admissionv1.MatchCondition{notNode, notStatefulSetPod},
		},
		{
			name: Defaults, mutating: true, policy: admissionv1.Ignore, rules: defaults,
			conditions: []admissionv1.MatchCondition{notFollowUp, notBeingDeleted, changesWhatIsRead(defaults)},
		},
		{
			name: Deletion, policy: admissionv1.Fail, rules: want.validated.only(destroys),
			objects:    others,
			conditions: []admissionv1.MatchCondition{notController, notBeingDeleted, boundVolume},
		},
		shield,
		{
			name: Conventions, policy: admissionv1.Ignore, rules: conventions,
			conditions: append([]admissionv1.MatchCondition{notFollowUp, notBeingDeleted, changesWhatIsRead(conventions)},
				notShielded(shield)...),
		},
		{
			name: Finalizers, policy: admissionv1.Ignore,
			rules:      want.freed.only(func(resource) bool { return true }),
			conditions: []admissionv1.MatchCondition{byPerson, guardTakenOff},
		},
		{
			name: Pods, policy: admissionv1.Ignore,
			// A Pod's spec hardly changes after its creation, but its status
			// often does.
			rules:      want.validated.only(func(r resource) bool { return pod(r) && r.op == admissionv1.Create }),
			conditions: []admissionv1.MatchCondition{notNode, notStatefulSetPod, interestingPod},
		},
	}
}

// protection returns the webhook of what a label keeps from deletion, and the
// selector of all other objects, nil if no rule asks for it. Every request is sent
// to one of both alone: the webhook runs all rules.
func protection(want wants) (shield entry, others *metav1.LabelSelector) {
	shield = entry{
		name: Protected, policy: admissionv1.Fail, rules: want.shielded.only(func(resource) bool { return true }),
		objects:    &metav1.LabelSelector{MatchLabels: map[string]string{cluster.LabelProtect: cluster.ProtectTrue}},
		conditions: []admissionv1.MatchCondition{notController, notBeingDeleted},
	}
	if len(shield.rules) > 0 {
		others = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: cluster.LabelProtect,
			Operator: metav1.LabelSelectorOpNotIn, Values: []string{cluster.ProtectTrue}}}}
	}
	return shield, others
}

// notShielded leaves out the deletions of StatefulSets that go to the webhook of
// what a label keeps from deletion. Their updates do not, so that a selector would
// leave out too much.
func notShielded(shield entry) []admissionv1.MatchCondition {
	if len(shield.rules) == 0 {
		return nil
	}
	return []admissionv1.MatchCondition{{Name: "not-deletion-of-protected",
		Expression: fmt.Sprintf("request.operation != 'DELETE' || request.resource.resource != 'statefulsets' || "+
			"!has(oldObject.metadata.labels) || !('%[1]s' in oldObject.metadata.labels) || "+
			"oldObject.metadata.labels['%[1]s'] != '%[2]s'", cluster.LabelProtect, cluster.ProtectTrue)}}
}

// The conditions under which the API server does not call the webhook, so that
// an outage of Stayput cannot stop requests that only finish what somebody else
// began. oldObject is null on CREATE, object on DELETE.
var (
	notController = admissionv1.MatchCondition{Name: "not-by-kubernetes", Expression: "!(" + byKubernetes() + ")"}
	notFollowUp   = admissionv1.MatchCondition{Name: "not-followed-up-by-kubernetes",
		Expression: "request.operation == 'CREATE' || !(" + byKubernetes() + ")"}
	notNode         = admissionv1.MatchCondition{Name: "not-by-node", Expression: "!(" + byNode + ")"}
	notBeingDeleted = admissionv1.MatchCondition{Name: "not-being-deleted",
		Expression: "oldObject == null || !has(oldObject.metadata.deletionTimestamp)"}
	// What Kubernetes and operators take off they have seen to.
	byPerson = admissionv1.MatchCondition{Name: "by-person", Expression: "!(" + byKubernetes() +
		") && !(has(request.userInfo.username) && request.userInfo.username.startsWith('system:serviceaccount:'))"}
	guardTakenOff = admissionv1.MatchCondition{Name: "guard-taken-off-while-being-deleted",
		Expression: "has(oldObject.metadata.deletionTimestamp) && has(oldObject.metadata.finalizers) && " +
			"oldObject.metadata.finalizers.exists(f, f in ['" + strings.Join(validators.Guards(), "', '") + "'] && " +
			"!(has(object.metadata.finalizers) && f in object.metadata.finalizers))"}
	boundVolume = admissionv1.MatchCondition{
		Name: "volume-is-bound",
		Expression: "request.resource.resource != 'persistentvolumes' || (has(oldObject.status) && " +
			"has(oldObject.status.phase) && oldObject.status.phase == 'Bound')",
	}
	// Anybody can write an owner; what its controller creates of a StatefulSet has the
	// name that it gives (cluster.ControlledBy).
	notStatefulSetPod = admissionv1.MatchCondition{
		Name: "not-of-statefulset",
		Expression: "!has(request.userInfo.username) || !(request.userInfo.username in ['" +
			strings.Join(cluster.UsersOf("statefulset-controller"), "', '") + "']) || " +
			"!has(object.metadata.ownerReferences) || !object.metadata.ownerReferences.exists(o, " + isController + " && " +
			isStatefulSet + ")",
	}
	// Rules about what a Pod runs review it in the template of its controller, and
	// a Pod that has none by itself. One that is of a StatefulSet, and that its controller
	// has not created, may stand in the way of those that it does.
	interestingPod = admissionv1.MatchCondition{
		Name: "without-controller-or-has-name-or-host-path",
		Expression: "!has(object.metadata.ownerReferences) || " +
			"!object.metadata.ownerReferences.exists(o, " + isController + " && !(" + isStatefulSet + ")) || " +
			"(has(object.spec.subdomain) && object.spec.subdomain != '') || " +
			"(has(object.metadata.labels) && object.metadata.labels.exists(k, " + ownKey + ")) || " +
			"(has(object.metadata.annotations) && object.metadata.annotations.exists(k, " + ownKey + ")) || " +
			"(has(object.spec.volumes) && object.spec.volumes.exists(v, has(v.hostPath)))",
	}
)

// changesWhatIsRead leaves out updates that change nothing which a rule or a
// mutator of these kinds may read (validators.Unchanged), because both answer
// them with yes: those of a finalizer, an owner, managed fields, or of nothing.
// Two fields that CEL finds equal are equal in Go too; of two that mean the same
// and differ, the webhook decides.
func changesWhatIsRead(rules []admissionv1.RuleWithOperations) admissionv1.MatchCondition {
	written := map[string]bool{}
	for _, rule := range rules {
		// The spec of a Scale is compared with those of others.
		if kind := cluster.KnownResource(rule.Resources[0]); kind != nil &&
			slices.Contains(rule.Operations, admissionv1.Update) {
			for _, path := range validators.Written(kind.Object) {
				written[path] = true
			}
		}
	}
	differ := []string{"request.operation != 'UPDATE'"}
	for _, path := range slices.Sorted(maps.Keys(written)) {
		differ = append(differ, fmt.Sprintf("has(object.%[1]s) != has(oldObject.%[1]s)", path),
			fmt.Sprintf("has(object.%[1]s) && object.%[1]s != oldObject.%[1]s", path))
	}
	return admissionv1.MatchCondition{Name: "changes-what-is-read", Expression: strings.Join(differ, " || ")}
}

// These say in CEL what an owner o is.
const (
	isController  = "has(o.controller) && o.controller"
	isStatefulSet = "o.kind == 'StatefulSet' && o.apiVersion.startsWith('apps/')"
)

// ownKey says in CEL whether a key k is one of Stayput's own.
const ownKey = "k.startsWith('stayput.dev/') || k.startsWith('" + cluster.ExemptPrefix + "')"

const byNode = "has(request.userInfo.groups) && '" + cluster.NodesGroup + "' in request.userInfo.groups"

func byKubernetes() string {
	return byNode + " || has(request.userInfo.username) && request.userInfo.username in ['" +
		strings.Join(cluster.ControllerUsers(), "', '") + "']"
}

// A resource is an operation on a kind of object.
type resource struct {
	group, version, name string
	op                   admissionv1.OperationType
}

type resources map[resource]bool

// wants are the operations that some rule or mutator needs.
type wants struct{ mutated, validated, freed, shielded resources }

func wanted(rules []*validators.Rule, ms []*mutators.Mutator) wants {
	w := wants{resources{}, resources{}, resources{}, resources{}}
	for _, m := range ms {
		for _, e := range m.Edits {
			w.mutated.add(e.Kind, mutatorOperations[e.When]...)
		}
	}
	for _, e := range []struct {
		in    resources
		rules []*validators.Rule
	}{{w.mutated, validators.Hints(rules)}, {w.validated, validators.WithoutHints(rules)}} {
		for _, r := range e.rules {
			for _, c := range r.Checks {
				if c.When == validators.Freed {
					w.freed.add(c.Kind, admissionv1.Update)
					continue
				}
				e.in.add(c.Kind, ruleOperations[c.When]...)
				if r.Chosen && c.When == validators.Deleted {
					w.shielded.add(c.Kind, admissionv1.Delete)
				}
			}
		}
	}
	// kubectl scale and the HorizontalPodAutoscaler update only this
	// subresource.
	for _, kind := range cluster.Kinds {
		gvr := kind.GVR()
		if update := (resource{gvr.Group, gvr.Version, gvr.Resource, admissionv1.Update}); kind.Scalable &&
			w.validated[update] {
			update.name += "/scale"
			w.validated[update] = true
		}
	}
	return w
}

var (
	ruleOperations = map[validators.Event][]admissionv1.OperationType{
		validators.Stored:  {admissionv1.Create, admissionv1.Update},
		validators.Created: {admissionv1.Create}, validators.Arriving: {admissionv1.Create},
		validators.Updated: {admissionv1.Update},
		validators.Deleted: {admissionv1.Delete},
	}
	mutatorOperations = map[mutators.Event][]admissionv1.OperationType{
		mutators.Updated: {admissionv1.Update},
		mutators.Created: {admissionv1.Create},
	}
)

func (rs resources) add(gvk schema.GroupVersionKind, ops ...admissionv1.OperationType) {
	if !cluster.Watched(gvk) {
		return // only lint and audit review it
	}
	gvr := cluster.Known(gvk).GVR()
	for _, op := range ops {
		rs[resource{gvr.Group, gvr.Version, gvr.Resource, op}] = true
	}
}

// only returns the rules of the resources for which keep holds.
func (rs resources) only(keep func(resource) bool) []admissionv1.RuleWithOperations {
	type target struct{ group, version, name string }
	ops := map[target][]admissionv1.OperationType{}
	for r := range rs {
		if !keep(r) {
			continue
		}
		t := target{r.group, r.version, r.name}
		ops[t] = append(ops[t], r.op)
	}
	var out []admissionv1.RuleWithOperations
	for _, t := range slices.SortedFunc(maps.Keys(ops), func(a, b target) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.name, b.name))
	}) {
		slices.Sort(ops[t])
		scope := admissionv1.NamespacedScope
		if kind := cluster.KnownResource(t.name); kind != nil && kind.ClusterScoped {
			scope = admissionv1.ClusterScope
		}
		out = append(out, admissionv1.RuleWithOperations{
			Operations: ops[t],
			Rule: admissionv1.Rule{
				APIGroups: []string{t.group}, APIVersions: []string{t.version}, Resources: []string{t.name}, Scope: &scope,
			},
		})
	}
	return out
}

// Watches returns the kinds of [Reads] of which admission knows anything: one
// informer each.
func Watches(rules []*validators.Rule, ms []*mutators.Mutator) ([]cluster.Object, error) {
	reads, err := Reads(rules, ms)
	return slices.DeleteFunc(reads, func(obj cluster.Object) bool {
		kind := cluster.KnownObject(obj)
		return !kind.ClaimsOnly && !cluster.Watched(kind.GVK())
	}), err
}

// Reads returns the kinds that rules, mutators and the webhook itself look up,
// sorted by kind.
func Reads(rules []*validators.Rule, ms []*mutators.Mutator) ([]cluster.Object, error) {
	// The mode is read from the Namespace; a Scale names its workload.
	objs := []cluster.Object{&corev1.Namespace{}, &appsv1.StatefulSet{}, &appsv1.Deployment{}}
	for _, r := range rules {
		objs = append(objs, r.Reads...)
	}
	for _, m := range ms {
		objs = append(objs, m.Reads...)
	}
	if len(repair.Of(ms)) > 0 {
		objs = append(objs, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{})
	}
	byKind := map[string]cluster.Object{}
	for _, obj := range objs {
		kind := cluster.KnownObject(obj)
		if kind == nil {
			return nil, fmt.Errorf("%T is read, and is not in the table of kinds", obj)
		}
		byKind[kind.GVK().String()] = obj
	}
	var out []cluster.Object
	for _, k := range slices.Sorted(maps.Keys(byKind)) {
		out = append(out, byKind[k])
	}
	return out, nil
}

// ClusterRole returns the permissions that the lookups and repair need, and no
// others.
func (d Deployment) ClusterRole(rules []*validators.Rule, ms []*mutators.Mutator) (*rbacv1.ClusterRole, error) {
	reads, err := Watches(rules, ms)
	if err != nil {
		return nil, err
	}
	groups := map[string][]string{}
	for _, obj := range reads {
		gvr := cluster.KnownObject(obj).GVR()
		groups[gvr.Group] = append(groups[gvr.Group], gvr.Resource)
	}
	role := &rbacv1.ClusterRole{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: cmp.Or(d.Name, "stayput"),
			Labels: map[string]string{"app.kubernetes.io/name": "stayput"}},
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		slices.Sort(groups[group])
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: groups[group],
			Verbs: []string{"get", "list", "watch"}})
	}
	for _, obj := range validators.Adopted(rules) { // listed before a denial, not watched
		gvr := cluster.KnownObject(obj).GVR()
		if !slices.Contains(groups[gvr.Group], gvr.Resource) {
			role.Rules = append(role.Rules, rbacv1.PolicyRule{
				APIGroups: []string{gvr.Group}, Resources: []string{gvr.Resource}, Verbs: []string{"list"},
			})
		}
	}
	role.Rules = append(role.Rules, d.configurationRule())
	if len(repair.Of(ms)) == 0 || d.Repair == repair.Off {
		return role, nil
	}
	if d.Repair != repair.Report {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"persistentvolumes"},
			Verbs: []string{"patch"}})
	}
	role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"},
		Verbs: []string{"create", "patch"}})
	return role, nil
}

// Role returns the permissions that repair needs in Stayput's own namespace:
// for the Lease of its leader election, and for the ConfigMap that records the
// first start. It is nil if nothing is repaired. Creation cannot be limited to
// a name, because its path contains none.
func (d Deployment) Role(ms []*mutators.Mutator) *rbacv1.Role {
	if len(repair.Of(ms)) == 0 || d.Repair == repair.Off {
		return nil
	}
	name := []string{repair.LeaseName}
	return &rbacv1.Role{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: metav1.ObjectMeta{Name: cmp.Or(d.Name, "stayput"), Namespace: d.Namespace,
			Labels: map[string]string{"app.kubernetes.io/name": "stayput"}},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create"}},
			{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: name,
				Verbs: []string{"get", "update"}},
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create"}},
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: name, Verbs: []string{"get"}},
		},
	}
}
