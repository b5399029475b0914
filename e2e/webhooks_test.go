package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stayput.dev/webhook"
)

// The objects of TestWhatTheAPIServerAsksAbout.
const asked = `apiVersion: v1
kind: Namespace
metadata: {name: app}
---
apiVersion: v1
kind: Namespace
metadata: {name: injected, labels: {stayput.dev/inject: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: going}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: app}
spec: {clusterIP: None, selector: {app: db}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app}
spec:
  serviceName: db
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: db}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: going, namespace: app, finalizers: [stayput.dev/test]}
spec:
  serviceName: db
  selector: {matchLabels: {app: going}}
  template:
    metadata: {labels: {app: going}}
    spec: {containers: [{name: db, image: db}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: named, namespace: app}
spec: {hostname: named, subdomain: db, containers: [{name: db, image: db}]}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disk}
provisioner: example.com/disk
reclaimPolicy: Retain
---
`

func askedClaim(name, ns, more string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, namespace: %s%s}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
---
`, name, ns, more)
}

func askedVolume(name, more string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: %s%s}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 1Gi}
  storageClassName: disk
  csi: {driver: example.com, volumeHandle: %[1]s}
---
`, name, more)
}

// askedPod is a Pod with more in its metadata and its spec.
func askedPod(metadata, spec string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: new%s}\nspec: {containers: [{name: a, image: a}]%s}\n",
		metadata, spec)
}

const (
	subdomainLabel = ", labels: {stayput.dev/subdomain: db}"
	ofStatefulSet  = ", ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: 1-2, controller: true}]"
	ofNoController = ", ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: db, uid: 1-2}]"
	ofReplicaSet   = ", ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: db, uid: 1-2, controller: true}]"
	hostPath       = ", volumes: [{name: v, hostPath: {path: /data}}]"

	kubeController = "system:serviceaccount:kube-system:"
	keptLabel      = `, labels: {stayput.dev/protect: "true"}`
	finalizer      = ", finalizers: [stayput.dev/test]"
	newStatefulSet = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: new}\nspec: {serviceName: db, selector: " +
		"{matchLabels: {app: new}}, template: {metadata: {labels: {app: new}}, spec: {containers: [{name: a, image: a}]}}}\n"
	newDeployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: new}\nspec: {selector: {matchLabels: " +
		"{app: new}}, template: {metadata: {labels: {app: new}}, spec: {containers: [{name: a, image: a}]}}}\n"
	newService = "apiVersion: v1\nkind: Service\nmetadata: {name: new}\nspec: {clusterIP: None, selector: {app: " +
		"new}}\n"
	newClass = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: new}\nprovisioner: " +
		"example.com/disk\n"
	touch = `-p={"metadata":{"labels":{"touched":"true"}}}`
	keep  = `-p={"metadata":{"finalizers":["example.com/kept"]}}`
	own   = `-p={"metadata":{"ownerReferences":[{"apiVersion":"example.com/v1","kind":"DB","name":"db","uid":"1-2"}]}}`
	both  = "conventions defaults"
)

