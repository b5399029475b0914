package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"stayput.dev/manifest"
)

// torn is a base in which objects name each other in every way that kustomize
// does not know.
const torn = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: p
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
metadata: {name: gold}
driverName: p
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: vol}
spec:
  volumeAttributesClassName: gold
  claimRef: {namespace: default, name: data}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: fast
  volumeAttributesClassName: gold
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: copy}
spec:
  dataSource: {kind: PersistentVolumeClaim, name: data}
  dataSourceRef: {kind: PersistentVolumeClaim, name: data}
---
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {stayput.dev/subdomain: db}}
spec:
  subdomain: db
  containers: [{name: c, image: i}]
  volumes:
  - name: e
    ephemeral:
      volumeClaimTemplate:
        spec:
          storageClassName: fast
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          subdomain: db
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    metadata:
      labels: {stayput.dev/subdomain: db}
    spec:
      subdomain: elsewhere
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  template:
    spec: {subdomain: db}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      storageClassName: fast
      volumeAttributesClassName: gold
`

// written writes files below a directory of the test.
func written(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// built builds a kustomization, and returns what is remarked by object and field.
func built(t *testing.T, dir string) (manifest.Stream, map[string]manifest.Remark) {
	t.Helper()
	stream, err := kustomize(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]manifest.Remark{}
	for _, m := range stream.Manifests {
		for _, remark := range m.Remarks {
			found[m.GetObjectKind().GroupVersionKind().Kind+" "+remark.Field] = remark
		}
	}
	return stream, found
}

// TestKustomizeReferences has kustomize rename what objects name, and what it
// does not rename is found. With the configurations that the remedies give,
// kustomize renames that too, and nothing is left to say.
func TestKustomizeReferences(t *testing.T) {
	files := map[string]string{
		"base/kustomization.yaml": "resources: [all.yaml]\n", "base/all.yaml": torn,
		"prod/kustomization.yaml": "namePrefix: prod-\nnamespace: prod\nresources: [../base]\n",
	}
	_, found := built(t, filepath.Join(written(t, files), "prod"))
	want := []string{
		"CronJob spec.jobTemplate.spec.template.spec.subdomain",
		"Deployment spec.template.metadata.labels[stayput.dev/subdomain]",
		"PersistentVolume spec.claimRef",
		"PersistentVolume spec.volumeAttributesClassName",
		"PersistentVolumeClaim spec.dataSource.name",
		"PersistentVolumeClaim spec.dataSourceRef.name",
		"PersistentVolumeClaim spec.volumeAttributesClassName",
		"Pod metadata.labels[stayput.dev/subdomain]",
		"Pod spec.subdomain",
		"Pod spec.volumes[0].ephemeral.volumeClaimTemplate.spec.storageClassName",
		"StatefulSet spec.volumeClaimTemplates[0].spec.volumeAttributesClassName",
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
		t.Errorf("left behind are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var all []any
	for field, remark := range found {
		_, config, _ := strings.Cut(remark.Remedy, "nameReference: ")
		var entries []any
		if err := yaml.Unmarshal([]byte(config), &entries); err != nil || len(entries) != 1 {
			t.Fatalf("the remedy of %s is no configuration: %v\n%s", field, err, remark.Remedy)
		}
		if !strings.Contains(remark.Text, "prod-") {
			t.Errorf("what is said of %s does not name the object that is meant: %s", field, remark.Text)
		}
		all = append(all, entries...)
	}
	names, err := yaml.Marshal(map[string]any{"nameReference": all})
	if err != nil {
		t.Fatal(err)
	}
	files["prod/names.yaml"] = string(names)
	files["prod/kustomization.yaml"] += "configurations: [names.yaml]\n"
	if _, found = built(t, filepath.Join(written(t, files), "prod")); len(found) > 0 {
		t.Errorf("with the remedies, these are left behind: %v", slices.Sorted(maps.Keys(found)))
	}
	delete(files, "prod/names.yaml")
	files["prod/kustomization.yaml"] = "resources: [../base]\n"
	if _, found = built(t, filepath.Join(written(t, files), "prod")); len(found) > 0 {
		t.Errorf("with nothing renamed, these are left behind: %v", slices.Sorted(maps.Keys(found)))
	}
}

// TestKustomizeAuthors has every field of a build stand in the file, and on the
// line, where its author wrote it, and no line where nobody did.
func TestKustomizeAuthors(t *testing.T) {
	for name, metadata := range map[string]string{"": "", "with origins": "buildMetadata: [originAnnotations]\n",
		"with others": "buildMetadata: [managedByLabel]\n"} {
		dir := written(t, map[string]string{
			"base/kustomization.yaml": "resources: [all.yaml]\nconfigMapGenerator: [{name: made, literals: [a=b]}]\n",
			"base/all.yaml":           torn,
			"prod/kustomization.yaml": "nameSuffix: -prod\nresources: [../base]\ncommonAnnotations: {a: b}\npatches: [{path: " +
				"grace.yaml}]\n" + metadata,
			"prod/grace.yaml": "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: 3\n",
		})
		stream, _ := built(t, filepath.Join(dir, "prod"))
		for where, want := range map[string]string{
			"StatefulSet ":                      "base/all.yaml:70",
			"StatefulSet spec.serviceName":      "base/all.yaml:74",
			"StatefulSet spec.replicas":         "prod/grace.yaml:5",
			"StatefulSet metadata.annotations":  "base/all.yaml",
			"StatefulSet spec.minReadySeconds":  "base/all.yaml:73",
			"StorageClass provisioner":          "base/all.yaml:4",
			"ConfigMap data":                    "base/kustomization.yaml",
			"PersistentVolume spec.claimRef":    "base/all.yaml:21",
			"PersistentVolume metadata.name[x]": "base/all.yaml:18",
		} {
			kind, field, _ := strings.Cut(where, " ")
			for i := range stream.Manifests {
				m := &stream.Manifests[i]
				if m.GetObjectKind().GroupVersionKind().Kind != kind {
					continue
				}
				l := (&reviewer{}).location(subject{Object: m.Object, manifest: m}, field)
				if got := strings.TrimPrefix(strings.TrimSuffix(l.File+":"+strconv.Itoa(l.Line), ":0"), dir+"/"); got != want {
					t.Errorf("%s: %s is at %s, want %s", name, where, got, want)
				}
				_, traced := m.GetAnnotations()["config.kubernetes.io/origin"]
				if traced != (name == "with origins") {
					t.Errorf("%s: %s has annotations %v", name, kind, m.GetAnnotations())
				}
			}
		}
	}
}

// TestOriginsOfAStream has lint name the file that kustomize built an object from, in
// each format, as the annotations in the stream do.
func TestOriginsOfAStream(t *testing.T) {
	dir := written(t, map[string]string{
		"base/kustomization.yaml": "resources: [hasty.yaml]\n",
		"base/hasty.yaml":         hasty,
		"prod/kustomization.yaml": "resources: [../base]\nbuildMetadata: [originAnnotations]\n",
	})
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(dir, "prod"))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range formatNames {
		r := stayput(t, string(stream), "lint", "-", "--format", format)
		if !strings.Contains(r.stdout, "../base/hasty.yaml") {
			t.Errorf("%s does not name the file: %s%s", format, r.stdout, r.stderr)
		}
	}
	for annotation, want := range map[string]string{
		"path: db.yaml\nrepo: https://example.com/a/b\nref: v1\n":     "https://example.com/a/b//db.yaml?ref=v1",
		"repo: https://example.com/a/b\npath: c/db.yaml\n":            "https://example.com/a/b//c/db.yaml",
		"configuredIn: kustomization.yaml\nconfiguredBy: {kind: A}\n": "kustomization.yaml",
		"path: [not, a, path]\n":                                      "",
		"ref: v1\n":                                                   "",
	} {
		text := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  annotations:\n    "+
			"config.kubernetes.io/origin: %q\n", annotation)
		if got := manifest.ReadStream("a.yaml", []byte(text)).Manifests[0].Template(); got != want {
			t.Errorf("%q is of %q, want %q", annotation, got, want)
		}
	}
}

// TestKustomizePatches has fields that inline and JSON 6902 patches wrote stand on the
// lines of these, and what was overwritten since stand where it was written last.
func TestKustomizePatches(t *testing.T) {
	dir := written(t, map[string]string{
		"base/kustomization.yaml": "resources: [all.yaml]\n",
		"base/all.yaml":           torn,
		"prod/ops.yaml":           "- {op: add, path: /spec/template/spec/tolerations, value: [{key: a}]}\n",
		"prod/kustomization.yaml": `nameSuffix: -prod
