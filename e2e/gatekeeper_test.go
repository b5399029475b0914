//go:build operators && linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// gatekeeperPolicies are what Gatekeeper does to the objects that Stayput sets: a
// container and labels, what Stayput reads, what Stayput sets, and a fault.
const gatekeeperPolicies = `apiVersion: mutations.gatekeeper.sh/v1
kind: AssignMetadata
metadata: {name: beside-team}
spec:
  match: {scope: Namespaced, kinds: [{apiGroups: [""], kinds: [Pod]}]}
  location: metadata.labels.team
  parameters: {assign: {value: storage}}
---
apiVersion: mutations.gatekeeper.sh/v1
kind: AssignMetadata
metadata: {name: beside-volumes}
spec:
  match: {scope: Cluster, kinds: [{apiGroups: [""], kinds: [PersistentVolume]}]}
  location: metadata.labels.team
  parameters: {assign: {value: storage}}
---
apiVersion: mutations.gatekeeper.sh/v1
kind: AssignMetadata
metadata: {name: beside-app}
spec:
  match: {scope: Namespaced, kinds: [{apiGroups: [""], kinds: [Pod]}], labelSelector: {matchLabels: {wants: app}}}
  location: metadata.labels.app
  parameters: {assign: {value: web}}
---
apiVersion: mutations.gatekeeper.sh/v1
kind: AssignMetadata
metadata: {name: beside-subdomain-label}
spec:
  match: {scope: Namespaced, kinds: [{apiGroups: [""], kinds: [Pod]}], labelSelector: {matchLabels: {wants: label}}}
  location: metadata.labels."stayput.dev/subdomain"
  parameters: {assign: {value: peers}}
---
apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: beside-subdomain}
spec:
  applyTo: [{groups: [""], versions: [v1], kinds: [Pod]}]
  match: {scope: Namespaced, labelSelector: {matchLabels: {wants: subdomain}}}
  location: spec.subdomain
  parameters: {pathTests: [{subPath: spec.subdomain, condition: MustNotExist}], assign: {value: others}}
---
apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: beside-sidecar}
spec:
  applyTo: [{groups: [""], versions: [v1], kinds: [Pod]}]
  match: {scope: Namespaced}
  location: "spec.containers[name: sidecar]"
  parameters: {assign: {value: {name: sidecar, image: sidecar}}}
---
apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: beside-template}
spec:
  applyTo: [{groups: [apps], versions: [v1], kinds: [Deployment, StatefulSet]}]
  match: {scope: Namespaced}
  location: "spec.template.spec.containers[name: sidecar]"
  parameters: {assign: {value: {name: sidecar, image: sidecar}}}
---
apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: beside-fault}
spec:
  applyTo: [{groups: [apps], versions: [v1], kinds: [Deployment]}]
  match: {scope: Namespaced, labelSelector: {matchLabels: {wants: fault}}}
  location: spec.template.spec.hostname
  parameters: {assign: {value: mine}}
---
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: besidenamed}
spec:
  crd: {spec: {names: {kind: BesideNamed}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    rego: |
      package besidenamed

      violation[{"msg": "a Pod must have a hostname of its own"}] {
        not named
      }

      named {
        pod := input.review.object
        pod.spec.hostname == pod.metadata.name
      }
`

// gatekeeperConstraint holds Pods to a hostname that only Stayput gives.
const gatekeeperConstraint = `apiVersion: constraints.gatekeeper.sh/v1beta1
kind: BesideNamed
metadata: {name: named}
spec:
  match:
    kinds: [{apiGroups: [""], kinds: [Pod]}]
    namespaces: [%s]
    labelSelector: {matchLabels: {strict: "yes"}}
`

// gatekeeperRefusal is what its denial says.
const gatekeeperRefusal = "a Pod must have a hostname of its own"

