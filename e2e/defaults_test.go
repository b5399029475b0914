package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// TestLintOfAnyChange compares what lint reviews with the answers of the API server to
// dry runs, for random objects of the kinds that rules know: of their creation, and of an
// apply over what an earlier one made, which adds containers, ports, probes, volumes
// and whatever else can be added.
func TestLintOfAnyChange(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/mode=off")
	const each = 8
	for i := range cluster.Kinds {
		if kind := cluster.Kinds[i].GVK().Kind; writers[kind] == nil && !slices.Contains(undefaulted, kind) {
			t.Errorf("no %s is written", kind)
		}
	}
	var created, before, after []*manifest.Manifest
	for kind, write := range writers {
		for i := range uint64(each) {
			text := func(change uint64) *manifest.Manifest {
				a := author{rand.New(rand.NewPCG(i, 1)), rand.New(rand.NewPCG(i, 2+change))}
				o := write(a)
				o["kind"] = kind
				meta := fields{"name": fmt.Sprintf("any-%d", i)}
				if cluster.Namespaced(kindNamed(kind).GVK().GroupKind()) {
					meta["namespace"] = ns
				}
				a.some(meta, "labels", fields{"l": a.pick("a", "b")}, "annotations", fields{"n": a.pick("a", "b")})
				o["metadata"] = meta
				data, err := json.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				mine := fmt.Sprintf(`"app":"%s-%d"`, strings.ToLower(kind), i) // or a Deployment adopts a ReplicaSet
				return manifestOf(t, strings.ReplaceAll(string(data), `"app":"db"`, mine))
			}
			created = append(created, text(0))
			if changeable[kind] {
				before, after = append(before, text(1)), append(after, text(2))
			}
		}
	}
	compare := func(m *manifest.Manifest, got, want cluster.Object) {
		g, w := authored(t, got), authored(t, want)
		prune(g)
		prune(w)
		if diff := cmp.Diff(w, g); diff != "" {
			text, _ := m.JSON()
			t.Errorf("%s: the API server's (-) and lint's (+):\n%s\n%s", nameOf(m), diff, text)
		}
	}
	answers := answersTo(t, created, "apply", "--dry-run=server", "-o", "json", "-f", "-")
	for _, m := range created {
		compare(m, manifest.Defaulted(m.Object), answers[nameOf(m)])
	}
	answersTo(t, before, "apply", "-o", "json", "-f", "-")
	live := objects(t, kubectl(t, "get", "-n", ns, "-o", "json",
		"statefulset,deployment,replicaset,cronjob,service,pvc,hpa,pdb"))
	answers = answersTo(t, after, "apply", "--dry-run=server", "-o", "json", "-f", "-")
	for i, m := range after {
		over, err := m.Over(live[nameOf(m)])
		if err != nil {
			t.Fatal(err)
		}
		compare(m, manifest.Defaulted(over), answers[nameOf(m)])
		instead, err := m.InsteadOf(before[i], manifest.Defaulted(before[i].Object)) // --old has no cluster
		if err != nil {
			t.Fatal(err)
		}
		compare(m, manifest.Defaulted(instead), answers[nameOf(m)])
	}
}

// undefaulted are the kinds to which the API server adds nothing that rules read.
var undefaulted = []string{"CustomResourceDefinition", "ConfigMap", "Node", "VolumeAttributesClass"}

// changeable are the kinds of which an object can be changed in more than its metadata.
var changeable = map[string]bool{"StatefulSet": true, "Deployment": true, "ReplicaSet": true, "CronJob": true,
	"Service": true, "PersistentVolumeClaim": true, "HorizontalPodAutoscaler": true, "PodDisruptionBudget": true}

func kindNamed(name string) *cluster.Kind {
	return &cluster.Kinds[slices.IndexFunc(cluster.Kinds, func(k cluster.Kind) bool { return k.GVK().Kind == name })]
}

func nameOf(m cluster.Object) string {
	return fmt.Sprintf("%s %s", m.GetObjectKind().GroupVersionKind().Kind, m.GetName())
}

