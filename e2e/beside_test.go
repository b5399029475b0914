package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/e2e/harness"
)

// An order says when another mutating webhook is asked: its configuration's name
// decides.
type order struct {
	name          string
	configuration string // "" where Stayput is alone

	plain, injected string // namespaces
}

// orders makes namespaces with two headless Services each, where Stayput is alone,
// is asked second and is asked first, as the names of the other's configurations
// have it.
func orders(t *testing.T, before, after string) []order {
	t.Helper()
	if before >= "stayput" || after <= "stayput" {
		t.Fatalf("%s and %s do not sort around stayput", before, after)
	}
	suffix := fmt.Sprintf("%05d", time.Now().UnixNano()%100000)
	all := []order{
		{name: "alone"}, {name: "before", configuration: before + "-" + suffix},
		{name: "after", configuration: after + "-" + suffix},
	}
	for i := range all {
		o := &all[i]
		// Of the same length, so that no message is cut that others are not.
		o.plain, o.injected = fmt.Sprintf("beside-%d-%s", i, suffix), fmt.Sprintf("injected-%d-%s", i, suffix)
		makeNamespace(t, o.plain)
		makeNamespace(t, o.injected, "stayput.dev/inject=enabled")
		for _, ns := range []string{o.plain, o.injected} {
			apply(t, ns, besideService("peers", "app: web")+besideService("others", "role: other"))
		}
	}
	return all
}

