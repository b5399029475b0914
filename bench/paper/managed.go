package paper

import (
	"encoding/json"
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

// Manage gives objects managed fields as an API server does: all fields of the
// status to one manager, the rest to another. Of members of lists that have a name,
// the name is the key; all others are set as a whole.
func Manage(objects []cluster.Object) error {
	for _, obj := range objects {
		data, err := json.Marshal(obj)
		if err != nil {
			return err
		}
		var content map[string]any
		if err := json.Unmarshal(data, &content); err != nil {
			return err
		}
		status := map[string]any{"status": content["status"]}
		for _, key := range []string{"status", "kind", "apiVersion"} {
			delete(content, key)
		}
		if m, ok := content["metadata"].(map[string]any); ok {
			for _, key := range []string{"name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation",
				"managedFields"} {
				delete(m, key)
			}
		}
		gvk := obj.GetObjectKind().GroupVersionKind()
		var entries []metav1.ManagedFieldsEntry
		for _, by := range []struct {
			manager, subresource string
			fields               any
		}{{"kube-controller-manager", "", content}, {"kubelet", "status", status}} {
			raw, err := json.Marshal(fieldsOf(by.fields))
			if err != nil {
				return err
			}
			written := obj.GetCreationTimestamp()
			entries = append(entries, metav1.ManagedFieldsEntry{
				Manager: by.manager, Operation: metav1.ManagedFieldsOperationUpdate, Subresource: by.subresource, Time: &written,
				APIVersion: gvk.GroupVersion().String(), FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(raw)),
			})
		}
		obj.SetManagedFields(entries)
	}
	return nil
}

// fieldsOf returns the tree of a value's fields, as FieldsV1 writes it.
func fieldsOf(value any) map[string]any {
	fields := map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			fields["f:"+key] = fieldsOf(inner)
		}
	case []any:
		for _, item := range value {
			m, _ := item.(map[string]any)
			if m["name"] == nil {
				return map[string]any{}
			}
			inner := fieldsOf(m)
			inner["."] = struct{}{}
			fields[fmt.Sprintf("k:{%q:%q}", "name", m["name"])] = inner
		}
	}
	return fields
}

// withoutManagedFields returns an object without its managed fields, which keeps them.
func withoutManagedFields(obj cluster.Object) cluster.Object {
	if len(obj.GetManagedFields()) == 0 {
		return obj
	}
	stripped := reflect.New(reflect.TypeOf(obj).Elem()) // a deep copy would cost more than it saves
	stripped.Elem().Set(reflect.ValueOf(obj).Elem())
	obj = stripped.Interface().(cluster.Object)
	obj.SetManagedFields(nil)
	return obj
}