// answersTo gives manifests to kubectl, and returns what it prints of each.
func answersTo(t *testing.T, all []*manifest.Manifest, args ...string) map[string]cluster.Object {
	t.Helper()
	var text strings.Builder
	for _, m := range all {
		data, err := m.JSON()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "---\n%s\n", data)
	}
	out, err := try(t, text.String(), args...)
	if err != nil {
		t.Fatalf("%v\n%.8000s", err, out[max(0, len(out)-8000):])
	}
	return objects(t, out[strings.Index(out, "{\n    \""):]) // behind warnings
}

func objects(t *testing.T, text string) map[string]cluster.Object {
	t.Helper()
	all, _, err := manifest.ParseManifests("text", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]cluster.Object{}
	for _, m := range all {
		named[nameOf(m)] = m.Object
	}
	return named
}

// prune takes out of an object what is no default: addresses and ports that are
// allocated, what admission plugins add to Pods, the selector of a Job; and what older
// API servers do not have.
func prune(node any) {
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			prune(item)
		}
	case fields:
		for _, key := range []string{"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "nodePort", "tolerations",
			"priority", "preemptionPolicy", "finalizers"} {
			delete(node, key)
		}
		for _, key := range []string{"controller-uid", "job-name"} {
			delete(node, key)
			delete(node, "batch.kubernetes.io/"+key)
		}
		if env.minor < 37 {
			delete(node, "maxUnavailable")
		}
		for key, value := range node {
			prune(value)
			inner, isMap := value.(fields)
			if isMap && len(inner) == 0 && slices.Contains([]string{"spec", "selector", "matchLabels", "labels"}, key) {
				delete(node, key)
			}
		}
	}
}

type fields = map[string]any

// An author writes random manifests. Two with the same fixed choices differ only in
// what can be changed.
type author struct{ fixed, free *rand.Rand }

// some writes each of the pairs of a name and a value, or leaves it out.
func (a author) some(o fields, pairs ...any) fields {
	for i := 0; i < len(pairs); i += 2 {
		if a.free.IntN(2) == 0 {
			o[pairs[i].(string)] = pairs[i+1]
		}
	}
	return o
}

// pick returns one of the values.
func (a author) pick(values ...any) any { return values[a.free.IntN(len(values))] }

// always is an author whose every choice is fixed.
func (a author) always() author { return author{a.fixed, a.fixed} }

// subset returns some of the items, the first at least, in their order.
func (a author) subset(items ...any) (some []any) {
	for i, item := range items {
		if i == 0 || a.free.IntN(3) == 0 {
			some = append(some, item)
		}
	}
	return some
}

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func (a author) container(name string) fields {
	c := fields{"name": name, "image": a.pick("db", "db:1", "db:latest", "example.com:5000/db", "example.com:5000/db:2",
		"db"+digest, "example.com/a/db:latest"+digest)}
	port := 100 * int(name[0]-'a'+1)
	get := a.some(fields{"port": port}, "path", "/stop", "scheme", a.pick("HTTP", "HTTPS"))
	downward := fields{"fieldRef": a.some(fields{"fieldPath": "metadata.name"}, "apiVersion", "v1")}
	return a.some(c,
		"imagePullPolicy", a.pick("Always", "IfNotPresent", "Never"), "terminationMessagePath", "/message",
		"terminationMessagePolicy", a.pick("File", "FallbackToLogsOnError"), "securityContext", fields{"privileged": false},
		"ports", a.subset(a.some(fields{"containerPort": port}, "protocol", a.pick("TCP", "UDP"), "name", "http"),
			fields{"containerPort": port + 1}, a.some(fields{"containerPort": port + 2}, "protocol", "TCP")),
		"env", a.subset(fields{"name": "A", "value": a.pick("a", "b")}, fields{"name": "B", "valueFrom": downward},
			fields{"name": "C", "value": "$(A)"}),
		"resources", a.some(fields{}, "limits", fields{"cpu": "1", "memory": "1Gi"}, "requests", fields{"cpu": "500m"}),
		"lifecycle", fields{"preStop": a.pick(fields{"httpGet": get},
			fields{"exec": fields{"command": []any{"sleep", "1"}}})})
}

