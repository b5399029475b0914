// Package payloads makes AdmissionReviews of those that were captured beside it.
package payloads

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
)

// Silent are the names of updates that say nothing about an object with faults, and
// whether they change anything: what an operator sends that writes what there is
// already, and what writes an annotation that no rule reads.
var Silent = map[string]bool{"statefulset-update-nothing": false, "statefulset-update-unrelated": true}

// Faulty is the payload that they are made of: the creation of an object that is
// warned of.
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
