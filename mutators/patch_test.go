package mutators

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	evanphx "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// TestPatch sets a name, a hostname, and two annotations of Pods that leave out
// more or less.
func TestPatch(t *testing.T) {
	m := &Mutator{Name: "m", Edits: []Edit{OnCreate(func(p *Pass, pod *corev1.Pod) error {
		set(p, &pod.Name, "a", "metadata", "name")
		set(p, &pod.Spec.Hostname, "h", "spec", "hostname")
		p.annotate(&pod.ObjectMeta, "b/c~d", "1")
		p.annotate(&pod.ObjectMeta, "e", "2")
		return nil
	})}}
	for raw, want := range map[string]string{
		`{}`: `add /metadata {"name":"a"}; add /spec {"hostname":"h"}; ` +
			`add /metadata/annotations {"b/c~d":"1"}; add /metadata/annotations/e "2"`,
		`{"metadata":null,"spec":null}`: `add /metadata {"name":"a"}; add /spec {"hostname":"h"}; ` +
			`add /metadata/annotations {"b/c~d":"1"}; add /metadata/annotations/e "2"`,
		`{"metadata":{"annotations":null},"spec":{"containers":[],"newer":1}}`: `add /metadata/name "a"; add ` +
			`/spec/hostname "h"; ` +
			`add /metadata/annotations {"b/c~d":"1"}; add /metadata/annotations/e "2"`,
		`{"metadata":{"name":"a","annotations":{}},"spec":{"hostname":""}}`: `add /spec/hostname "h"; ` +
			`add /metadata/annotations/b~1c~0d "1"; add /metadata/annotations/e "2"`,
		`{"metadata":{"annotations":{"b/c~d":"0","e":"2","f":"3"}},` +
			`"spec":{"hostname":"i","subdomain":"s"}}`: `add /metadata/name "a"; ` +
			`replace /spec/hostname "h"; replace /metadata/annotations/b~1c~0d "1"`,
		`{"metadata":{"name":"a","annotations":{"b/c~d":"1","e":"2"}},"spec":{"hostname":"h"}}`: ``,
	} {
		pod := new(corev1.Pod)
		if err := json.Unmarshal([]byte(raw), pod); err != nil {
			t.Fatal(err)
		}
		made, err := Apply(cluster.Environment{}.View(context.Background(), cluster.Request{}), []*Mutator{m}, nil, pod)
		if err != nil {
			t.Fatal(err)
		}
		ops, err := made.Patch([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for i, op := range ops {
			value, err := json.Marshal(op.Value)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				got += "; "
			}
			got += op.Op + " " + op.Path + " " + string(value)
		}
		if got != want {
			t.Errorf("%s: operations are %s, want %s", raw, got, want)
		}
		patched := new(corev1.Pod)
		if err := json.Unmarshal(applyPatch(t, []byte(raw), ops), patched); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(made.Object, patched); diff != "" && pod != made.Object {
			t.Errorf("%s: the patch makes something else of it:\n%s", raw, diff)
		}
	}
	made, err := Apply(cluster.Environment{}.View(context.Background(), cluster.Request{}),
		[]*Mutator{m}, nil, &corev1.Pod{})
	if err != nil {
		t.Fatal(err)
	}
	if ops, err := made.Patch([]byte(`{"metadata":`)); err == nil ||
		err.Error() != "decode /metadata: unexpected end of JSON input" {
		t.Errorf("what is no JSON: got %v, %v", ops, err)
	}
}

// applyPatch applies operations as the API server does.
func applyPatch(t testing.TB, raw []byte, ops []Operation) []byte {
	t.Helper()
	data, err := json.Marshal(ops)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := evanphx.DecodePatch(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply(raw)
	if err != nil {
		t.Fatalf("apply %.2000s: %v", data, err)
	}
	return out
}

// withUnknown adds fields to JSON of an object that our types do not know, and
// returns it and what it decodes to.
func withUnknown(t testing.TB, raw []byte) (out []byte, tree any) {
	t.Helper()
	tree = decode(t, raw)
	object := tree.(map[string]any)
	for _, at := range []any{object["metadata"], object["spec"], tree} {
		if members, ok := at.(map[string]any); ok {
			members["fieldOfTheNextKubernetes"] = "kept"
		}
	}
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out, tree
}

// decode decodes JSON of any kind, and numbers as they are written.
func decode(t testing.TB, data []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