// probed adds probes, which init containers have none of.
func (a author) probed(c fields) fields {
	probe := func() fields {
		p := a.some(fields{}, "periodSeconds", a.pick(10, 20), "timeoutSeconds", a.pick(1, 2), "failureThreshold", 3)
		handler := a.pick("httpGet", "tcpSocket", "grpc", "exec")
		switch handler {
		case "httpGet":
			p["httpGet"] = a.some(fields{"port": 80}, "path", "/live", "scheme", a.pick("HTTP", "HTTPS"))
		case "tcpSocket":
			p["tcpSocket"] = fields{"port": 80}
		case "grpc":
			p["grpc"] = a.some(fields{"port": 80}, "service", "live")
		case "exec":
			p["exec"] = fields{"command": []any{"true"}}
		}
		return p
	}
	return a.some(c, "readinessProbe", probe(), "livenessProbe", probe(), "startupProbe", probe())
}

func (a author) claimSpec() fields {
	return a.some(fields{"accessModes": []any{"ReadWriteOnce"}, "storageClassName": "none",
		"resources": fields{"requests": fields{"storage": "1Gi"}}}, "volumeMode", a.pick("Filesystem", "Block"))
}

func (a author) volumes() []any {
	downward := []any{fields{"path": "p", "fieldRef": a.some(fields{"fieldPath": "metadata.name"}, "apiVersion", "v1")}}
	mode := a.pick(256, 420)
	image := fields{"name": "image", "image": a.some(fields{"reference": a.pick("db", "db:1")}, "pullPolicy", "Always")}
	if env.minor < 35 { // the API server leaves out the whole volume, unless a gate is open
		image = fields{"name": "image"}
	}
	return a.subset(fields{"name": "empty"},
		fields{"name": "node", "hostPath": a.some(fields{"path": "/x"}, "type", a.pick("", "Directory"))},
		fields{"name": "secret", "secret": a.some(fields{"secretName": "s"}, "defaultMode", mode)},
		fields{"name": "files", "configMap": a.some(fields{"name": "c"}, "defaultMode", mode)},
		fields{"name": "about", "downwardAPI": a.some(fields{"items": downward}, "defaultMode", mode)},
		fields{"name": "all", "projected": a.some(fields{"sources": a.subset(
			fields{"serviceAccountToken": a.some(fields{"path": "t"}, "expirationSeconds", a.pick(3600, 7200))},
			fields{"downwardAPI": fields{"items": downward}}, fields{"secret": fields{"name": "s"}})}, "defaultMode", mode)},
		fields{"name": "own", "ephemeral": fields{"volumeClaimTemplate": fields{"spec": a.claimSpec()}}},
		image, fields{"name": "iscsi", "iscsi": a.disk("iscsi")}, fields{"name": "rbd", "rbd": a.disk("rbd")},
		fields{"name": "azure", "azureDisk": a.disk("azureDisk")}, fields{"name": "scale", "scaleIO": a.disk("scaleIO")})
}

// disk returns a source that volumes of Pods and PersistentVolumes have.
func (a author) disk(source string) fields {
	switch source {
	case "iscsi":
		return a.some(fields{"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:disk", "lun": 0}, "iscsiInterface",
			"tcp")
	case "rbd":
		return a.some(fields{"monitors": []any{"10.0.0.1"}, "image": "i"}, "pool", "p", "user", "u", "keyring", "/k")
	case "azureDisk":
		return a.some(fields{"diskName": "d", "diskURI": "https://example.com/d.vhd"}, "fsType", "xfs", "readOnly", true,
			"cachingMode", "None", "kind", a.pick("Shared", "Dedicated"))
	}
	return a.some(fields{"gateway": "https://example.com", "system": "s", "volumeName": "v",
		"secretRef": fields{"name": "s"}}, "storageMode", "ThickProvisioned", "fsType", "ext4")
}