// TestWhatTheAPIServerAsksAbout sends requests of every sort and counts, by
// the API server's own metrics, which webhooks it calls.
func TestWhatTheAPIServerAsksAbout(t *testing.T) {
	t.Parallel()
	b := newBare(t, "")
	b.kubectl(t, asked+askedClaim("data", "app", "")+askedClaim("going", "app", finalizer)+
		askedClaim("kept", "app", keptLabel)+askedVolume("kept", keptLabel)+
		askedVolume("free", "")+askedVolume("bound", "")+askedVolume("going", finalizer)+
		strings.Replace(newStatefulSet, "{name: new}", "{name: kept, namespace: app"+keptLabel+"}", 1)+
		"---\napiVersion: v1\nkind: Namespace\nmetadata: {name: kept"+keptLabel+"}\n", "create", "-f", "-")
	for _, pv := range []string{"bound", "going"} {
		b.kubectl(t, "", "patch", "pv", pv, "--subresource=status", "--type=merge", `-p={"status":{"phase":"Bound"}}`)
	}
	for _, going := range []string{"pvc/going", "statefulset/going", "pv/going", "namespace/going"} {
		b.kubectl(t, "", "delete", going, "-n", "app", "--wait=false")
	}
	b.kubectl(t, "", "label", "namespace", "kept", "stayput.dev/protect=true")
	b.kubectl(t, askedClaim("data", "kube-system", "")+askedClaim("data", "stayput", ""), "create", "-f", "-")

	const create = "create -f -"
	for name, tc := range map[string]struct {
		as       string // a user; the administrator if empty
		in       string // a namespace; app if empty
		manifest string
		args     string
		want     string // the webhooks that are called, without .stayput.dev
	}{
		"Pod with our label": {args: create, manifest: askedPod(subdomainLabel, ""),
			want: "identity pods"},
		"Pod with our label by the ReplicaSet": {args: create, manifest: askedPod(subdomainLabel+ofReplicaSet, ""),
			as: kubeController + "replicaset-controller", want: "identity pods"},
		"Pod with our label by a node": {args: create, manifest: askedPod(subdomainLabel, ""),
			as: "system:node:n"},
		"Pod with our label in kube-system": {args: create, manifest: askedPod(subdomainLabel, hostPath),
			in: "kube-system"},
		"Pod with our label in our own namespace": {args: create, manifest: askedPod(subdomainLabel, hostPath),
			in: "stayput"},
		"Pod with our label in a labelled namespace": {args: create, manifest: askedPod(subdomainLabel, ""), in: "injected",
			want: "identity-namespace pods"},
		"Pod without our label in a labelled namespace": {args: create, manifest: askedPod("", ""), in: "injected",
			want: "identity-namespace pods"},
		"Pod without our label in a labelled namespace of a ReplicaSet": {args: create,
			manifest: askedPod(ofReplicaSet, ""),
			in:       "injected", as: kubeController + "replicaset-controller", want: "identity-namespace"},
		"Pod of a StatefulSet": {args: create, manifest: askedPod(subdomainLabel+ofStatefulSet,
			", subdomain: db"+hostPath), as: kubeController + "statefulset-controller"},
		"Pod of a StatefulSet in a labelled namespace": {args: create, manifest: askedPod(ofStatefulSet, ""),
			in: "injected", as: kubeController + "statefulset-controller"},
		"Pod of a StatefulSet, by a controller manager without other accounts": {args: create,
			manifest: askedPod(subdomainLabel+ofStatefulSet, ""), as: "system:kube-controller-manager"},
		"Pod of which a person says that it is of a StatefulSet": {args: create,
			manifest: askedPod(subdomainLabel+ofStatefulSet, ""), want: "identity pods"},
		"Pod of which a person says so in a labelled namespace": {args: create,
			manifest: askedPod(ofStatefulSet, ""), in: "injected", want: "identity-namespace pods"},
		"Pod of another StatefulSet than Kubernetes' own, which has another controller": {args: create,
			manifest: askedPod(strings.Replace(subdomainLabel+ofStatefulSet, "apps/", "apps.kruise.io/", 1), ""),
			as:       "system:serviceaccount:kruise-system:kruise-manager", want: "identity pods"},
		"Pod without a controller":                {args: create, manifest: askedPod("", ""), want: "pods"},
		"Pod without a controller, with an owner": {args: create, manifest: askedPod(ofNoController, ""), want: "pods"},
		"ordinary Pod by the ReplicaSet": {args: create, manifest: askedPod(ofReplicaSet, ""), as: kubeController +
			"replicaset-controller"},
		"Pod with a subdomain":        {args: create, manifest: askedPod(ofReplicaSet, ", subdomain: db"), want: "pods"},
		"Pod with hostPath":           {args: create, manifest: askedPod(ofReplicaSet, hostPath), want: "pods"},
		"Pod with hostPath by a node": {args: create, manifest: askedPod("", hostPath), as: "system:node:n"},
		"Pod with another volume": {args: create,
			manifest: askedPod(ofReplicaSet, ", volumes: [{name: v, emptyDir: {}}]")},
		"Pod with our annotation": {args: create,
			manifest: askedPod(ofReplicaSet+", annotations: {exempt.stayput.dev/x: because}", ""), want: "pods"},
		"Pod with the label of another tool": {args: create,
			manifest: askedPod(ofReplicaSet+", labels: {example.com/subdomain: db}", "")},
		"labels of a Pod":   {args: "patch pod named " + touch},
		"status of a Pod":   {args: `patch pod named --subresource=status -p={"status":{"message":"hi"}}`},
		"deletion of a Pod": {args: "delete pod named"},

		"StatefulSet": {args: create, manifest: newStatefulSet, want: "conventions defaults"},
		"StatefulSet by an operator": {args: create, manifest: newStatefulSet,
			as: "system:serviceaccount:app:operator", want: "conventions defaults"},
		"StatefulSet in kube-system": {args: create, manifest: newStatefulSet, in: "kube-system"},
		"labels of a StatefulSet":    {args: "patch statefulset db " + touch, want: "conventions defaults"},
		"labels of a StatefulSet by Kubernetes": {args: "patch statefulset db " + touch, as: kubeController +
			"statefulset-controller"},
		"labels of a StatefulSet that is being deleted": {args: "patch statefulset going " + touch},
		"status of a StatefulSet": {
			args: `patch statefulset db --subresource=status -p={"status":{"replicas":1}}`},
		"deletion of a StatefulSet": {args: "delete statefulset db", want: "conventions"},
		"deletion of a StatefulSet by Kubernetes": {args: "delete statefulset db", as: kubeController +
			"generic-garbage-collector"},
		"deletion of a StatefulSet that is being deleted": {args: "delete statefulset going"},
		"scale of a StatefulSet":                          {args: "scale statefulset db --replicas=2", want: "conventions"},
		"scale of a StatefulSet by autoscaler": {args: "scale statefulset db --replicas=2", as: kubeController +
			"horizontal-pod-autoscaler", want: "conventions"},
		"scale of a Deployment": {args: "scale deployment web --replicas=2", want: "conventions"},
		"Deployment":            {args: create, manifest: newDeployment, want: "conventions"},
		"labels of a Deployment by Kubernetes": {args: "patch deployment web " + touch, as: kubeController +
			"deployment-controller"},
		"Service":                             {args: create, manifest: newService, want: "conventions"},
		"labels of a Service":                 {args: "patch service db " + touch, want: "conventions defaults"},
		"deletion of a Service":               {args: "delete service db", want: "conventions"},
		"deletion of a Service by Kubernetes": {args: "delete service db", as: kubeController + "namespace-controller"},

		"finalizer of a StatefulSet": {args: "patch statefulset db " + keep},
		"owner of a StatefulSet":     {args: "patch statefulset db " + own},
		"a StatefulSet unchanged":    {args: `patch statefulset db -p={"spec":{"serviceName":"db"}}`},
		"revisions of a StatefulSet": {args: `patch statefulset db -p={"spec":{"revisionHistoryLimit":3}}`, want: both},
		"annotation of a StatefulSet": {args: `patch statefulset db -p={"metadata":{"annotations":{"a":"b"}}}`,
			want: both},
		"finalizer of a Deployment":       {args: "patch deployment web " + keep},
		"image of a Deployment":           {args: "set image deployment/web web=web:2", want: both},
		"scale of a Deployment unchanged": {args: "scale deployment web --replicas=1"},
		"finalizer of a Service":          {args: "patch service db " + keep},
		"selector of a Service":           {args: `patch service db -p={"spec":{"selector":{"app":"other"}}}`, want: both},
		"a Service without its selector":  {args: `patch service db -p={"spec":{"selector":null}}`, want: both},
		"finalizer of a claim":            {args: "patch pvc data " + keep},
		"volume of a claim":               {args: `patch pvc data -p={"spec":{"volumeName":"free"}}`, want: both},
		"finalizer of a volume, as attachers set it": {args: "patch pv bound " + keep,
			as: "system:serviceaccount:storage:csi-attacher"},
		"reclaim policy of a volume": {args: `patch pv bound -p={"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`,
			want: "conventions"},
		"annotation of a Namespace": {args: `patch namespace app -p={"metadata":{"annotations":{"a":"b"}}}`,
			want: "conventions"},
		"finalizer of a Namespace": {args: "patch namespace app " + keep},
		"finalizer of a class":     {args: "patch storageclass disk " + keep},
		"expansion of a class":     {args: `patch storageclass disk -p={"allowVolumeExpansion":true}`, want: both},

		"claim": {args: create, manifest: askedClaim("new", "app", ""), want: "conventions"},
		"claim by Kubernetes": {args: create, manifest: askedClaim("new", "app", ""), as: kubeController +
			"statefulset-controller", want: "conventions"},
		"labels of a claim": {args: "patch pvc data " + touch, want: "conventions defaults"},
		"labels of a claim by Kubernetes": {args: "patch pvc data " + touch, as: kubeController +
			"persistent-volume-binder"},
		"labels of a claim that is being deleted": {args: "patch pvc going " + touch},
		"deletion of a claim":                     {args: "delete pvc data", want: "deletion"},
		"deletion of a claim by an operator": {args: "delete pvc data", as: "system:serviceaccount:app:operator",
			want: "deletion"},
		"deletion of a claim by a service account named like a controller": {args: "delete pvc data",
			as: "system:serviceaccount:app:generic-garbage-collector", want: "deletion"},
		"deletion of a claim by the garbage collector": {args: "delete pvc data",
			as: kubeController + "generic-garbage-collector"},
		"deletion of a claim by the namespace controller": {args: "delete pvc data",
			as: kubeController + "namespace-controller"},
		"deletion of a claim by the controller manager": {args: "delete pvc data", as: "system:kube-controller-manager"},
		"deletion of a claim by a node":                 {args: "delete pvc data", as: "system:node:n"},
		"deletion of a claim that is being deleted":     {args: "delete pvc going"},
		"deletion of a claim in kube-system":            {args: "delete pvc data", in: "kube-system"},
		"deletion of a claim in our own namespace":      {args: "delete pvc data", in: "stayput"},

		"volume": {args: create, manifest: askedVolume("new", ""), want: "conventions defaults"},
		"volume by Kubernetes": {args: create, manifest: askedVolume("new", ""), as: kubeController +
			"persistent-volume-binder", want: "conventions defaults"},
		"volume by a provisioner": {args: create, manifest: askedVolume("new", ""),
			as: "system:serviceaccount:kube-system:csi-provisioner", want: "conventions defaults"},
		"labels of a volume": {args: "patch pv bound " + touch, want: "conventions"},
		"labels of a volume by Kubernetes": {args: "patch pv bound " + touch,
			as: kubeController + "persistent-volume-binder"},
		"deletion of a volume": {args: "delete pv bound", want: "deletion"},
		"deletion of a volume by Kubernetes": {args: "delete pv bound",
			as: kubeController + "persistent-volume-binder"},
		"deletion of an Available volume":            {args: "delete pv free"},
		"deletion of a volume that is being deleted": {args: "delete pv going"},

		"deletion of a protected StatefulSet": {args: "delete statefulset kept", want: "protected"},
		"deletion of a protected StatefulSet by Argo CD": {args: "delete statefulset kept",
			as: "system:serviceaccount:argocd:argocd-application-controller", want: "protected"},
		"deletion of a protected StatefulSet by Kubernetes": {args: "delete statefulset kept", as: kubeController +
			"generic-garbage-collector"},
		"scale of a protected StatefulSet": {args: "scale statefulset kept --replicas=0", want: "conventions"},
		"replicas of a protected StatefulSet": {args: `patch statefulset kept -p={"spec":{"replicas":0}}`,
			want: both},
		"deletion of a protected claim": {args: "delete pvc kept", want: "protected"},
		"deletion of a protected claim by Kubernetes": {args: "delete pvc kept",
			as: kubeController + "namespace-controller"},
		"deletion of all claims":            {args: "delete pvc --all", want: "deletion protected"},
		"deletion of a protected volume":    {args: "delete pv kept", want: "protected"},
		"deletion of a protected Namespace": {args: "delete namespace kept", want: "protected"},

		"class":                       {args: create, manifest: newClass, want: "conventions defaults"},
		"deletion of a class":         {args: "delete storageclass disk", want: "conventions"},
		"Namespace":                   {args: "create namespace new", want: "conventions"},
		"labels of a Namespace":       {args: "patch namespace app " + touch, want: "conventions"},
		"labels of our own Namespace": {args: "patch namespace stayput " + touch},
		"deletion of a Namespace":     {args: "delete namespace app", want: "deletion"},
		"deletion of a Namespace that is being deleted": {args: "delete namespace going"},
		"deletion of our own Namespace":                 {args: "delete namespace stayput"},
		"deletion of a Namespace by Kubernetes": {args: "delete namespace app",
			as: kubeController + "namespace-controller"},

		"ConfigMap":           {args: "create configmap new"},
		"Secret":              {args: "create secret generic new"},
		"ServiceAccount":      {args: "create serviceaccount new"},
		"Job":                 {args: "create job new --image=a"},
		"CronJob":             {args: "create cronjob new --image=a --schedule=@daily"},
		"PodDisruptionBudget": {args: "create pdb new --selector=app=db --max-unavailable=1"},
		"Role":                {args: "create role new --verb=get --resource=pods"},
		"quota":               {args: "create quota new"},
		"Lease": {args: create,
			manifest: "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: new}\n"},
		"Event": {args: create,
			manifest: "apiVersion: v1\nkind: Event\nmetadata: {name: new}\ninvolvedObject: {namespace: app}\n"},
		"Node":       {args: create, manifest: "apiVersion: v1\nkind: Node\nmetadata: {name: new}\n"},
		"ReplicaSet": {args: create, manifest: strings.Replace(newDeployment, "Deployment", "ReplicaSet", 1)},
		"DaemonSet":  {args: create, manifest: strings.Replace(newDeployment, "Deployment", "DaemonSet", 1)},
		"EndpointSlice": {args: create,
			manifest: "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: new}\naddressType: " +
				"IPv4\nendpoints: []\n"},
	} {
		args := append(strings.Fields(tc.args), "--dry-run=server")
		in := tc.in
		if in == "" {
			in = "app"
		}
		args = append(args, "-n", in)
		if tc.as != "" {
			args = append(args, "--as="+tc.as, "--as-group=system:masters")
			if strings.HasPrefix(tc.as, "system:node:") {
				args = append(args, "--as-group=system:nodes")
			}
		}
		before := b.calls(t)
		out, err := b.try(t, tc.manifest, args...)
		if err != nil && !strings.Contains(out, "denied the request") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		after := b.calls(t)
		maps.DeleteFunc(after, func(webhook string, n string) bool { return before[webhook] == n })
		if got := strings.Join(slices.Sorted(maps.Keys(after)), " "); got != tc.want {
			t.Errorf("%s: the API server asks %q, want %q\n%s", name, got, tc.want, out)
		}
	}
	b.checkConditions(t)
}

