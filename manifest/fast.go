package manifest

import (
	"bytes"
	"math"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/internal/fastjson"
	"stayput.dev/internal/quantity"
)

// readFast reads a document that is one plain object, as nearly all are, in a
// fifth of the time, and says whether it could. All that is to be said about a
// document is left to the slow way.
func (s *Stream) readFast(file string, doc *document, data []byte) bool {
	gvk, ok := begins(data)
	if !ok || bytes.Contains(doc.text, []byte("{{")) {
		return false
	}
	obj, err := cluster.Scheme().New(gvk)
	if err != nil {
		return false
	}
	if _, ends := obj.(lifecycle); ends { // see retiredOf
		return false
	}
	o, ok := obj.(cluster.Object)
	if !ok || quantity.Check(data, obj) != nil {
		return false
	}
	all := fastjson.Budget{Values: math.MaxInt, Depth: deepest, Exact: true}
	if !fastjson.NewDocument(data, all).Unmarshal(obj, nil) {
		return false
	}
	o.GetObjectKind().SetGroupVersionKind(gvk)
	s.add(Manifest{File: file, doc: doc, item: -1}, o, gvk.GroupKind())
	return true
}

// deepest is how deep an object may be that is read fast. No type of Kubernetes
// but a schema is half as deep.
const deepest = 100

// begins returns the kind of JSON that begins with its apiVersion and its kind, as
// whatever came from YAML does: its keys are sorted.
func begins(data []byte) (gvk schema.GroupVersionKind, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"apiVersion":"`))
	if !ok {
		return gvk, false
	}
	version, rest, ok := bytes.Cut(rest, []byte(`","kind":"`))
	if !ok {
		return gvk, false
	}
	kind, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok || bytes.ContainsAny(version, `"\`) || bytes.ContainsRune(kind, '\\') {
		return gvk, false
	}
	return schema.FromAPIVersionAndKind(string(version), string(kind)), true
}
