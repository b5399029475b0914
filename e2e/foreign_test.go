//go:build operators && linux

// Operators that are tried by make e2e-operators, which docs/operators.md
// reports on. They take minutes to build, so CI is spared them.

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// configurations makes the webhook configurations in a file of an operator's
// module, of those of its webhooks that have one of the paths, for one namespace
// and an operator that listens at base. It prefixes their names.
func configurations(t *testing.T, file, prefix, ns, base string, ca []byte, paths ...string) {
	t.Helper()
	for _, c := range configurationsIn(t, file, base, ca, paths...) {
		c.Name = prefix + c.Name
		for i := range c.Webhooks {
			c.Webhooks[i].NamespaceSelector = selectNamespace(ns)
		}
		manifest, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := try(t, string(manifest), "create", "-f", "-"); err != nil {
			t.Fatal(out)
		}
		t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "delete", c.Kind, c.Name) })
	}
}

// configurationsIn reads the webhook configurations in a file, with those of their
// webhooks that have one of the paths, at base. A mutating one has what a validating
// one has, and more that is not used.
func configurationsIn(t *testing.T, file, base string, ca []byte, paths ...string) (
	all []*admissionv1.ValidatingWebhookConfiguration,
) {
	t.Helper()
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(readFile(t, file)), 4096)
	for {
		c := &admissionv1.ValidatingWebhookConfiguration{}
		if err := d.Decode(c); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		c.Webhooks = slices.DeleteFunc(c.Webhooks, func(w admissionv1.ValidatingWebhook) bool {
			return !slices.Contains(paths, *w.ClientConfig.Service.Path)
		})
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			w.ClientConfig = admissionv1.WebhookClientConfig{URL: new(base + *w.ClientConfig.Service.Path), CABundle: ca}
		}
		all = append(all, c)
	}
}

// A verdict is what an operator's account was answered.
type verdict struct {
	writes   int
	denials  []string
	warnings map[string]int // by rule
}

// verdict returns and logs what the account was answered since the last call: each
// sentence once, whatever it was of.
func (r *tap) verdict(t *testing.T, when string) verdict {
	t.Helper()
	denials, warnings, writes := r.said()
	v := verdict{writes, denials, map[string]int{}}
	sentences := map[string]string{}
	total := 0
	for _, w := range warnings {
		_, text, _ := strings.Cut(w, `"`)
		rule, _, ok := strings.Cut(text, ":")
		if !ok || !strings.Contains(text, "; ") {
			rule = "(the API server's own)"
		}
		v.warnings[rule]++
		sentences[rule] = w
		total++
	}
	t.Logf("%s: %d writes, %d refusals, %d warnings: %v", when, writes, len(denials), total, v.warnings)
	for _, rule := range slices.Sorted(maps.Keys(sentences)) {
		t.Logf("%s, for one: %s", rule, sentences[rule])
	}
	for _, d := range denials {
		t.Logf("refused: %s", strings.ToValidUTF8(d, "."))
	}
	return v
}

// unrefused fails the test if the account was refused anything.
func (v verdict) unrefused(t *testing.T) {
	t.Helper()
	for _, d := range v.denials {
		t.Errorf("refused: %s", strings.ToValidUTF8(d, "."))
	}
}

// worked fails the test if the account was refused anything, or did nothing.
func (v verdict) worked(t *testing.T) {
	t.Helper()
	v.unrefused(t)
	if v.writes == 0 {
		t.Error("no writes: does the tap listen?")
	}
}

// become checks what becomes of volumes: "Retain Released", or
// "destroyed".
func become(t *testing.T, want string, volumes ...string) {
	t.Helper()
	for _, pv := range volumes {
		if want == "destroyed" {
			gone(t, "pv", pv)
		} else {
			output(t, want, "get", "pv", pv, "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
		}
	}
}

func selectNamespace(ns string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}}
}
