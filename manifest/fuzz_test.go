package manifest

import (
	"testing"

	"stayput.dev/cluster"
)

// FuzzReadStream reads whatever bytes as manifests, as lint does: what is read
// has a kind, a place in the file for each of its fields, and can stand in a
// snapshot; what cannot be read names the file and a line of it.
func FuzzReadStream(f *testing.F) {
	for _, text := range []string{
		"", "---", "{}", "[]", "null", "a", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n",
		"apiVersion: v1\nkind: List\nitems: [{}, null, 3, {apiVersion: v1, kind: Pod}]\n",
		"apiVersion: apps/v1\nkind: StatefulSetList\nitems: [{metadata: {name: a}}, {spec: {replicas: x}}]\n", "a: &a [*a]",
		"a: &a {b: *a}\n", "apiVersion: v1\nkind: Pod\nkind: Pod\n",
		"{{ if .Values.x }}\napiVersion: v1\n{{ end }}", "apiVersion: v1\nkind: Pod\nmetadata: {name: '{{ .Name }}'}\n",
		"%YAML 1.1\n---\na: b\n", "\xef\xbb\xbfapiVersion: v1\nkind: Pod\n", "\xff", "\t: x",
		`{"apiVersion":"v1","kind":"Pod"}{"apiVersion":"v1","kind":"Service"}`,
		`{"apiVersion":"v1","kind":"List","items":[{"kind":"x"`, "# skip\n---\n---\n# only a comment\n",
		"apiVersion: 1\nkind: [x]\n",
		"kind: List\napiVersion: v1\nitems:\n- &x {apiVersion: v1, kind: Pod}\n- *x\n", "? {a: b}\n: c\n",
		"apiVersion: v1\nkind: Pod\nspec: !!binary x\n", "a: 0x1p-2\nb: .inf\nkind: ~\n",
		"apiVersion: x.y/v1\nkind: Z\nmetadata: {name: n}\n", "apiVersion: /\nkind: /\n",
		"apiVersion: v1\r\nkind: Service\r\nmetadata:\r\n  name: s\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := ReadStream("f.yaml", data)
		for _, e := range append(s.Errors, s.Foreign...) {
			if e.File != "f.yaml" || e.Err == nil || e.Err.Error() == "" {
				t.Errorf("an error of nowhere: %v", e)
			}
		}
		snap := &cluster.Snapshot{}
		for _, m := range s.Manifests {
			if m.Object == nil || m.GetObjectKind().GroupVersionKind().Kind == "" {
				t.Errorf("an object of no kind: %v", m)
				continue
			}
			_, _ = m.Line("spec.template.spec.containers[0].name"), m.Line("metadata.labels[a]")
			if err := snap.Add(m.Object.DeepCopyObject().(cluster.Object)); err != nil {
				_ = err.Error() // the same object twice
			}
		}
	})
}
