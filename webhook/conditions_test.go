package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionreviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/validators"
)

// An asking is one webhook of a configuration, as an API server applies it.
type asking struct {
	webhookOf
	objects, namespaces labels.Selector
	conditions          matchconditions.Matcher
}

// askings compiles the webhooks of rules as the oldest API server does for which the
// chart is. A condition that cannot be evaluated is an error of the request.
func askings(t *testing.T, rules []*validators.Rule) (all []asking) {
	t.Helper()
	compiler := cel.NewConditionCompiler(environment.MustBaseEnvSet(version.MajorMinor(1, 30)))
	webhooks := webhooksOf(t, Deployment{}, rules)
	for _, name := range slices.Sorted(maps.Keys(webhooks)) {
		w := webhooks[name]
		var expressions []cel.ExpressionAccessor
		for _, c := range w.MatchConditions {
			expressions = append(expressions, (*matchconditions.MatchCondition)(&c))
		}
		compiled := compiler.CompileCondition(expressions, cel.OptionalVariableDeclarations{HasAuthorizer: true},
			environment.NewExpressions)
		for _, err := range compiled.CompilationErrors() {
			t.Fatalf("%s: %v", w.Name, err)
		}
		a := asking{webhookOf: w, objects: labels.Everything(),
			conditions: matchconditions.NewMatcher(compiled, new(admissionv1.Fail), "webhook", "", w.Name)}
		var err error
		if w.ObjectSelector != nil {
			if a.objects, err = metav1.LabelSelectorAsSelector(w.ObjectSelector); err != nil {
				t.Fatal(err)
			}
		}
		if a.namespaces, err = metav1.LabelSelectorAsSelector(w.NamespaceSelector); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// asks says whether the webhook is asked, or else which condition keeps it from that;
// neither if it is not for such requests.
func (a asking) asks(ctx context.Context, r *random) (asked bool, kept string, err error) {
	if !slices.ContainsFunc(a.Rules, func(rule admissionv1.RuleWithOperations) bool {
		return rule.APIGroups[0] == r.resource.Group && rule.Resources[0] == r.resources() &&
			slices.Contains(rule.Operations, r.operation())
	}) {
		return false, "", nil
	}
	has := func(obj cluster.Object) bool { return obj != nil && a.objects.Matches(labels.Set(obj.GetLabels())) }
	if ns := r.namespace(); !has(r.old) && !has(r.obj) || ns != nil && !a.namespaces.Matches(labels.Set(ns.Labels)) {
		return false, "", nil
	}
	attributes := &admission.VersionedAttributes{VersionedKind: r.kind}
	if r.old != nil {
		attributes.VersionedOldObject.Set(r.old)
	}
	if r.obj != nil {
		attributes.VersionedObject.Set(r.obj)
	}
	about := r.about()
	attributes.Attributes = admission.NewAttributesRecord(r.obj, r.old, r.kind, about.GetNamespace(), about.GetName(),
		r.resource, r.subresource, admission.Operation(r.operation()), nil, false,
		&user.DefaultInfo{Name: r.user.Username, Groups: r.user.Groups})
	result := a.conditions.Match(ctx, attributes, nil, nil)
	return result.Matches, result.FailedConditionName, result.Error
}

// A random is a request and the cluster that it is made to.
type random struct {
	kind        schema.GroupVersionKind
	resource    schema.GroupVersionResource
	subresource string
	old, obj    cluster.Object // nil if there is none
	user        authenticationv1.UserInfo
	orphan      bool
	world       map[string]cluster.Object
	retain      cluster.Retain
	kubernetes  cluster.Versions
}

func (r *random) operation() admissionv1.OperationType {
	switch {
	case r.old == nil:
		return admissionv1.Create
	case r.obj == nil:
		return admissionv1.Delete
	}
	return admissionv1.Update
}

func (r *random) resources() string {
	if r.subresource != "" {
		return r.resource.Resource + "/" + r.subresource
	}
	return r.resource.Resource
}

// about returns the object as it is, or was.
func (r *random) about() cluster.Object {
	if r.obj != nil {
		return r.obj
	}
	return r.old
}

// namespace returns the Namespace whose labels the API server looks at.
func (r *random) namespace() *corev1.Namespace {
	if ns, ok := r.about().(*corev1.Namespace); ok {
		return ns
	}
	if ns, ok := r.world["Namespace/"+r.about().GetNamespace()].(*corev1.Namespace); ok {
		return ns
	}
	return nil // of a cluster-scoped object
}

// body returns the AdmissionReview.
func (r *random) body(t *testing.T) string {
	t.Helper()
	raw := func(obj any) []byte {
		data, err := json.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	about := r.about()
	req := &admissionreviewv1.AdmissionRequest{
		UID: "u-1", Kind: metav1.GroupVersionKind(r.kind), Resource: metav1.GroupVersionResource(r.resource),
		SubResource: r.subresource, Name: about.GetName(), Namespace: about.GetNamespace(),
		Operation: admissionreviewv1.Operation(r.operation()), UserInfo: r.user,
	}
	if r.old != nil {
		req.OldObject.Raw = raw(r.old)
	}
	if r.obj != nil {
		req.Object.Raw = raw(r.obj)
	}
	if r.orphan && r.obj == nil {
		req.Options.Raw = raw(metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationOrphan)})
	}
	return string(raw(admissionreviewv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionreviewv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request:  req,
	}))
}

