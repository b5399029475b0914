package main

import (
	"strings"
	"testing"
)

// ofOldVersions is what charts of ten years ago have.
const ofOldVersions = `apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  rollbackTo: {revision: 2}
  template: {metadata: {labels: {app: web}}, spec: {hostname: x, containers: [{name: c, image: i}]}}
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: db}
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: other}
`

// TestLintOfOldVersions reviews objects of versions that are no longer served, for
// versions of Kubernetes that serve them and others, and counts what is not reviewed
// in every format.
func TestLintOfOldVersions(t *testing.T) {
	for name, tt := range map[string]struct {
		args   []string
		code   int
		stdout []string
		stderr string
	}{
		"the newest": {code: 1, stdout: []string{
			`hint: api-version: apiVersion: Invalid value: "extensions/v1beta1": a Deployment of this version is not served ` +
				"since Kubernetes 1.16; the API server refuses it\n",
			"  fix: apiVersion: apps/v1, spec: {selector: {matchLabels: {app: web}}}, ",
			"standard input:6:3: Deployment default/web: warn: unknown-field: spec.rollbackTo: Forbidden: is a field of " +
				"extensions/v1beta1, and apps/v1, which replaces it, has no such field: the API server drops it\n",
			"deny: deployment-hostname: spec.template.spec.hostname",
			"not reviewed: 2 Cluster.postgresql.cnpg.io; no rule is about these kinds\n",
			"reviewed for: Kubernetes 1.37\n1 object: 2 denials, "}},
		"one that served it": {args: []string{"--kubernetes-version", "v1.15.3"}, code: 1, stdout: []string{
			"warn: api-version: ", "since Kubernetes 1.16; 1.15.3 still serves it\n", "reviewed for: Kubernetes 1.15.3\n",
			"1 object: 1 denial, "}},
		"a version that is none": {args: []string{"--kubernetes-version", "latest"}, code: 2,
			stderr: `--kubernetes-version "latest": must be a version of Kubernetes, as 1.34 or 1.34.4`},
		"one of another century": {args: []string{"--kubernetes-version", "2.1"}, code: 2,
			stderr: `--kubernetes-version "2.1": must be a version of Kubernetes`},
		"one that is not known yet": {args: []string{"--kubernetes-version", "1.99"}, code: 1,
			stdout: []string{"hint: api-version: ", "reviewed for: Kubernetes 1.99\n"}},
		"JSON": {args: []string{"-f", "json"}, code: 1, stdout: []string{
			`"Cluster.postgresql.cnpg.io": 2`,
			`"kubernetes": "1.37"`}},
		"SARIF": {args: []string{"-f", "sarif"}, code: 1, stdout: []string{
			"not reviewed: 2 objects of kind Cluster.postgresql.cnpg.io",
			"reviewed for Kubernetes 1.37"}},
		"GitHub": {args: []string{"-f", "github"}, code: 1, stdout: []string{
			"::notice title=not reviewed::2 objects of kind Cluster.postgresql.cnpg.io\n",
			"; reviewed for Kubernetes 1.37\n"}},
		"JUnit": {args: []string{"-f", "junit"}, code: 1, stdout: []string{
			`<testcase name="Cluster.postgresql.cnpg.io" classname="not reviewed">`,
			`value="1.37"`}},
		"HTML": {args: []string{"-f", "html"}, code: 1, stdout: []string{
			"<li>2 Cluster.postgresql.cnpg.io</li>",
			"reviewed for Kubernetes 1.37"}},
		"Markdown": {args: []string{"-f", "markdown"}, code: 1, stdout: []string{
			"- 2 `Cluster.postgresql.cnpg.io`\n",
			"Reviewed for Kubernetes 1.37."}},
	} {
		t.Run(name, func(t *testing.T) {
			r := stayput(t, ofOldVersions, append([]string{"lint", "-"}, tt.args...)...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.stderr) {
				t.Errorf("exit code %d, want %d; stderr %q", r.code, tt.code, r.stderr)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("without %q:\n%s", want, r.stdout)
				}
			}
		})
	}
}

// misplacedKeys has Stayput's keys where they do nothing, and some where they do.
const misplacedKeys = `apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db
  annotations: {exempt.stayput.dev/pod-subdomain: because}
spec:
  stayput.dev/subdomain: db
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata:
      labels: {app: db, staypt.dev/subdomain: db}
      annotations: {exempt.stayput.dev/statefulset-readiness: because, exempt.stayput.dev/pod-subdomain: it is right}
    spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: c
  annotations:
    exempt.stayput.dev/claim-in-use: because
    exempt.stayput.dev/unknown-field: it is right
    stayput.dev/reclaim-policy: Retain
  foo: bar
data: {stayput.dev/mode: x}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec:
  jobTemplate:
    spec:
      template: {metadata: {labels: {stayput.dev/subdomain: db}}}
`