func (a author) podSpec() fields {
	spec := fields{"volumes": a.volumes(), "containers": a.subset(a.probed(a.container("a")), a.probed(a.container("b")),
		a.probed(a.container("c")))}
	return a.some(spec, "initContainers", a.subset(a.initContainer("i"), a.initContainer("j")),
		"serviceAccountName", "default", "dnsPolicy", a.pick("ClusterFirst", "Default"),
		"schedulerName", a.pick("default-scheduler", "mine"),
		"terminationGracePeriodSeconds", a.pick(30, 60), "securityContext", fields{"fsGroup": 1}, "enableServiceLinks", false,
		"hostNetwork", true, "restartPolicy", "Always")
}

func (a author) initContainer(name string) fields {
	c := a.container(name)
	delete(c, "lifecycle")
	return c
}

func (a author) template() fields {
	return fields{"metadata": a.some(fields{"labels": fields{"app": "db"}}, "annotations", fields{"a": a.pick("a", "b")}),
		"spec": a.podSpec()}
}

func (a author) jobTemplate() fields {
	t := a.template()
	t["spec"].(fields)["restartPolicy"] = "Never"
	disrupted := a.some(fields{"type": "DisruptionTarget"}, "status", "True")
	if env.minor < 34 { // a Job's status is True by default, that of a CronJob's Jobs is missed
		disrupted["status"] = "True"
	}
	return a.some(fields{"template": t}, "podFailurePolicy", fields{"rules": []any{fields{"action": "Ignore",
		"onPodConditions": []any{disrupted}}}})
}

var selector = fields{"matchLabels": fields{"app": "db"}}

