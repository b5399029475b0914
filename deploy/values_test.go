package deploy

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"stayput.dev/mutators"
	"stayput.dev/validators"
	"stayput.dev/webhook"
)

type schema struct {
	Type          string             `json:"type"`
	Properties    map[string]*schema `json:"properties"`
	PropertyNames *struct {
		Enum []string `json:"enum"`
	} `json:"propertyNames"`
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// TestEveryValueHasASchema compares values.yaml with values.schema.json, both
// ways. helm itself checks the values against it.
func TestEveryValueHasASchema(t *testing.T) {
	var values map[string]any
	read(t, "chart/values.yaml", &values)
	var s schema
	data, err := os.ReadFile("chart/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	compare(t, "", values, &s)
	names := s.Properties["webhook"].Properties["failurePolicy"].PropertyNames.Enum
	mutating, validating := webhook.Deployment{}.Configurations(validators.All, mutators.All)
	var want []string
	for _, w := range mutating.Webhooks {
		want = append(want, w.Name)
	}
	for _, w := range validating.Webhooks {
		want = append(want, w.Name)
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("webhook.failurePolicy may name %q, want %q", names, want)
	}
}

func compare(t *testing.T, path string, values map[string]any, s *schema) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		sub := s.Properties[name]
		if sub == nil {
			t.Errorf("%s%s has no schema", path, name)
			continue
		}
		if nested, ok := values[name].(map[string]any); ok && len(nested) > 0 && len(sub.Properties) > 0 {
			compare(t, path+name+".", nested, sub)
		}
	}
	for name := range s.Properties {
		if _, ok := values[name]; !ok && len(values) > 0 && path+name != "global" && path != "resources." {
			t.Errorf("%s%s is not in values.yaml", path, name)
		}
	}
}