// A maker makes random requests of the testdata of all rules and mutators, in which
// each has something to say.
type maker struct {
	*rand.Rand
	data []*clustertest.Testdata
	like map[reflect.Type][]cluster.Object // all objects of a type
}

func newMaker(t *testing.T, seed uint64) *maker {
	t.Helper()
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 26)), like: map[reflect.Type][]cluster.Object{}}
	for _, dir := range []string{"validators", "mutators"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "testdata", "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatal(err, "no testdata")
		}
		for _, file := range files {
			data, err := clustertest.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			data.Steps = slices.DeleteFunc(data.Steps, func(s clustertest.Step) bool {
				return !cluster.Watched(cluster.KnownObject(s.Object).GVK()) // lint alone reviews those
			})
			if len(data.Steps) > 0 {
				m.data = append(m.data, data)
			}
			for _, s := range data.Steps {
				m.like[reflect.TypeOf(s.Object)] = append(m.like[reflect.TypeOf(s.Object)], s.Object)
			}
		}
	}
	return m
}

func (m *maker) chance(p float64) bool { return m.Float64() < p }

func pick[T any](m *maker, of ...T) T { return of[m.IntN(len(of))] }

// request makes one.
func (m *maker) request() *random {
	data := pick(m, m.data...)
	s := pick(m, data.Steps...)
	kind := cluster.KnownObject(s.Object)
	r := &random{kind: kind.GVK(), resource: kind.GVR(), user: s.Request.User, orphan: s.Request.Orphan, retain: s.Retain,
		kubernetes: s.Kubernetes, world: map[string]cluster.Object{}}
	r.old, r.obj = copyOf(s.Old), copyOf(s.Obj)
	if m.chance(.3) { // something else happens to it
		switch about := r.about(); m.IntN(3) {
		case 0:
			r.old, r.obj = nil, about
		case 1:
			r.old, r.obj = about, copyOf(about)
		default:
			r.old, r.obj = about, nil
		}
	}
	for range m.IntN(3) {
		m.edit(pick(m, r.old, r.obj))
	}
	if m.chance(.4) {
		m.metadata(r)
	}
	if r.user.Username == "" || m.chance(.3) {
		r.user = m.caller()
	}
	if pod, ok := r.obj.(*corev1.Pod); ok && r.old == nil && m.chance(.1) {
		pod.OwnerReferences = []metav1.OwnerReference{owner("apps/v1", "StatefulSet", new(true))}
		r.user = authenticationv1.UserInfo{Username: pick(m, cluster.UsersOf("statefulset-controller")...)}
	}
	if r.obj == nil && m.chance(.2) {
		r.old.SetLabels(with(r.old.GetLabels(), cluster.LabelProtect, cluster.ProtectTrue))
	}
	for _, obj := range data.Objects {
		if !m.chance(.1) { // of a Service, say, that is missing
			r.put(obj)
		}
	}
	m.settle(r)
	if kind.Scalable && r.old != nil && r.obj != nil && m.chance(.2) {
		scale := func(replicas int32) cluster.Object {
			return &autoscalingv1.Scale{
				TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
				ObjectMeta: metav1.ObjectMeta{Namespace: r.old.GetNamespace(), Name: r.old.GetName()},
				Spec:       autoscalingv1.ScaleSpec{Replicas: replicas},
			}
		}
		r.kind, r.subresource = autoscalingv1.SchemeGroupVersion.WithKind("Scale"), "scale"
		r.old, r.obj = scale(int32(m.IntN(4))), scale(int32(m.IntN(4)))
	}
	return r
}