// TestLintOfMisplacedKeys wants the right place of each key that does nothing, and
// silence about those that do something.
func TestLintOfMisplacedKeys(t *testing.T) {
	r := stayput(t, misplacedKeys, "lint", "-")
	for _, want := range []string{
		"5:17: StatefulSet default/db: warn: stayput-annotation: metadata.annotations[exempt.stayput.dev/pod-subdomain]: " +
			"Forbidden: must be an annotation of a Pod; of a StatefulSet it exempts from nothing",
		"7:3: StatefulSet default/db: warn: stayput-annotation: spec[stayput.dev/subdomain]: Forbidden: " +
			"must be a key in labels or annotations; here it does nothing",
		"fix: move it to spec: {template: {metadata: {labels: {stayput.dev/subdomain: db}}}}",
		"fix: rename it: stayput.dev/subdomain: db",
		"fix: move it to metadata: {annotations: {exempt.stayput.dev/statefulset-readiness: because}} of the StatefulSet",
		"12:25: StatefulSet default/db: warn: stayput-annotation: " +
			"spec.template.metadata.labels[staypt.dev/subdomain]: Forbidden: must be stayput.dev/subdomain",
		"13:21: StatefulSet default/db: warn: stayput-annotation: " +
			"spec.template.metadata.annotations[exempt.stayput.dev/statefulset-readiness]: Forbidden: must be an " +
			"annotation of the StatefulSet itself; in a Pod template it exempts from nothing",
		"21:5: ConfigMap default/c: warn: stayput-annotation: " +
			"metadata.annotations[exempt.stayput.dev/claim-in-use]: Forbidden: must be an annotation of a PersistentVolumeClaim",
		"23:5: ConfigMap default/c: warn: stayput-annotation: " +
			"metadata.annotations[stayput.dev/reclaim-policy]: Forbidden: must be an " +
			"annotation of a PersistentVolumeClaim, claim template, ",
		"exempted: unknown-field: metadata.foo: Forbidden: unknown field; ",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("without %q", want)
		}
	}
	if n := strings.Count(r.stdout, "stayput-annotation: "); n != 6 || strings.Contains(r.stdout, "warn: unknown-field") {
		t.Errorf("%d keys of 6, or a key that is an unknown field besides:\n%s", n, r.stdout)
	}
	config := write(t, t.TempDir(), "config.yaml", "apiVersion: stayput.dev/v1alpha1\nkind: Configuration\n"+
		"rules: {unknown-field: deny, stayput-annotation: off, api-version: off}\nforbidExemptions: [unknown-field]\n")
	r = stayput(t, misplacedKeys, "lint", "-", "--config", config)
	if r.code != 1 || strings.Contains(r.stdout, "stayput-annotation") ||
		!strings.Contains(r.stdout, "deny: unknown-field: metadata.foo") {
		t.Errorf("with a configuration: exit code %d\n%s", r.code, r.stdout)
	}
}

// customResources have Stayput's keys in custom resources: where they do nothing, where
// an operator may pass them on, and where they are about other objects.
const customResources = `apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata:
  name: db
  labels: {stayput.dev/protect: "true"}
  annotations:
    exempt.stayput.dev/claim-in-use: because
    exempt.stayput.dev/clam-in-use: because
spec:
  inheritedMetadata:
    labels: {stayput.dev/subdomain: db, stayput.dev/subdomian: db, stayput.dev/protect: "yes"}
    annotations:
      exempt.stayput.dev/statefulset-readiness: it is right
      staypt.dev/reclaim-policy: Retain
      stayput.dev/reclaim-policy: "{{ .policy }}"
      stayput.dev/mode: warn
  podTemplate: {metadata: {stayput.dev/subdomain: db}}
  podLabels: {exempt.stayput.dev/claim-in-use: because}
  affinity: {labelSelector: {matchLabels: {stayput.dev/nothing: x}}}
  instances: 1
  instances: 3
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: p}
spec:
  rules:
  - match: {resources: {annotations: {"exempt.stayput.dev/*": "?*"}}}
    validate: {pattern: {metadata: {labels: {"=(stayput.dev/subdomain)": "?*", stayput.dev/subdomain: "?*"}}}}
---
apiVersion: apps.kruise.io/v1beta1
kind: StatefulSet
metadata: {name: k, annotations: {exempt.stayput.dev/statefulset-readiness: because}}
spec: {template: {metadata: {labels: {stayput.dev/subdomain: k}}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata:
  name: copies
  annotations:
    exempt.stayput.dev/statefulset-spread: because
    exempt.stayput.dev/stayput-annotation: the operator copies them to its StatefulSet
`