// metric returns the lines of one of the API server's metrics.
func (b *bare) metric(t *testing.T, name string) (lines []string) {
	t.Helper()
	client, err := kubernetes.NewForConfig(b.Cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	text, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+"{") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

var webhookName = regexp.MustCompile(`name="([a-z-]+)\.stayput\.dev"`)

// calls returns how often each webhook was called, with which results.
func (b *bare) calls(t *testing.T) map[string]string {
	t.Helper()
	calls := map[string]string{}
	for _, line := range b.metric(t, "apiserver_admission_webhook_request_total") {
		if m := webhookName.FindStringSubmatch(line); m != nil {
			calls[m[1]] += line + "\n"
		}
	}
	return calls
}

// checkConditions says whether every webhook has been called and not called,
// and none of its expressions has failed.
func (b *bare) checkConditions(t *testing.T) {
	t.Helper()
	if failed := b.metric(t, "apiserver_admission_match_condition_evaluation_errors_total"); len(failed) > 0 {
		t.Errorf("expressions failed: %s", failed)
	}
	excluded := strings.Join(b.metric(t, "apiserver_admission_match_condition_exclusions_total"), "\n")
	calls := b.calls(t)
	for _, name := range []string{webhook.Identity, webhook.IdentityNamespace, webhook.Defaults, webhook.Deletion,
		webhook.Protected, webhook.Conventions, webhook.Pods} {
		if calls[strings.TrimSuffix(name, ".stayput.dev")] == "" {
			t.Errorf("%s was never called", name)
		}
		if !strings.Contains(excluded, `name="`+name+`"`) {
			t.Errorf("no expression ever kept a request from %s\n%s", name, excluded)
		}
	}
}

// TestConfigurationsAreModest looks at the configurations as the API server
// has stored them.
func TestConfigurationsAreModest(t *testing.T) {
	t.Parallel()
	api := env.client.AdmissionregistrationV1()
	mutating, err := api.MutatingWebhookConfigurations().Get(t.Context(), "stayput", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	validating, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "stayput", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, rules []admissionv1.RuleWithOperations, timeout int32, effects admissionv1.SideEffectClass,
		conditions int) {
		if timeout > 3 || effects != admissionv1.SideEffectClassNone || conditions == 0 {
			t.Errorf("%s: %d s, side effects %s, %d conditions", name, timeout, effects, conditions)
		}
		for _, r := range rules {
			checkResolves(t, name, r)
		}
	}
	for _, w := range mutating.Webhooks {
		check(w.Name, w.Rules, *w.TimeoutSeconds, *w.SideEffects, len(w.MatchConditions))
	}
	for _, w := range validating.Webhooks {
		check(w.Name, w.Rules, *w.TimeoutSeconds, *w.SideEffects, len(w.MatchConditions))
	}
	if n := len(mutating.Webhooks) + len(validating.Webhooks); n != 8 {
		t.Errorf("%d webhooks, want 8", n)
	}
}

// checkResolves looks a rule's resources up in discovery.
func checkResolves(t *testing.T, name string, r admissionv1.RuleWithOperations) {
	t.Helper()
	for _, op := range r.Operations {
		if op == admissionv1.OperationAll || op == admissionv1.Connect {
			t.Errorf("%s: operation %s", name, op)
		}
	}
	for _, group := range r.APIGroups {
		for _, version := range r.APIVersions {
			gv := strings.TrimPrefix(group+"/"+version, "/")
			list, err := env.client.Discovery().ServerResourcesForGroupVersion(gv)
			if err != nil {
				t.Errorf("%s: %s: %v", name, gv, err)
				continue
			}
			for _, resource := range r.Resources {
				i := slices.IndexFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == resource })
				if i < 0 {
					t.Errorf("%s: %s has no %s", name, gv, resource)
				} else if namespaced := *r.Scope == admissionv1.NamespacedScope; *r.Scope == admissionv1.AllScopes ||
					namespaced != list.APIResources[i].Namespaced {
					t.Errorf("%s: %s: scope %s", name, resource, *r.Scope)
				}
			}
		}
	}
}