func copyOf(obj cluster.Object) cluster.Object {
	if obj == nil {
		return nil
	}
	return obj.DeepCopyObject().(cluster.Object)
}

// put puts an object into the world, in the place of one of the same name.
func (r *random) put(obj cluster.Object) {
	key := strings.TrimPrefix(obj.GetNamespace()+"/"+obj.GetName(), "/")
	r.world[cluster.KnownObject(obj).GVK().Kind+"/"+key] = obj
}

// settle makes of edited objects what an API server sends: an update changes neither
// name nor uid nor when the deletion began, what is created is not being deleted,
// and what was there is in the cluster, beside its Namespace.
func (m *maker) settle(r *random) {
	for _, obj := range []cluster.Object{r.old, r.obj} {
		if obj != nil {
			obj.GetObjectKind().SetGroupVersionKind(r.kind)
		}
	}
	switch {
	case r.old == nil:
		r.obj.SetDeletionTimestamp(nil)
	case r.obj != nil:
		r.obj.SetName(r.old.GetName())
		r.obj.SetNamespace(r.old.GetNamespace())
		r.obj.SetUID(r.old.GetUID())
		r.obj.SetDeletionTimestamp(r.old.GetDeletionTimestamp())
	}
	if r.old != nil {
		r.put(r.old)
	}
	named := r.about().GetNamespace()
	if ns, ok := r.about().(*corev1.Namespace); ok {
		named = ns.Name
	} else if _, there := r.world["Namespace/"+named]; !there && named != "" {
		r.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: named}})
	}
	if ns := r.namespace(); ns != nil { // as an API server does
		ns = ns.DeepCopy()
		ns.Labels = with(ns.Labels, corev1.LabelMetadataName, named)
		if _, itself := r.about().(*corev1.Namespace); !itself {
			if m.chance(.2) {
				ns.Labels[cluster.LabelInject] = cluster.InjectEnabled
			}
			r.put(ns)
		} else {
			r.about().SetLabels(ns.Labels)
		}
	}
}

// caller returns somebody who asks: a person, an operator, what Kubernetes itself
// runs, or what is only called like it.
func (m *maker) caller() (u authenticationv1.UserInfo) {
	u.Username = pick(m, "jane", "jane", "jane", "system:serviceaccount:argocd:application-controller",
		"system:serviceaccount:prod:statefulset-controller", "system:serviceaccount:kube-system:csi-provisioner",
		"system:node:a", pick(m, cluster.ControllerUsers()...))
	u.Groups = pick(m, nil, []string{"system:authenticated"}, []string{"system:masters", "system:authenticated"})
	if u.Username == "system:node:a" && m.chance(.9) {
		u.Groups = []string{cluster.NodesGroup, "system:authenticated"}
	}
	return u
}

func owner(version, kind string, controller *bool) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: version, Kind: kind, Name: "owner", UID: "owner", Controller: controller}
}

