// Package payloads derives AdmissionReviews from those that were captured into its
// directory.
package payloads

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
)

// Silent maps the names of updates of an object with faults, for which no rule has
// a finding, to whether they change anything. One writes the object as it is, as
// operators do; the other writes an annotation that no rule reads.
var Silent = map[string]bool{"statefulset-update-nothing": false, "statefulset-update-unrelated": true}

// Faulty is the payload from which they are derived: the creation of an object with
// warnings.
const Faulty = "statefulset-warned"

// Update returns the review of an update of the object that the review of a
// creation has, which changes nothing or, if annotated is true, an annotation.
func Update(creation []byte, annotated bool) ([]byte, error) {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(creation, &review); err != nil {
		return nil, fmt.Errorf("decode the review of a creation: %w", err)
	}
	req := review.Request
	if req == nil || req.Operation != admissionv1.Create {
		return nil, errors.New("no review of a creation")
	}
	const metadata = `"metadata":{`
	edited := func(more string) ([]byte, error) {
		if !bytes.Contains(req.Object.Raw, []byte(metadata)) {
			return nil, errors.New("an object without metadata")
		}
		return bytes.Replace(req.Object.Raw, []byte(metadata), []byte(metadata+more), 1), nil
	}
	const stored = `"resourceVersion":"1000",`
	old, err := edited(stored)
	if err != nil {
		return nil, err
	}
	obj := old
	if annotated {
		if obj, err = edited(stored + `"annotations":{"example.com/checked":"today"},`); err != nil {
			return nil, err
		}
	}
	req.Operation, req.OldObject.Raw, req.Object.Raw = admissionv1.Update, old, obj
	req.Options.Raw = []byte(`{"kind":"UpdateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"operator"}`)
	return json.Marshal(review)
}
