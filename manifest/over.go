package manifest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"stayput.dev/cluster"
)

// Over returns the object that kubectl apply of the manifest makes of one that
// exists: a field that the manifest does not have keeps its value, unless the
// annotation of an earlier apply shows that this one takes it out. What it
// leaves without a value gets its default. Live must be of the manifest's kind;
// it is not edited.
func (m *Manifest) Over(live cluster.Object) (cluster.Object, error) {
	written, err := m.JSON()
	if err != nil {
		return nil, err
	}
	if written, err = m.current(written); err != nil {
		return nil, err
	}
	if written, err = sent(written, live.GetNamespace()); err != nil {
		return nil, err
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
	obj := reflect.New(reflect.TypeOf(live).Elem()).Interface().(cluster.Object)
	if err := json.Unmarshal(merged, obj); err != nil {
		return nil, err
	}
	setDefaults(obj)
	return obj, nil
}

// sent returns a manifest in JSON as kubectl sends it: in a namespace, unless
// there is none, and with annotations. It writes one itself, so that it never
// takes out all of those that others wrote.
func sent(written []byte, namespace string) ([]byte, error) {
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

// Defaulted returns a copy of an object with the defaults that an apply fills in.
func Defaulted(obj cluster.Object) cluster.Object {
	obj = obj.DeepCopyObject().(cluster.Object)
	setDefaults(obj)
	return obj
}

// setDefaults fills in the defaults of fields that an apply can leave without a
// value: in lists that it replaces whole, or adds to, and where it takes out what
// an earlier one wrote. Source: k8s.io/kubernetes@v1.37.1
// pkg/apis/{apps,core}/v1/defaults.go.
func setDefaults(obj cluster.Object) {
	switch o := obj.(type) {
	case *appsv1.StatefulSet:
		unset(&o.Spec.Replicas, 1)
		unset(&o.Spec.Template.Spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
		for i := range o.Spec.VolumeClaimTemplates {
			t := &o.Spec.VolumeClaimTemplates[i]
			t.APIVersion, t.Kind = "v1", "PersistentVolumeClaim"
			t.Status.Phase = cmp.Or(t.Status.Phase, corev1.ClaimPending)
			unset(&t.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		}
	case *appsv1.Deployment:
		unset(&o.Spec.Replicas, 1)
		unset(&o.Spec.Template.Spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	case *corev1.Service:
		for i := range o.Spec.Ports {
			p := &o.Spec.Ports[i]
			p.Protocol = cmp.Or(p.Protocol, corev1.ProtocolTCP)
			if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
				p.TargetPort = intstr.FromInt32(p.Port)
			}
		}
	}
}

// unset gives a field its default where it has no value.
func unset[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