// metadata writes what controllers, operators and other webhooks write.
func (m *maker) metadata(r *random) {
	owners := [][]metav1.OwnerReference{
		nil, {owner("apps/v1", "StatefulSet", new(true))}, {owner("apps/v1", "StatefulSet", nil)},
		{owner("apps/v1", "ReplicaSet", new(true))}, {owner("batch/v1", "Job", new(true))},
		{owner("apps/v1", "DaemonSet", new(true))}, {owner("v1", "Node", new(true))},
		{owner("apps.kruise.io/v1beta1", "StatefulSet", new(true))}, {owner("db.example.com/v1", "Cluster", new(true))},
		{owner("v1", "ConfigMap", nil)},
	}
	for _, obj := range []cluster.Object{r.old, r.obj} {
		if obj == nil || m.chance(.2) {
			continue
		}
		if m.chance(.4) {
			obj.SetOwnerReferences(pick(m, owners...))
		}
		if m.chance(.3) {
			obj.SetFinalizers(pick(m, nil, []string{"example.com/f"}, validators.Guards(), validators.Guards()[:1]))
		}
		if m.chance(.3) {
			obj.SetDeletionTimestamp(new(metav1.Now()))
		}
		if m.chance(.3) {
			obj.SetLabels(with(obj.GetLabels(), pick(m, cluster.LabelSubdomain, cluster.LabelProtect, "app",
				"stayput.dev/portect"), pick(m, "db", cluster.ProtectTrue, "")))
		}
		if m.chance(.2) {
			obj.SetAnnotations(with(obj.GetAnnotations(), pick(m, "stayput.dev/reclaim-policy", "a",
				cluster.ExemptPrefix+pick(m, validators.All...).Name, cluster.ExemptPrefix+"claim-in-used"),
				pick(m, "Retain", "Delete", "because", "")))
		}
	}
}

func with(pairs map[string]string, key, value string) map[string]string {
	made := map[string]string{}
	maps.Copy(made, pairs)
	made[key] = value
	return made
}

// edit changes one field of an object to what it is in another of its kind, or to
// nothing.
func (m *maker) edit(obj cluster.Object) {
	if obj == nil {
		return
	}
	other := copyOf(pick(m, m.like[reflect.TypeOf(obj)]...))
	meta := metav1.ObjectMeta{Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID()}
	m.editField(reflect.ValueOf(obj).Elem(), reflect.ValueOf(other).Elem())
	obj.SetName(meta.Name)
	obj.SetNamespace(meta.Namespace)
	obj.SetUID(meta.UID)
}

func (m *maker) editField(v, other reflect.Value) {
	whole := v.Kind() != reflect.Struct
	bytes := v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8
	switch v.Interface().(type) {
	case apiresource.Quantity, metav1.Time, intstr.IntOrString:
		whole = true
	}
	switch kind := v.Kind(); {
	case kind == reflect.Pointer && !v.IsNil() && !other.IsNil() && m.chance(.8):
		m.editField(v.Elem(), other.Elem())
	case kind == reflect.Slice && !bytes && v.Len() > 0 && other.Len() > 0 && m.chance(.7):
		m.editField(v.Index(m.IntN(v.Len())), other.Index(m.IntN(other.Len())))
	case whole && m.chance(.7):
		v.Set(other)
	case whole:
		v.SetZero()
	default: // one of the fields that either has
		var fields []int
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "TypeMeta" && (!v.Field(i).IsZero() || !other.Field(i).IsZero()) {
				fields = append(fields, i)
			}
		}
		if len(fields) > 0 {
			i := pick(m, fields...)
			m.editField(v.Field(i), other.Field(i))
		}
	}
}

// levels returns random levels of some rules, each of those that the rule may have.
func (m *maker) levels() map[string]validators.Level {
	levels := map[string]validators.Level{}
	for _, r := range validators.All {
		level := pick(m, validators.Off, validators.Hint, validators.Warn, validators.Deny)
		_, err := validators.Select(validators.All, map[string]validators.Level{r.Name: level})
		if err == nil && m.chance(.3) {
			levels[r.Name] = level
		}
	}
	return levels
}

