package mutators

import (
	"encoding/json"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

// An authorship says where the reclaimPolicy of a StorageClass comes from.
type authorship int

const (
	unknown authorship = iota
	omitted            // the author left it out
	written            // the author wrote it
)

// createdWith returns the authorship of a new class. It is written if either
// source says so.
func createdWith(sc *storagev1.StorageClass) authorship {
	if sc.ReclaimPolicy == nil {
		return omitted // no API server has seen it yet
	}
	// An API server sets managed fields before it calls webhooks: this is a
	// manifest that lint reads, and its author wrote all of it.
	if _, ok := sc.Annotations[cluster.AnnotationLastApplied]; !ok && len(sc.ManagedFields) == 0 {
		return written
	}
	return max(lastApplied(sc), applied(sc))
}

// updatedWith returns the authorship of an update to Delete.
func updatedWith(old, sc *storagev1.StorageClass) authorship {
	if sc.ReclaimPolicy == nil {
		return omitted
	}
	// An unchanged annotation is evidence about an earlier request.
	if sc.Annotations[cluster.AnnotationLastApplied] != old.Annotations[cluster.AnnotationLastApplied] {
		if a := lastApplied(sc); a != unknown {
			return a
		}
	}
	if a := applied(sc); a != unknown {
		return a
	}
	// Without the mark this is a manifest that replaces the whole object. With
	// it, somebody edited or patched the live object, and changed this field.
	if sc.Annotations[cluster.AnnotationReclaimDefaulted] == "true" {
		return written
	}
	return unknown
}

// lastApplied reads the annotation in which kubectl apply sends the manifest.
func lastApplied(sc *storagev1.StorageClass) authorship {
	manifest, ok := sc.Annotations[cluster.AnnotationLastApplied]
	if !ok {
		return unknown
	}
	switch has, err := hasKey([]byte(manifest), "reclaimPolicy"); {
	case err != nil:
		return unknown
	case has:
		return written
	default:
		return omitted
	}
}

// applied reads the managed fields, which name the fields that a server-side
// apply applied. The entries of other requests include fields that the API
// server defaulted: they do not prove that an author wrote the field, nor the
// contrary.
func applied(sc *storagev1.StorageClass) authorship {
	result, listed := unknown, false
	for _, e := range sc.ManagedFields {
		if e.FieldsV1 == nil {
			continue
		}
		has, err := hasKey(e.FieldsV1.GetRawBytes(), "f:reclaimPolicy")
		apply := e.Operation == metav1.ManagedFieldsOperationApply
		switch {
		case err != nil:
			return unknown
		case apply && has:
			return written
		case apply:
			result = omitted
		case has:
			listed = true
		}
	}
	if listed {
		return unknown
	}
	return result
}

// hasKey says whether a JSON object has a key with a value.
func hasKey(data []byte, key string) (bool, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return false, err
	}
	value, ok := m[key]
	return ok && string(value) != "null", nil
}