resources: [../base]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: StatefulSet
    metadata: {name: db}
    spec:
      replicas: 3
      minReadySeconds: 5
- target: {kind: StatefulSet}
  patch: |
    - op: replace
      path: /spec/minReadySeconds
      value: 7
    - op: add
      path: /spec/template/spec/nodeSelector
      value:
        disk: ssd
- target: {kind: StatefulSet, name: db}
  patch: '[{"op": "add", "path": "/spec/revisionHistoryLimit", "value": 3}]'
- target: {kind: Stateful.*, name: other}
  patch: '[{"op": "add", "path": "/spec/replicas", "value": 3}]'
- target: {kind: StatefulSet, name: db}
  path: ops.yaml
`,
	})
	stream, _ := built(t, filepath.Join(dir, "prod"))
	for field, want := range map[string]string{
		"spec.replicas":                         "prod/kustomization.yaml:9",
		"spec.minReadySeconds":                  "prod/kustomization.yaml:14",
		"spec.template.spec.nodeSelector":       "prod/kustomization.yaml:17",
		"spec.template.spec.nodeSelector.disk":  "prod/kustomization.yaml:17",
		"spec.revisionHistoryLimit":             "prod/kustomization.yaml:21",
		"spec.template.spec.tolerations[0].key": "prod/ops.yaml:1",
		"spec.serviceName":                      "base/all.yaml:74",
	} {
		for i := range stream.Manifests {
			m := &stream.Manifests[i]
			if m.GetObjectKind().GroupVersionKind().Kind != "StatefulSet" {
				continue
			}
			l := (&reviewer{}).location(subject{Object: m.Object, manifest: m}, field)
			if got := strings.TrimPrefix(l.File+":"+strconv.Itoa(l.Line), dir+"/"); got != want {
				t.Errorf("%s is at %s, want %s", field, got, want)
			}
		}
	}
}

// TestKustomizeText has what kustomize reads in another way than kubectl.
func TestKustomizeText(t *testing.T) {
	dir := written(t, map[string]string{
		"kustomization.yaml": "resources: [all.json, day.yaml]\n",
		"all.json": `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}` + "\n\n" +
			`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}`,
		"day.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: 2026-01-02\n  b: " +
			"\"2026-01-02\"\n  c.txt: 2026-01-02\n  d: 2026-01-02T03:04:05Z\n",
	})
	stream, found := built(t, dir)
	if len(stream.Errors) != 1 || stream.Errors[0].File != filepath.Join(dir, "all.json") || stream.Errors[0].Line != 3 {
		t.Errorf("errors are %v, want one about line 3 of all.json", stream.Errors)
	}
	if got, want := slices.Sorted(maps.Keys(found)), []string{"ConfigMap data.a",
		"ConfigMap data[c.txt]"}; !slices.Equal(got, want) {
		t.Errorf("dates are %v, want %v", got, want)
	}
}