// TestGatekeeper has the real Gatekeeper mutate and validate what Stayput does, asked
// before it and after it. Names, defaults and denials are as with Stayput alone, and
// each writes its own reports on one cluster.
func TestGatekeeper(t *testing.T) {
	t.Parallel()
	binary, module := foreign(t, localcluster.Gatekeeper)
	installCRDs(t, filepath.Join(module, "charts", "gatekeeper", "crds"))
	all := orders(t, "gatekeeper", "z-gatekeeper")
	var watched []string
	for _, o := range all {
		// It is there before any policy, for both to report.
		apply(t, o.plain, "apiVersion: v1\nkind: Pod\nmetadata: {name: stray, labels: {strict: \"yes\"}}\n"+
			"spec: {subdomain: nowhere, containers: [{name: web, image: web}]}\n")
		if o.configuration != "" {
			watched = append(watched, o.plain, o.injected)
		}
	}

	home := namespace(t)
	account := record(t, home, "gatekeeper-admin", "clusterrolebinding --clusterrole=cluster-admin")
	// Its status objects have its Pod as their owner.
	apply(t, home, "apiVersion: v1\nkind: Pod\nmetadata: {name: gatekeeper}\nspec: {containers: [{name: a, image: b}]}\n")
	dir := t.TempDir()
	ca := certificate(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	var hook, metrics string
	if err := harness.FreeAddresses(&hook, &metrics); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(hook)
	_, metricsPort, _ := net.SplitHostPort(metrics)
	runOperator(t, account, "env", "POD_NAMESPACE="+home, "POD_NAME=gatekeeper", binary, "--host=127.0.0.1",
		"--port="+port, "--cert-dir="+dir, "--disable-cert-rotation", "--health-addr=0", "--prometheus-port="+metricsPort,
		"--operation=audit,generate,mutation-controller,mutation-status,mutation-webhook,status,webhook",
		"--audit-interval=5", "--api-cache-dir="+t.TempDir(), "--shutdown-delay=0")
	if out, err := try(t, gatekeeperPolicies, "create", "-f", "-"); err != nil {
		t.Fatal(out)
	}
	t.Cleanup(func() {
		_, _ = env.Kubectl(context.Background(), gatekeeperPolicies, "delete", "--wait=false", "-f", "-")
	})
	constraint := fmt.Sprintf(gatekeeperConstraint, strings.Join(watched, ", "))
	eventually(t, "Gatekeeper knows the kind of the constraint", func() error {
		out, err := try(t, constraint, "apply", "-f", "-")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	g := gatekeeper{all, newClient(t, env.Cluster.Config(), "")}
	for _, o := range all[1:] {
		g.register(t, o, filepath.Join(module, "config", "webhook", "manifests.yaml"), "https://"+hook, ca)
	}
	t.Run("as it comes", g.alike)
	for _, o := range all[1:] {
		kubectl(t, "patch", "mutatingwebhookconfiguration", o.configuration, "--type=json", "-p",
			`[{"op":"add","path":"/webhooks/0/reinvocationPolicy","value":"IfNeeded"}]`)
	}
	time.Sleep(time.Second) // the API server watches its configurations
	t.Run("asked again", g.alike)
	t.Run("volumes", g.volumes)
	t.Run("reports", g.reports)
}

type gatekeeper struct {
	orders []order
	client client.Client
}

// register makes the configurations of Gatekeeper's own manifest under other names,
// for the namespaces of an order, and waits until all of it works.
func (g gatekeeper) register(t *testing.T, o order, file, base string, ca []byte) {
	t.Helper()
	for _, c := range configurationsIn(t, file, base, ca, "/v1/mutate", "/v1/admit") {
		if len(c.Webhooks) == 0 {
			continue
		}
		c.Name = o.configuration
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			w.MatchConditions = []admissionv1.MatchCondition{{Name: "here", Expression: o.here()}}
			// Who is not asked must not look like who agrees.
			w.FailurePolicy, w.TimeoutSeconds = new(admissionv1.Fail), new(int32(10))
		}
		manifest, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the configuration is made", func() error {
			out, err := try(t, string(manifest), "create", "-f", "-")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "delete", c.Kind, c.Name) })
	}
	eventually(t, "Gatekeeper mutates and denies", func() error {
		strict := parse[corev1.Pod](t, o.plain, besidePod("probe", `strict: "yes"`, "nothing"))
		a := g.create(t, strict)
		if a.err == nil || !strings.Contains(a.err.Error(), gatekeeperRefusal) {
			return fmt.Errorf("not denied: %w", a.err)
		}
		for _, wants := range []string{"app", "label", "subdomain"} {
			pod := parse[corev1.Pod](t, o.plain, besidePod("probe", "wants: "+wants, "nothing"))
			if a := g.create(t, pod); a.err != nil || len(pod.Spec.Containers) != 2 || pod.Labels["team"] != "storage" ||
				wants == "app" && pod.Labels["app"] != "web" ||
				wants == "label" && pod.Labels[cluster.LabelSubdomain] != "peers" ||
				wants == "subdomain" && pod.Spec.Subdomain != "others" {
				return fmt.Errorf("%v %s %d containers: %w", pod.Labels, pod.Spec.Subdomain, len(pod.Spec.Containers), a.err)
			}
		}
		d := parse[appsv1.Deployment](t, o.plain, besideDeployment("nothing", ""))
		d.Labels = map[string]string{"wants": "fault"}
		d.Spec.Replicas = new(int32(1)) // with more it is denied
		if a := g.create(t, d); a.err != nil || d.Spec.Template.Spec.Hostname != "mine" ||
			len(d.Spec.Template.Spec.Containers) != 2 {
			return fmt.Errorf("the Deployment: %+v %w", d.Spec.Template.Spec, a.err)
		}
		return nil
	})
}