// TestConditionsLeaveNothingOut has the API server's own code evaluate the selectors and
// conditions of all webhooks, at random levels of rules, over random requests of every
// kind that is guarded. Where no webhook is asked, its answer would have been yes,
// without a patch, or a warning that somebody reads; and no condition fails.
func TestConditionsLeaveNothingOut(t *testing.T) {
	configurations, requests := 4, 2500
	if os.Getenv("STAYPUT_PROOF") != "" {
		configurations, requests = 40, 25_000
	}
	seen := map[string]int{}
	for seed := range configurations {
		m := newMaker(t, uint64(seed))
		var levels map[string]validators.Level
		if seed > 0 {
			levels = m.levels()
		}
		rules, err := validators.Select(validators.All, levels)
		if err != nil {
			t.Fatal(err)
		}
		all := askings(t, rules)
		for i := range requests {
			missed(t, fmt.Sprintf("seed %d, request %d", seed, i), rules, all, m.request(), seen)
			if t.Failed() {
				t.Logf("levels: %v", levels)
				return
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%6d %s", seen[what], what)
	}
	for _, w := range allWebhooks(t, Deployment{}) {
		want := []string{w.Name + " is asked"}
		for _, c := range w.MatchConditions {
			want = append(want, w.Name+" is not asked: "+c.Name)
		}
		for _, what := range want {
			if seen[what] == 0 {
				t.Errorf("%s: in none of the requests", what)
			}
		}
	}
	for _, path := range []string{MutatePath, ValidatePath} {
		if all := configurations * requests; seen[path+" speaks"] < all/20 {
			t.Errorf("%s speaks of %d of %d requests", path, seen[path+" speaks"], all)
		}
	}
}

// missed reports an answer that says something where no webhook is asked for it.
func missed(t *testing.T, name string, rules []*validators.Rule, all []asking, r *random, seen map[string]int) {
	t.Helper()
	asked, kept := map[bool]bool{}, map[bool][]string{}
	for _, a := range all {
		if ns := r.namespace(); ns != nil && slices.Contains(a.NamespaceSelector.MatchExpressions[0].Values, ns.Name) {
			return
		}
		yes, condition, err := a.asks(t.Context(), r)
		switch {
		case err != nil:
			t.Errorf("%s: %s: %v\n%s", name, a.Name, err, r.body(t))
		case yes:
			asked[a.mutating] = true
			seen[a.Name+" is asked"]++
		case condition != "":
			kept[a.mutating] = append(kept[a.mutating], a.Name+" is not asked: "+condition)
			seen[a.Name+" is not asked: "+condition]++
		}
	}
	objs := slices.Collect(maps.Values(r.world))
	slices.SortFunc(objs, func(a, b cluster.Object) int { return strings.Compare(a.GetName(), b.GetName()) })
	w := newWebhook(t, objs...)
	w.Policy.Rules, w.Environment.Retain, w.Environment.Kubernetes = rules, r.retain, r.kubernetes
	h, body := w.Handler(), r.body(t)
	for mutating, path := range map[bool]string{true: MutatePath, false: ValidatePath} {
		rec := post(t, h, path, body)
		if rec.Code != http.StatusOK {
			t.Errorf("%s: %d %s\n%s", name, rec.Code, rec.Body, body)
			return
		}
		got := answered(t, rec)
		read := len(got.Warnings) > 0 && !cluster.Request{User: r.user}.ByController() // by somebody
		if got.Allowed && !read && len(got.Patch) == 0 {
			continue
		}
		seen[path+" speaks"]++
		if !asked[mutating] && !leftAlone(r, mutating) {
			t.Errorf("%s: nobody asks (%q), and %s answers %s to\n%s", name, kept[mutating], path, rec.Body, body)
		}
	}
}

// leftAlone says whether nobody is asked about a request because of who makes it: a
// kubelet, which reports Pods that run already, or Kubernetes' own controllers, whose
// updates follow up on what was decided.
func leftAlone(r *random, mutating bool) bool {
	return slices.Contains(r.user.Groups, cluster.NodesGroup) ||
		mutating && r.old != nil && cluster.Request{User: r.user}.ByController()
}
