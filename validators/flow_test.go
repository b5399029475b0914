package validators

import (
	"math/rand"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// TestFlowYAML holds what is written without the library to what the library
// writes, over values of names that are easy and of some that are not.
func TestFlowYAML(t *testing.T) {
	names := []string{
		"db", "Db", "clusterIP", "None", "apps/v1", "app.kubernetes.io/name", "app.kubernetes.io/instance", "a-", "a.b_c",
		"e5", "inf", "nan", "x1", "x10", "x2", "xy", "x-y",
		"Infinity", "null", "Null", "NULL", "True", "FALSE", "yes", "No", "on", "OFF", "y", "N", "ON", "falsey", "nulls",
		"", "~", "-", "1", "1e3", "0x1", "1_000", "2026-11-22", "1:30", ".5", ".inf", "=", "<<", "a b", "a: b", "a #b", "a,b",
		"[a]", "{a}", "'a'", "\"", "a\nb", "é", "\u2028", "\xff", "*a", "&a", "!a", "%", "@", "`",
	}
	r := rand.New(rand.NewSource(1))
	name := func() string { return names[r.Intn(len(names))] }
	easy := func() string { return names[r.Intn(17)] }
	fast := 0
	for range 20_000 {
		pick := name
		if r.Intn(2) == 0 {
			pick = easy
		}
		labels, spec := map[string]string{}, map[string]any{"number": r.Intn(100) - 50, "port": int32(r.Intn(70000))}
		for range r.Intn(4) {
			labels[pick()] = pick()
		}
		ports := make([]map[string]any, r.Intn(3))
		for i := range ports {
			ports[i] = map[string]any{"name": pick(), pick(): int32(i)}
		}
		spec["selector"], spec["ports"], spec[pick()] = labels, ports, pick()
		text, err := yaml.Marshal(struct {
			Value any `yaml:"value,flow"`
		}{spec})
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace(strings.TrimPrefix(string(text), "value: "))
		if got := flowYAML(spec); got != want {
			t.Fatalf("%#v:\n got %s\nwant %s", spec, got, want)
		}
		if _, ok := appendFlow(nil, spec); ok {
			fast++
		}
	}
	if fast < 1000 {
		t.Errorf("only %d of 20000 were written without the library", fast)
	}
}