// writers write what is of one kind, without its name.
var writers = map[string]func(author) fields{
	"StatefulSet": func(a author) fields {
		spec := fields{"replicas": 0, "serviceName": "db", "selector": selector, "template": a.template()}
		once := a.always()
		once.some(spec, "podManagementPolicy", once.pick("OrderedReady", "Parallel"), "volumeClaimTemplates", once.subset(
			fields{"metadata": fields{"name": "data"}, "spec": once.claimSpec()},
			once.some(fields{"metadata": fields{"name": "logs"}, "spec": once.claimSpec()}, "apiVersion", "v1",
				"kind", "PersistentVolumeClaim")))
		if once.free.IntN(3) == 0 { // an apply cannot turn one into the other
			spec["updateStrategy"] = fields{"type": "OnDelete"}
		} else {
			a.some(spec, "updateStrategy", a.pick(fields{"type": "RollingUpdate"},
				fields{"rollingUpdate": fields{"partition": 1}}))
		}
		a.some(spec, "revisionHistoryLimit", a.pick(10, 3), "minReadySeconds", 5, "persistentVolumeClaimRetentionPolicy",
			a.some(fields{"whenScaled": a.pick("Retain", "Delete")}, "whenDeleted", "Delete"))
		return fields{"apiVersion": "apps/v1", "spec": spec}
	},
	"Deployment": func(a author) fields {
		return fields{"apiVersion": "apps/v1", "spec": a.some(fields{"replicas": 0, "selector": selector,
			"template": a.template()}, "strategy", a.pick(fields{"type": "Recreate"}, fields{"type": "RollingUpdate"},
			fields{"rollingUpdate": fields{"maxSurge": 2}}), "revisionHistoryLimit", a.pick(10, 3),
			"progressDeadlineSeconds", a.pick(600, 60))}
	},
	"ReplicaSet": func(a author) fields {
		return fields{"apiVersion": "apps/v1", "spec": fields{"replicas": 0, "selector": selector, "template": a.template()}}
	},
	"Job": func(a author) fields {
		spec := a.jobTemplate()
		return fields{"apiVersion": "batch/v1", "spec": a.some(spec, "suspend", true, "parallelism", 2, "completions", 3,
			"backoffLimit", 4)}
	},
	"CronJob": func(a author) fields {
		return fields{"apiVersion": "batch/v1", "spec": a.some(fields{"schedule": "0 0 30 2 *", "jobTemplate": fields{
			"spec": a.jobTemplate()}}, "suspend", true, "concurrencyPolicy", a.pick("Allow", "Forbid"),
			"successfulJobsHistoryLimit", a.pick(3, 0), "failedJobsHistoryLimit", 1)}
	},
	"Pod": func(a author) fields {
		spec := a.podSpec()
		spec["serviceAccountName"], spec["automountServiceAccountToken"] = "default", false
		return fields{"apiVersion": "v1", "spec": spec}
	},
	"Service": func(a author) fields {
		spec := a.some(fields{"selector": fields{"app": "db"}, "ports": a.subset(
			a.some(fields{"port": 80, "name": "a"}, "protocol", a.pick("TCP", "UDP"), "targetPort", a.pick(8080, "http")),
			a.some(fields{"port": 81, "name": "b"}, "targetPort", 81), fields{"port": 82, "name": "c"})},
			"sessionAffinity", a.pick("None", "ClientIP"), "publishNotReadyAddresses", true, "internalTrafficPolicy",
			a.pick("Cluster", "Local"))
		switch once := a.always(); once.pick("none", "address", "balanced", "external") {
		case "none":
			spec["clusterIP"] = "None"
		case "balanced":
			once.some(spec, "type", "LoadBalancer")
		case "external":
			spec = fields{"type": "ExternalName", "externalName": a.pick("a.example.com", "b.example.com")}
		}
		return fields{"apiVersion": "v1", "spec": spec}
	},
	"PersistentVolumeClaim": func(a author) fields {
		once := a.always()
		source := once.pick("dataSource", "dataSourceRef").(string)
		return fields{"apiVersion": "v1", "spec": once.some(once.claimSpec(), source, fields{"kind": "PersistentVolumeClaim",
			"name": "other"})}
	},
	"PersistentVolume": func(a author) fields {
		spec := a.some(fields{"capacity": fields{"storage": "1Gi"}, "accessModes": []any{"ReadWriteOnce"},
			"storageClassName": "none"}, "persistentVolumeReclaimPolicy", a.pick("Retain", "Delete"), "volumeMode", "Filesystem")
		switch source := a.pick("hostPath", "iscsi", "rbd", "azureDisk", "scaleIO").(string); source {
		case "hostPath":
			spec[source] = fields{"path": "/any"}
		default:
			spec[source] = a.disk(source)
		}
		return fields{"apiVersion": "v1", "spec": spec}
	},
	"StorageClass": func(a author) fields { // a mutator retains without a reclaimPolicy
		return a.some(fields{"apiVersion": "storage.k8s.io/v1", "provisioner": "disk.example.com", "reclaimPolicy": "Delete"},
			"volumeBindingMode", a.pick("Immediate", "WaitForFirstConsumer"))
	},
	"HorizontalPodAutoscaler": func(a author) fields {
		rules := func() fields {
			return a.some(fields{"stabilizationWindowSeconds": 60}, "selectPolicy", a.pick("Max", "Min"), "policies",
				[]any{fields{"type": "Pods", "value": 1, "periodSeconds": 30}})
		}
		return fields{"apiVersion": "autoscaling/v2", "spec": a.some(fields{"maxReplicas": 3, "scaleTargetRef": fields{
			"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}}, "minReplicas", a.pick(1, 2),
			"behavior", a.some(fields{"scaleUp": rules()}, "scaleDown", rules()), "metrics", []any{fields{"type": "Resource",
				"resource": fields{"name": "memory", "target": fields{"type": "Utilization", "averageUtilization": 50}}}})}
	},
	"PodDisruptionBudget": func(a author) fields {
		return fields{"apiVersion": "policy/v1", "spec": fields{"maxUnavailable": a.pick(1, "50%"), "selector": selector}}
	},
	"Namespace": func(author) fields { return fields{"apiVersion": "v1"} },
}