func besideService(name, selector string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {name: %s}
spec: {clusterIP: None, selector: {%s}}
`, name, selector)
}

// namespaceFor returns the namespace with injection or the one without.
func (o order) namespaceFor(injected bool) string {
	if injected {
		return o.injected
	}
	return o.plain
}

// here says in CEL that a request is about a namespace of the order, or about a volume
// for one.
func (o order) here() string {
	return fmt.Sprintf("request.resource.resource == 'persistentvolumes' ? has(object.spec.claimRef) && "+
		"object.spec.claimRef.namespace in [%[1]s] : has(request.namespace) && request.namespace in [%[1]s]",
		"'"+o.plain+"', '"+o.injected+"'")
}

// anonymous returns a text without the names of the namespaces and of provisioned
// volumes.
func (o order) anonymous(text string) string {
	return provisionedName.ReplaceAllString(strings.NewReplacer(o.plain, "NS", o.injected, "NS").Replace(text), "PV")
}

var provisionedName = regexp.MustCompile(`\bpvc-[0-9a-f-]{36}\b`)

// does tells the other webhook, on an object, what to do to it.
const does = "beside.example.com/does"

// greeting is the warning by which the other validating webhook shows that it was
// asked.
const greeting = "beside.example.com was asked"

// refusal is the reason of its denials.
const refusal = "beside.example.com says no"

// deeds are what the other webhook can do to the labels and the spec of a Pod or of
// a template.
var deeds = map[string]func(labels map[string]string, spec *corev1.PodSpec){
	"nothing": func(map[string]string, *corev1.PodSpec) {},
	"sidecar": func(labels map[string]string, spec *corev1.PodSpec) {
		labels["beside.example.com/injected"] = "yes"
		if !slices.ContainsFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == "sidecar" }) {
			spec.Containers = append(spec.Containers, corev1.Container{
				Name: "sidecar", Image: "sidecar", ImagePullPolicy: corev1.PullAlways,
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			})
		}
	},
	"names it": func(_ map[string]string, spec *corev1.PodSpec) {
		if spec.Hostname == "" && spec.Subdomain == "" {
			spec.Hostname, spec.Subdomain = "mine", "others"
		}
	},
	"names it anew": func(_ map[string]string, spec *corev1.PodSpec) { spec.Hostname, spec.Subdomain = "mine", "others" },
	"sets a subdomain": func(_ map[string]string, spec *corev1.PodSpec) {
		if spec.Subdomain == "" {
			spec.Subdomain = "others"
		}
	},
	"sets a hostname": func(_ map[string]string, spec *corev1.PodSpec) {
		if spec.Hostname == "" {
			spec.Hostname = "mine"
		}
	},
	"removes our label": func(labels map[string]string, _ *corev1.PodSpec) { delete(labels, cluster.LabelSubdomain) },
	"changes our label": func(labels map[string]string, _ *corev1.PodSpec) { labels[cluster.LabelSubdomain] = "others" },
	"adds our label":    func(labels map[string]string, _ *corev1.PodSpec) { labels[cluster.LabelSubdomain] = "peers" },
	"adds what a Service selects": func(labels map[string]string, _ *corev1.PodSpec) {
		labels["app"] = "web"
	},
	"refuses": func(map[string]string, *corev1.PodSpec) {},
}

// A neighbour is a mutating and a validating webhook of controller-runtime, of
// somebody else.
type neighbour struct {
	url string
	ca  []byte

	mu    sync.Mutex
	asked map[string]int // to mutate, by namespace and name
}

// newNeighbour serves until the test ends.
func newNeighbour(t *testing.T) *neighbour {
	t.Helper()
	dir := t.TempDir()
	n := &neighbour{asked: map[string]int{}}
	n.ca = certificate(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	var address string
	if err := harness.FreeAddresses(&address); err != nil {
		t.Fatal(err)
	}
	n.url = "https://" + address
	_, port, _ := net.SplitHostPort(address)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: number, CertDir: dir})
	server.Register("/mutate", &admission.Webhook{Handler: admission.HandlerFunc(n.mutate)})
	server.Register("/validate", &admission.Webhook{Handler: admission.HandlerFunc(n.validate)})
	// It serves for as long as there are configurations.
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the other webhook serves", func() error { return server.StartedChecker()(nil) })
	return n
}

// mutate does what the object asks for.
func (n *neighbour) mutate(_ context.Context, req admission.Request) admission.Response {
	obj, err := besideObject(req)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	n.mu.Lock()
	n.asked[req.Namespace+"/"+obj.GetName()]++
	n.mu.Unlock()
	if !do(obj) {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("%s %s asks for nothing that is known", req.Kind.Kind,
			obj.GetName()))
	}
	mutated, err := json.Marshal(obj)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, mutated)
}

func (*neighbour) validate(_ context.Context, req admission.Request) admission.Response {
	if req.Object.Raw != nil {
		obj, err := besideObject(req)
		if err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		if obj.GetAnnotations()[does] == "refuses" {
			return admission.Denied(refusal)
		}
	}
	return admission.Allowed("").WithWarnings(greeting)
}

func besideObject(req admission.Request) (cluster.Object, error) {
	obj := map[string]cluster.Object{
		"Pod": &corev1.Pod{}, "StatefulSet": &appsv1.StatefulSet{}, "Deployment": &appsv1.Deployment{},
		"PersistentVolume": &corev1.PersistentVolume{},
	}[req.Kind.Kind]
	if obj == nil {
		return nil, fmt.Errorf("nobody wanted to be asked about %s", req.Kind.Kind)
	}
	return obj, json.Unmarshal(req.Object.Raw, obj)
}

// do does to an object what it asks for, and says whether that is known. Nobody
// writes annotations on volumes or on the Pods of a workload: these ask by the name
// of their claim, or for nothing.
func do(obj cluster.Object) bool {
	deed := deeds[obj.GetAnnotations()[does]]
	on := func(meta *metav1.ObjectMeta, spec *corev1.PodSpec) bool {
		if deed == nil {
			return false
		}
		if meta.Labels == nil {
			meta.Labels = map[string]string{}
		}
		deed(meta.Labels, spec)
		return true
	}
	switch obj := obj.(type) {
	case *corev1.Pod:
		if deed == nil && len(obj.OwnerReferences) > 0 {
			deed = deeds["sidecar"]
		}
		return on(&obj.ObjectMeta, &obj.Spec)
	case *appsv1.StatefulSet:
		return on(&obj.Spec.Template.ObjectMeta, &obj.Spec.Template.Spec)
	case *appsv1.Deployment:
		return on(&obj.Spec.Template.ObjectMeta, &obj.Spec.Template.Spec)
	case *corev1.PersistentVolume:
		metav1.SetMetaDataLabel(&obj.ObjectMeta, "beside.example.com/injected", "yes")
		switch obj.Spec.ClaimRef.Name {
		case "data-annotates-0":
			metav1.SetMetaDataAnnotation(&obj.ObjectMeta, cluster.AnnotationReclaim, "Delete")
		case "data-deletes-0":
			obj.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		}
		return true
	}
	return false
}

// register makes the configurations of an order, for its namespaces alone, and waits
// until both webhooks are asked.
func (n *neighbour) register(t *testing.T, o order) {
	t.Helper()
	const webhooks = `---
apiVersion: admissionregistration.k8s.io/v1
kind: %[1]sWebhookConfiguration
metadata: {name: %[2]s}
webhooks:
- name: beside.example.com
  clientConfig: {url: %[3]s, caBundle: %[4]s}
  rules:
  - {apiGroups: ["", apps], apiVersions: [v1], operations: [CREATE],
     resources: [pods, statefulsets, deployments, persistentvolumes]}
%[5]s
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
  matchConditions: [{name: here, expression: "%[6]s"}]
`
	ca := base64.StdEncoding.EncodeToString(n.ca)
	manifest := fmt.Sprintf(webhooks, "Mutating", o.configuration, n.url+"/mutate", ca, "  reinvocationPolicy: IfNeeded",
		o.here()) +
		fmt.Sprintf(webhooks, "Validating", o.configuration, n.url+"/validate", ca,
			"  - {apiGroups: [\"\"], apiVersions: [v1], operations: [DELETE], resources: [persistentvolumeclaims]}",
			o.here())
	if out, err := try(t, manifest, "create", "-f", "-"); err != nil {
		t.Fatal(out)
	}
	t.Cleanup(func() {
		_, _ = env.Kubectl(context.Background(), "", "delete",
			"mutatingwebhookconfiguration,validatingwebhookconfiguration", o.configuration)
	})
	c := newClient(t, env.Cluster.Config(), "")
	eventually(t, "the other webhook is asked", func() error {
		pod := parse[corev1.Pod](t, o.plain, besidePod("probe", "app: web", "sidecar"))
		a := ask(t.Context(), func(ctx context.Context) error { return c.Create(ctx, pod, client.DryRunAll) })
		if a.err != nil || len(pod.Spec.Containers) != 2 || !slices.Contains(a.warnings, greeting) {
			return fmt.Errorf("%d containers, %q, %w", len(pod.Spec.Containers), a.warnings, a.err)
		}
		return nil
	})
}

// besidePod is a Pod that asks the other webhook for something; nothing in it is
// random.
func besidePod(name, labels, deed string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {%s}, annotations: {%s: %s}}
spec: {automountServiceAccountToken: false, containers: [{name: web, image: web}]}
`, name, labels, does, deed)
}