// TestLintOfCustomResources wants the right place of each key that does nothing, in every
// format, and silence where an operator may pass a key on.
func TestLintOfCustomResources(t *testing.T) {
	file := write(t, t.TempDir(), "db.yaml", customResources)
	r := stayput(t, "", "lint", file)
	const rule = "warn: stayput-annotation: "
	want := []string{
		file + ":5:12: " + rule + "metadata.labels[stayput.dev/protect]: Forbidden: must be a label of a StatefulSet, " +
			"PersistentVolumeClaim, claim template, PersistentVolume or Namespace; here it does nothing, unless its " +
			"operator copies it to one\n",
		`fix: write metadata: {labels: {stayput.dev/protect: "true"}} in a StatefulSet`,
		":7:5: " + rule + "metadata.annotations[exempt.stayput.dev/claim-in-use]: Forbidden: must be an annotation of a " +
			"PersistentVolumeClaim; of a Cluster.postgresql.cnpg.io it exempts from nothing, unless its operator copies it " +
			"to one\n",
		":8:5: " + rule + "metadata.annotations[exempt.stayput.dev/clam-in-use]: Forbidden: must name a rule",
		":11:41: " + rule + "spec.inheritedMetadata.labels[stayput.dev/subdomian]: Forbidden: must be a key that Stayput " +
			"knows",
		":11:68: " + rule + `spec.inheritedMetadata.labels[stayput.dev/protect]: Invalid value: "yes"`,
		":14:7: " + rule + "spec.inheritedMetadata.annotations[staypt.dev/reclaim-policy]: Forbidden: must be " +
			"stayput.dev/reclaim-policy",
		":16:7: " + rule + "spec.inheritedMetadata.annotations[stayput.dev/mode]: Forbidden: must be a label",
		":17:28: " + rule + "spec.podTemplate.metadata[stayput.dev/subdomain]: Forbidden: must be a key in labels or " +
			"annotations; Stayput reads no other",
		":18:15: " + rule + "spec.podLabels[exempt.stayput.dev/claim-in-use]: Forbidden: must be an annotation",
		":21:3: warn: unknown-field: spec.instances: Forbidden: must be written once; it is on lines 20 and 21",
		":33:35: " + rule + "metadata.annotations[exempt.stayput.dev/statefulset-readiness]: Forbidden: must be an " +
			"annotation of a StatefulSet; of a StatefulSet.apps.kruise.io it exempts from nothing",
		"exempted: stayput-annotation: metadata.annotations[exempt.stayput.dev/statefulset-spread]",
		"not reviewed: 1 Cluster.postgresql.cnpg.io, 1 ClusterPolicy.kyverno.io, 1 Prometheus.monitoring.coreos.com, " +
			"1 StatefulSet.apps.kruise.io; no rule is about these kinds\n",
	}
	for _, want := range want {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("without %q", want)
		}
	}
	if n := strings.Count(r.stdout, rule); n != 10 || r.code != 0 {
		t.Errorf("%d keys of 10, exit code %d:\n%s", n, r.code, r.stdout)
	}
	const key = "metadata.labels[stayput.dev/protect]"
	for format, want := range map[string][]string{
		"json":   {`"line": 5`, key},
		"sarif":  {`"startLine": 5`, key},
		"github": {"line=5", key},
		"junit":  {file + ":5:12\n", key}, "html": {file + ":5", key}, "markdown": {file + ":5`", "stayput.dev/protect"},
	} {
		r := stayput(t, "", "lint", file, "-f", format)
		for _, want := range want {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%s: without %q:\n%s", format, want, r.stdout)
			}
		}
	}
	base := written(t, map[string]string{"kustomization.yaml": "namePrefix: prod-\nresources: [db.yaml]\n" +
		"patches: [{path: patch.yaml}]\n",
		"db.yaml": "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata:\n  name: db\n" +
			"  labels:\n    stayput.dev/protect: \"true\"\n",
		"patch.yaml": "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata:\n  name: db\n  annotations:\n" +
			"    stayput.dev/reclaim-policy: Retain\n"})
	r = stayput(t, "", "lint", "-k", base)
	for _, want := range []string{"db.yaml:6:5: warn: stayput-annotation: " + key,
		"patch.yaml:6:5: warn: stayput-annotation: metadata.annotations[stayput.dev/reclaim-policy]"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("kustomize: without %q:\n%s", want, r.stdout)
		}
	}
}
