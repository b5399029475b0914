package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Over returns the object that kubectl apply of the manifest makes of one that
// exists: a field that the manifest does not have keeps its value, unless the
// annotation of an earlier apply shows that this one takes it out. The defaults
// that the API server writes into lists which are replaced whole are filled in.
// Live must be of the manifest's kind; it is not edited.
func (m *Manifest) Over(live client.Object) (client.Object, error) {
	written, err := m.JSON()
	if err != nil {
		return nil, err
	}
	// Like kubectl: what the manifest does not name, but its command does.
	if m.Unplaced {
		if written, err = placed(written, live.GetNamespace()); err != nil {
			return nil, err
		}
	}
	current, err := json.Marshal(live)
	if err != nil {
		return nil, err
	}
	last := []byte(live.GetAnnotations()[corev1.LastAppliedConfigAnnotation])
	if !json.Valid(last) || !bytes.HasPrefix(bytes.TrimSpace(last), []byte("{")) {
		last = nil
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
	obj := reflect.New(reflect.TypeOf(live).Elem()).Interface().(client.Object)
	if err := json.Unmarshal(merged, obj); err != nil {
		return nil, err
	}
	Default(obj)
	return obj, nil
}

// placed returns an object in JSON with a namespace.
func placed(written []byte, namespace string) ([]byte, error) {
	var fields map[string]any
	if err := json.Unmarshal(written, &fields); err != nil {
		return nil, err
	}
	meta, _ := fields["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		fields["metadata"] = meta
	}
	meta["namespace"] = namespace
	return json.Marshal(fields)
}

// Default fills in the defaults of the claim templates of a StatefulSet: a list
// that an apply replaces whole, and that may not change. Source:
// k8s.io/kubernetes@v1.37.1 pkg/apis/core/v1/defaults.go,
// SetDefaults_PersistentVolumeClaim and SetDefaults_PersistentVolumeClaimSpec.
func Default(obj client.Object) {
	sts, ok := obj.(*appsv1.StatefulSet)
	if !ok {
		return
	}
	for i := range sts.Spec.VolumeClaimTemplates {
		t := &sts.Spec.VolumeClaimTemplates[i]
		t.APIVersion, t.Kind = "v1", "PersistentVolumeClaim"
		if t.Status.Phase == "" {
			t.Status.Phase = corev1.ClaimPending
		}
		if t.Spec.VolumeMode == nil {
			t.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeFilesystem)
		}
	}
}