// parse reads one object of a manifest.
func parse[T any](t *testing.T, ns, manifest string) *T {
	t.Helper()
	obj := new(T)
	if err := yaml.UnmarshalStrict([]byte(manifest), obj); err != nil {
		t.Fatal(err)
	}
	any(obj).(metav1.Object).SetNamespace(ns)
	return obj
}

// unlike is what differs between two objects that were made alike.
var unlike = cmp.Options{
	cmpopts.IgnoreFields(metav1.ObjectMeta{}, "UID", "CreationTimestamp", "ManagedFields", "ResourceVersion", "Namespace",
		"Generation", "SelfLink"),
	cmpopts.IgnoreTypes(corev1.PodStatus{}, appsv1.StatefulSetStatus{}, appsv1.DeploymentStatus{}),
	cmpopts.EquateEmpty(),
}

// warned returns the warnings of an answer, without those of the other webhook.
func (o order) warned(a answer) []string {
	var warnings []string
	for _, w := range a.warnings {
		if w != greeting {
			warnings = append(warnings, o.anonymous(w))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// rules returns the rules that warn.
func rules(warnings []string) string {
	var names []string
	for _, w := range warnings {
		name, _, _ := strings.Cut(w, ":")
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// TestBesideAnotherWebhook has a second admission webhook change what Stayput reads
// and sets, asked before Stayput and after it. Names, defaults, warnings and denials
// are as with Stayput alone, and nothing else of an object changes but what the other
// one writes; where order does matter, the test says how.
func TestBesideAnotherWebhook(t *testing.T) {
	t.Parallel()
	n := newNeighbour(t)
	all := orders(t, "a-beside", "z-beside")
	for _, o := range all[1:] {
		n.register(t, o)
	}
	b := beside{n, all, newClient(t, env.Cluster.Config(), "")}
	t.Run("Pods", b.pods)
	t.Run("StatefulSets", b.statefulSets)
	t.Run("denials", b.denials)
	t.Run("volumes", b.volumes)
}

type beside struct {
	*neighbour
	orders []order
	client client.Client
}

// A named Pod is one with labels, what another webhook does to it, and the name that
// it gets.
type named struct {
	deed, labels string
	generated    bool
	injected     bool   // the namespace
	alone        string // hostname.subdomain
	// Where it differs from what Stayput does alone.
	before, after string
	warns         map[string]string // rules that warn, by order, in place of those that do alone
}

// create makes the Pod in a dry run, and holds its name. It says whether that is to be
// as with Stayput alone.
func (n named) create(t *testing.T, c client.Client, o order) (pod *corev1.Pod, a answer, same bool) {
	t.Helper()
	manifest := besidePod("web", n.labels, n.deed)
	if n.generated {
		manifest = strings.Replace(manifest, "name: web,", "generateName: web-,", 1)
	}
	pod = parse[corev1.Pod](t, o.namespaceFor(n.injected), manifest)
	a = ask(t.Context(), func(ctx context.Context) error { return c.Create(ctx, pod, client.DryRunAll) })
	if a.err != nil {
		t.Errorf("%s: %v", o.name, a.err)
		return pod, a, false
	}
	want := map[string]string{"alone": n.alone, "before": n.before, "after": n.after}[o.name]
	if same = want == ""; same {
		want = n.alone
	}
	if got := pod.Spec.Hostname + "." + pod.Spec.Subdomain; got != strings.ReplaceAll(want, "NAME", pod.Name) {
		t.Errorf("%s: %q, want %q", o.name, got, want)
	}
	return pod, a, same
}

func (b beside) pods(t *testing.T) {
	const labelled = "app: web, stayput.dev/subdomain: peers"
	for name, tc := range map[string]named{
		"a container and a label": {deed: "sidecar", labels: labelled, alone: "web.peers"},
		"a container and a label, generated name": {deed: "sidecar", labels: labelled, generated: true,
			alone: "NAME.peers"},
		"a container and a label, by the Service": {deed: "sidecar", labels: "app: web", injected: true,
			alone: "web.peers"},
		"a container, nobody asks for a name": {deed: "sidecar", labels: "app: web", alone: "."},
		"a container, two Services":           {deed: "sidecar", labels: "app: web, role: other", injected: true, alone: "."},
		"a name where there is none": {deed: "names it", labels: labelled, alone: "web.peers", before: "mine.others",
			warns: map[string]string{"before": "pod-identity-skipped pod-subdomain"}},
		"a name in any case": {deed: "names it anew", labels: labelled, alone: "web.peers", before: "mine.others",
			after: "mine.others", warns: map[string]string{"before": "pod-identity-skipped pod-subdomain",
				"after": "pod-identity-skipped pod-subdomain"}},
		"a subdomain where there is none": {deed: "sets a subdomain", labels: labelled, alone: "web.peers",
			before: ".others", warns: map[string]string{"before": "pod-identity-skipped pod-subdomain"}},
		"a hostname where there is none": {deed: "sets a hostname", labels: labelled, alone: "web.peers", before: "mine.",
			warns: map[string]string{"before": "pod-identity-skipped"}},
		"our label is removed": {deed: "removes our label", labels: labelled, alone: "web.peers", before: "."},
		"our label is removed, injected": {deed: "removes our label", labels: "app: web, stayput.dev/subdomain: others",
			injected: true, alone: "web.others", before: "web.peers"},
		// No Service "others" selects the Pod.
		"our label is changed": {deed: "changes our label", labels: labelled, alone: "web.peers", before: "web.others",
			warns: map[string]string{"before": "pod-subdomain", "after": "pod-identity-skipped"}},

		// Stayput was not asked about a Pod without it, and who was not asked is not asked again.
		"our label is added": {deed: "adds our label", labels: "app: web", alone: ".", before: "web.peers"},

		// These need that Stayput is asked again.
		"our label is added, injected": {deed: "adds our label", labels: "app: none", injected: true, alone: ".",
			before: "web.peers", after: "web.peers",
			warns: map[string]string{"before": "pod-subdomain", "after": "pod-subdomain"}},
		"what a Service selects is added, injected": {deed: "adds what a Service selects", labels: "role: none",
			injected: true, alone: ".", before: "web.peers", after: "web.peers"},
	} {
		t.Run(name, func(t *testing.T) {
			var alone *corev1.Pod
			var warnings []string
			for _, o := range b.orders {
				pod, a, same := tc.create(t, b.client, o)
				if a.err != nil {
					continue
				}
				if o.name == "alone" {
					alone, warnings = pod, o.warned(a)
					continue
				}
				if !slices.Contains(a.warnings, greeting) {
					t.Errorf("%s: the other webhook did not validate it: %q", o.name, a.warnings)
				}
				expected := alone.DeepCopy()
				do(expected)
				if alone.GenerateName != "" {
					expected.Name = pod.Name
				}
				expected.Spec.Hostname, expected.Spec.Subdomain = pod.Spec.Hostname, pod.Spec.Subdomain // see above
				if diff := cmp.Diff(expected, pod, unlike); diff != "" {
					t.Errorf("%s (-as alone, and what the other does +now):\n%s", o.name, diff)
				}
				if rule := tc.warns[o.name]; rule != "" || !same {
					if got := rules(o.warned(a)); got != rule {
						t.Errorf("%s: warnings of %q, want %q", o.name, got, rule)
					}
				} else if diff := cmp.Diff(warnings, o.warned(a), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s (-warnings alone +now):\n%s", o.name, diff)
				}
			}
		})
	}
	// The other webhook is asked again, too, when Stayput has changed something.
	for _, o := range b.orders[1:] {
		pod := parse[corev1.Pod](t, o.plain, besidePod("counted", labelled, "sidecar"))
		if err := b.client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		asked := b.asked[o.plain+"/counted"]
		b.mu.Unlock()
		if want := map[string]int{"before": 2, "after": 1}[o.name]; asked != want {
			t.Errorf("%s: the other webhook is asked %d times, want %d", o.name, asked, want)
		}
	}
}

func besideStatefulSet(name, service, deed, more string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: StatefulSet
metadata: {name: %[1]s, annotations: {%[3]s: %[4]s}}
spec:
  replicas: 1
%[2]s  selector: {matchLabels: {set: %[1]s}}
  template:
    metadata: {labels: {set: %[1]s%[5]s}}
    spec:
      containers: [{name: web, image: web, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
`, name, service, does, deed, more)
}

func (b beside) statefulSets(t *testing.T) {
	for name, tc := range map[string]struct {
		deed, labels, service string
		alone, before, after  string // serviceName
	}{
		"a container and a label":        {deed: "sidecar", labels: ", app: web", alone: "peers"},
		"a container, it names another":  {deed: "sidecar", labels: ", app: web", service: "others", alone: "others"},
		"what a Service selects":         {deed: "adds what a Service selects", before: "peers", after: "peers"},
		"nothing, and no Service":        {deed: "nothing"},
		"a container, but two Services":  {deed: "sidecar", labels: ", app: web, role: other"},
		"our label, which has no effect": {deed: "changes our label", labels: ", app: web", alone: "peers"},
	} {
		t.Run(name, func(t *testing.T) {
			var alone *appsv1.StatefulSet
			for _, o := range b.orders {
				service := ""
				if tc.service != "" {
					service = "  serviceName: " + tc.service + "\n"
				}
				sts := parse[appsv1.StatefulSet](t, o.plain, besideStatefulSet("web", service, tc.deed, tc.labels))
				a := ask(t.Context(), func(ctx context.Context) error { return b.client.Create(ctx, sts, client.DryRunAll) })
				if a.err != nil {
					t.Errorf("%s: %v", o.name, a.err)
					continue
				}
				want := map[string]string{"alone": tc.alone, "before": tc.before, "after": tc.after}[o.name]
				if want == "" {
					want = tc.alone
				}
				if sts.Spec.ServiceName != want {
					t.Errorf("%s: serviceName %q, want %q", o.name, sts.Spec.ServiceName, want)
				}
				if o.name == "alone" {
					alone = sts
					continue
				}
				expected := alone.DeepCopy()
				do(expected)
				expected.Spec.ServiceName = want
				if diff := cmp.Diff(expected, sts, unlike); diff != "" {
					t.Errorf("%s (-as alone, and what the other does +now):\n%s", o.name, diff)
				}
			}
		})
	}
}

func besideDeployment(deed, hostname string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {%s: %s}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {%scontainers: [{name: web, image: web}]}
`, does, deed, hostname)
}

func (b beside) denials(t *testing.T) {
	create := func(o order, manifest string) answer {
		d := parse[appsv1.Deployment](t, o.plain, manifest)
		return ask(t.Context(), func(ctx context.Context) error { return b.client.Create(ctx, d, client.DryRunAll) })
	}
	for name, tc := range map[string]struct {
		deed, hostname string
		like           string // the hostname that makes the same denial, written by the author
	}{
		"the author's fault": {deed: "sidecar", hostname: "hostname: mine, ", like: "hostname: mine, "},
		"the other's fault":  {deed: "names it", like: "hostname: mine, subdomain: others, "},
		"the other's, beside the author's": {deed: "sets a subdomain", hostname: "hostname: mine, ",
			like: "hostname: mine, subdomain: others, "},
		"the author's, and nothing done": {deed: "nothing", hostname: "hostname: mine, ", like: "hostname: mine, "},
	} {
		t.Run(name, func(t *testing.T) {
			alone := create(b.orders[0], besideDeployment("nothing", tc.like))
			if alone.err == nil || len(alone.causes()) == 0 {
				t.Fatalf("not denied: %v", alone.err)
			}
			for _, o := range b.orders[1:] {
				a := create(o, besideDeployment(tc.deed, tc.hostname))
				if a.err == nil {
					t.Errorf("%s: not denied", o.name)
					continue
				}
				if got, want := o.anonymous(a.err.Error()), b.orders[0].anonymous(alone.err.Error()); got != want {
					t.Errorf("%s: %s\nwant: %s", o.name, got, want)
				}
				if diff := cmp.Diff(alone.causes(), a.causes()); diff != "" {
					t.Errorf("%s (-causes alone +now):\n%s", o.name, diff)
				}
				if diff := cmp.Diff(b.orders[0].warned(alone), o.warned(a), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s (-warnings alone +now):\n%s", o.name, diff)
				}
			}
		})
	}
	// Both deny: the API server shows the denial of the one that answers first.
	alone := create(b.orders[0], besideDeployment("refuses", "hostname: mine, "))
	for _, o := range b.orders[1:] {
		a := create(o, besideDeployment("refuses", "hostname: mine, "))
		if a.err == nil {
			t.Errorf("%s: denied by neither", o.name)
		} else if got := o.anonymous(a.err.Error()); !strings.Contains(got, refusal) && got != b.orders[0].anonymous(
			alone.err.Error()) {
			t.Errorf("%s: somebody else's denial: %s", o.name, got)
		}
		if a = create(o, besideDeployment("refuses", "")); a.err == nil || !strings.Contains(a.err.Error(), refusal) {
			t.Errorf("%s: the other webhook does not deny: %v", o.name, a.err)
		}
	}
}

// volumes has StatefulSets whose claims are provisioned, and denials of what would
// destroy a disk.
func (b beside) volumes(t *testing.T) {
	type volume struct{ Policy, Set, Of, Injected string }
	// A webhook that sets the policy itself, and is asked after Stayput or asked again,
	// has the last word, as anybody has who changes the policy of a volume.
	retained, asked := volume{"Retain", "Retain/configuration", "NAME/data/0", ""}, volume{"Delete", "Delete/volume",
		"NAME/data/0", ""}
	overruled := volume{"Delete", "Retain/configuration", "NAME/data/0", ""}
	want := map[string][3]volume{ // alone, before, after
		"plain": {retained, retained, retained}, "annotates": {retained, asked, asked},
		"deletes": {retained, overruled, overruled},
	}
	for _, o := range b.orders {
		for name := range want {
			apply(t, o.plain, besideStatefulSet(name, "  serviceName: peers\n", "sidecar", ", app: web"))
		}
	}
	var claimInUse string
	for i, o := range b.orders {
		for name, volumes := range want {
			output(t, "1", "get", "statefulset", name, "-n", o.plain, "-o", "jsonpath={.status.readyReplicas}")
			pod := new(corev1.Pod)
			if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: o.plain, Name: name + "-0"}, pod); err != nil {
				t.Fatal(err)
			}
			if got := pod.Spec.Hostname + "." + pod.Spec.Subdomain; got != name+"-0.peers" {
				t.Errorf("%s: the Pod's name is %s", o.name, got)
			}
			if got, want := len(pod.Spec.Containers), min(i, 1)+1; got != want {
				t.Errorf("%s: %d containers, want %d", o.name, got, want)
			}
			claim := new(corev1.PersistentVolumeClaim)
			if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: o.plain, Name: "data-" + name + "-0"},
				claim); err != nil {
				t.Fatal(err)
			}
			letGo(t, []string{claim.Spec.VolumeName})
			pv := new(corev1.PersistentVolume)
			if err := b.client.Get(t.Context(), client.ObjectKey{Name: claim.Spec.VolumeName}, pv); err != nil {
				t.Fatal(err)
			}
			expected := volumes[i]
			expected.Of = strings.Replace(expected.Of, "NAME", name, 1)
			if i > 0 {
				expected.Injected = "yes"
			}
			got := volume{string(pv.Spec.PersistentVolumeReclaimPolicy), pv.Annotations[cluster.AnnotationReclaimSet],
				pv.Annotations[cluster.AnnotationClaimOf], pv.Labels["beside.example.com/injected"]}
			if got != expected {
				t.Errorf("%s: the volume of %s is %+v, want %+v", o.name, name, got, expected)
			}
		}
		claim := parse[corev1.PersistentVolumeClaim](t, o.plain, "metadata: {name: data-plain-0}")
		a := ask(t.Context(), func(ctx context.Context) error { return b.client.Delete(ctx, claim, client.DryRunAll) })
		if len(a.causes()) == 0 {
			t.Fatalf("%s: the deletion of a claim in use is not denied: %v", o.name, a.err)
		}
		if got := o.anonymous(a.err.Error()); i == 0 {
			claimInUse = got
		} else if got != claimInUse {
			t.Errorf("%s: %s\nwant: %s", o.name, got, claimInUse)
		} else if !slices.Contains(a.warnings, greeting) {
			t.Errorf("%s: the other webhook did not validate the deletion: %q", o.name, a.warnings)
		}
	}
}

// certificate writes a certificate of this address and its key, and returns the
// certificate.
func certificate(t *testing.T, crt, key string) []byte {
	t.Helper()
	public, private, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(crt, public, 0o600), os.WriteFile(key, private, 0o600)); err != nil {
		t.Fatal(err)
	}
	return public
}
