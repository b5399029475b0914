// Package deploy tests what is deployed: the chart, the manifest rendered from
// it, and what watches over it.
package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"stayput.dev/cluster"
	"stayput.dev/internal/whole"
)

// helm is the path of the helm of tools/helm, which go tool builds once.
var helm = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "tool", "-modfile=tools/helm/go.mod", "-n", "helm")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build helm: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// runHelm runs helm, away from the configuration of the person who runs the test.
func runHelm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	whole.Only(t, "Helm, which is built from a module of its own")
	path, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	dir := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir,
		"KUBECONFIG=/dev/null")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("helm %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out), err
}

// render renders the chart with values, which are YAML.
func render(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	return runHelm(t, append([]string{"template", "stayput", "chart", "--namespace", "stayput", "--values", file},
		args...)...)
}

func mustRender(t *testing.T, values string, args ...string) []*unstructured.Unstructured {
	t.Helper()
	out, err := render(t, values, args...)
	if err != nil {
		t.Fatalf("%v\nvalues:\n%s", err, values)
	}
	return objects(t, out)
}

// objects decodes a manifest, in which each object must stand once.
func objects(t *testing.T, manifest string) (objs []*unstructured.Unstructured) {
	t.Helper()
	seen := map[string]bool{}
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096)
	for {
		obj := &unstructured.Unstructured{}
		if err := decoder.Decode(obj); errors.Is(err, io.EOF) {
			return objs
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, manifest)
		}
		if len(obj.Object) == 0 {
			continue // nothing but comments
		}
		key := obj.GetKind() + " " + obj.GetNamespace() + "/" + obj.GetName()
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		objs = append(objs, obj)
	}
}

// find returns the one object of a kind and name, decoded strictly into obj.
func find(t *testing.T, objs []*unstructured.Unstructured, kind, name string, obj runtime.Object) {
	t.Helper()
	i := slices.IndexFunc(objs, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == kind &&
			o.GetName() == name
	})
	if i < 0 {
		t.Fatalf("no %s %s", kind, name)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(objs[i].Object, obj, true); err != nil {
		t.Fatalf("%s %s: %v", kind, name, err)
	}
}

func deployment(t *testing.T, objs []*unstructured.Unstructured) *appsv1.Deployment {
	t.Helper()
	d := new(appsv1.Deployment)
	i := slices.IndexFunc(objs, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" })
	find(t, objs, "Deployment", objs[i].GetName(), d)
	return d
}

func TestLint(t *testing.T) {
	if out, err := runHelm(t, "lint", "--strict", "chart"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// typed decodes the objects whose kinds are Kubernetes' own strictly: no field
// of theirs is misspelt. Those of others meet their schemas in dryrun_test.go.
func typed(t *testing.T, objs []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objs {
		obj, err := cluster.Scheme().New(o.GroupVersionKind())
		if runtime.IsNotRegisteredError(err) {
			continue
		}
		if err == nil {
			err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, obj, true)
		}
		if err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// restricted holds every Pod to the Pod Security level, as Kubernetes judges
// it.
func restricted(t *testing.T, objs []*unstructured.Unstructured) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	pods := 0
	for _, o := range objs {
		var pod corev1.PodTemplateSpec
		switch o.GetKind() {
		case "Deployment":
			pod = deployment(t, objs).Spec.Template
		case "Pod":
			var p corev1.Pod
			find(t, objs, "Pod", o.GetName(), &p)
			pod.ObjectMeta, pod.Spec = p.ObjectMeta, p.Spec
		default:
			continue
		}
		pods++
		for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				t.Errorf("%s %s is not restricted: %s: %s", o.GetKind(), o.GetName(), result.ForbiddenReason,
					result.ForbiddenDetail)
			}
		}
		for _, c := range pod.Spec.Containers {
			if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s %s: the root file system is writable", o.GetKind(), o.GetName())
			}
		}
	}
	if pods != 2 {
		t.Errorf("%d Pods judged, want the Deployment's and the test's", pods)
	}
}