// create is a dry run.
func (g gatekeeper) create(t *testing.T, obj client.Object) answer {
	return ask(t.Context(), func(ctx context.Context) error { return g.client.Create(ctx, obj, client.DryRunAll) })
}

func (g gatekeeper) alike(t *testing.T) {
	const labelled = "app: web, stayput.dev/subdomain: peers"
	for name, tc := range map[string]named{
		"labelled":                 {labels: labelled, alone: "web.peers"},
		"labelled, generated name": {labels: labelled, generated: true, alone: "NAME.peers"},
		"by the Service":           {labels: "app: web", injected: true, alone: "web.peers"},
		"nobody asks for a name":   {labels: "app: web", alone: "."},
		"what a Service selects": {labels: "wants: app", injected: true, alone: ".", before: "web.peers",
			after: "web.peers"},
		"our label, injected": {labels: "wants: label", injected: true, alone: ".", before: "web.peers",
			after: "web.peers"},
		"our label":   {labels: "wants: label", alone: ".", before: "web.peers"},
		"a subdomain": {labels: labelled + ", wants: subdomain", alone: "web.peers", before: ".others"},
		// Gatekeeper validates what Stayput has set.
		"held to a name": {labels: labelled + `, strict: "yes"`, generated: true, alone: "NAME.peers"},
	} {
		t.Run(name, func(t *testing.T) {
			var alone *corev1.Pod
			var warnings []string
			for _, o := range g.orders {
				tc.deed = "nothing" // Gatekeeper goes by labels
				pod, a, same := tc.create(t, g.client, o)
				if a.err != nil {
					continue
				}
				if o.name == "alone" {
					alone, warnings = pod, o.warned(a)
					continue
				}
				expected := alone.DeepCopy()
				deeds["sidecar"](map[string]string{}, &expected.Spec)
				expected.Labels["team"] = "storage"
				switch expected.Labels["wants"] {
				case "app":
					expected.Labels["app"] = "web"
				case "label":
					expected.Labels[cluster.LabelSubdomain] = "peers"
				}
				if tc.generated {
					expected.Name = pod.Name
				}
				expected.Spec.Hostname, expected.Spec.Subdomain = pod.Spec.Hostname, pod.Spec.Subdomain // see above
				if diff := cmp.Diff(expected, pod, unlike); diff != "" {
					t.Errorf("%s (-as alone, and what Gatekeeper does +now):\n%s", o.name, diff)
				}
				if diff := cmp.Diff(warnings, o.warned(a), cmpopts.EquateEmpty()); same && diff != "" {
					t.Errorf("%s (-warnings alone +now):\n%s", o.name, diff)
				}
			}
		})
	}
	t.Run("denials", g.denials)
}

