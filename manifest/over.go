package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"stayput.dev/cluster"
)

// Over returns the object that kubectl apply of the manifest makes of one that
// exists: a field that the manifest does not have keeps its value, unless the
// annotation of an earlier apply shows that this one takes it out. What is new in
// it has only what the manifest says, without defaults, as admission never sees
// it: [Defaulted] fills them in. Live must be of the manifest's kind; it is not
// edited.
func (m *Manifest) Over(live cluster.Object) (cluster.Object, error) {
	last := []byte(live.GetAnnotations()[corev1.LastAppliedConfigAnnotation])
	if !json.Valid(last) || !bytes.HasPrefix(bytes.TrimSpace(last), []byte("{")) {
		last = nil
	}
	return m.over(live, last)
}

// InsteadOf is Over of what an earlier manifest made.
func (m *Manifest) InsteadOf(was *Manifest, made cluster.Object) (cluster.Object, error) {
	last, err := was.sent(made.GetNamespace())
	if err != nil {
		return nil, err
	}
	return m.over(made, last)
}

// over lays the manifest over an object, of which an earlier apply wrote some fields.
func (m *Manifest) over(live cluster.Object, last []byte) (cluster.Object, error) {
	written, err := m.sent(live.GetNamespace())
	if err != nil {
		return nil, err
	}
	current, err := json.Marshal(live)
	if err != nil {
		return nil, err
	}
	schema, err := strategicpatch.NewPatchMetaFromStruct(live)
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(last, written, current, schema, true)
	if err != nil {
		return nil, fmt.Errorf("compare with what exists: %w", err)
	}
	merged, err := strategicpatch.StrategicMergePatchUsingLookupPatchMeta(current, patch, schema)
	if err != nil {
		return nil, fmt.Errorf("lay over what exists: %w", err)
	}
	obj := reflect.New(reflect.TypeOf(live).Elem()).Interface().(cluster.Object)
	if err := json.Unmarshal(merged, obj); err != nil {
		return nil, err
	}
	return obj, nil
}

// sent returns the manifest in JSON as kubectl sends it: in a namespace, unless
// there is none, and with annotations. It writes one itself, so that it never
// takes out all of those that others wrote.
func (m *Manifest) sent(namespace string) ([]byte, error) {
	written, err := m.JSON()
	if err != nil {
		return nil, err
	}
	if written, err = m.current(written); err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(written, &fields); err != nil {
		return nil, err
	}
	meta, _ := fields["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		fields["metadata"] = meta
	}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	if meta["annotations"] == nil {
		meta["annotations"] = map[string]any{}
	}
	return json.Marshal(fields)
}