func (g gatekeeper) denials(t *testing.T) {
	create := func(o order, hostname, wants string) answer {
		d := parse[appsv1.Deployment](t, o.plain, besideDeployment("nothing", hostname))
		d.Labels = map[string]string{"wants": wants}
		return g.create(t, d)
	}
	alone := create(g.orders[0], "hostname: mine, ", "nothing")
	if len(alone.causes()) == 0 {
		t.Fatalf("not denied: %v", alone.err)
	}
	for _, o := range g.orders[1:] {
		for name, a := range map[string]answer{
			"the author's fault": create(o, "hostname: mine, ", "nothing"), "Gatekeeper's fault": create(o, "", "fault"),
		} {
			if a.err == nil {
				t.Errorf("%s: %s is not denied", o.name, name)
				continue
			}
			if got, want := o.anonymous(a.err.Error()), g.orders[0].anonymous(alone.err.Error()); got != want {
				t.Errorf("%s: %s: %s\nwant: %s", o.name, name, got, want)
			}
			if diff := cmp.Diff(alone.causes(), a.causes()); diff != "" {
				t.Errorf("%s: %s (-causes alone +now):\n%s", o.name, name, diff)
			}
		}
		a := g.create(t, parse[corev1.Pod](t, o.plain, besidePod("web", `strict: "yes"`, "nothing")))
		if a.err == nil || !strings.Contains(a.err.Error(), gatekeeperRefusal) {
			t.Errorf("%s: Gatekeeper's own denial: %v", o.name, a.err)
		}
	}
}

// volumes has a StatefulSet with a claim in each order.
func (g gatekeeper) volumes(t *testing.T) {
	for _, o := range g.orders {
		// Without serviceName, which is filled in.
		apply(t, o.plain, besideStatefulSet("db", "", "nothing", ", app: web"))
	}
	var denied string
	for i, o := range g.orders {
		output(t, "1", "get", "statefulset", "db", "-n", o.plain, "-o", "jsonpath={.status.readyReplicas}")
		output(t, "db-0 peers", "get", "pod", "db-0", "-n", o.plain, "-o", "jsonpath={.spec.hostname} {.spec.subdomain}")
		containers := []string{"web", "web sidecar", "web sidecar"}[i]
		output(t, containers, "get", "pod", "db-0", "-n", o.plain, "-o", "jsonpath={.spec.containers[*].name}")
		volumes := volumesOf(t, o.plain)
		letGo(t, volumes)
		team := []string{"", "storage", "storage"}[i]
		output(t, strings.TrimSpace("Retain Retain/configuration db/data/0 "+team), "get", "pv", volumes[0], "-o",
			`jsonpath={.spec.persistentVolumeReclaimPolicy} {.metadata.annotations.stayput\.dev/reclaim-policy-set} `+
				`{.metadata.annotations.stayput\.dev/claim-of} {.metadata.labels.team}`)
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: o.plain, Name: "data-db-0"}}
		a := ask(t.Context(), func(ctx context.Context) error { return g.client.Delete(ctx, claim, client.DryRunAll) })
		if len(a.causes()) == 0 {
			t.Fatalf("%s: the deletion of a claim in use is not denied: %v", o.name, a.err)
		}
		if got := o.anonymous(a.err.Error()); i == 0 {
			denied = got
		} else if got != denied {
			t.Errorf("%s: %s\nwant: %s", o.name, got, denied)
		}
	}
}

// reports: each finds on the same Pod what its own policies say.
func (g gatekeeper) reports(t *testing.T) {
	output(t, "2", "get", "besidenamed.constraints.gatekeeper.sh", "named", "-o", "jsonpath={.status.totalViolations}")
	violations := kubectl(t, "get", "besidenamed.constraints.gatekeeper.sh", "named", "-o",
		`jsonpath={range .status.violations[*]}{.namespace}/{.name}: {.message}{"\n"}{end}`)
	for _, o := range g.orders[1:] {
		contains(t, violations, o.plain+"/stray: "+gatekeeperRefusal)
	}
	for _, o := range g.orders {
		r, _ := audited(t, 0, "--kubeconfig", env.Cluster.Kubeconfig(), "-n", o.plain)
		found := false
		for _, f := range r.Findings {
			found = found || f.Rule == "pod-subdomain" && f.Object.Name == "stray"
		}
		if !found {
			t.Errorf("%s: audit does not find the Pod without a name: %+v", o.name, r.Findings)
		}
	}
}
