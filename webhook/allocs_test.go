//go:build unix && !slowjson

package webhook

import (
	"encoding/json"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	made "stayput.dev/bench/payloads"
)

// allocations is how many a request of each payload may make, from its body to
// its answer, with a twentieth of room. They do not depend on the machine, and
// grow where somebody copies on the way of every request; who has a reason to
// raises a number here.
var allocations = map[string]float64{
	"claim-create":                 75,
	"claim-delete":                 71,
	"claim-delete-denied":          143,
	"pod-create":                   108,
	"pod-create-mutate":            139,
	"statefulset-create":           214,
	"statefulset-create-mutate":    130,
	"statefulset-denied":           390,
	"statefulset-update":           239,
	"statefulset-update-nothing":   189,
	"statefulset-update-unrelated": 201,
	"statefulset-warned":           365,
	"volume-create":                100,
	"volume-create-mutate":         99,
}

// TestSilentPayloads holds what is made of an object with faults to what it is for:
// its creation is warned of, and no update of it that has nothing to do with them.
func TestSilentPayloads(t *testing.T) {
	h := shop(t).Handler()
	for name, warned := range map[string]bool{
		made.Faulty: true, "statefulset-update-nothing": false, "statefulset-update-unrelated": false,
	} {
		c := newSender(t, h, name)
		c.do(t)
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(c.sink.body.Bytes(), &review); err != nil {
			t.Fatal(err)
		}
		if !review.Response.Allowed || (len(review.Response.Warnings) > 0) != warned {
			t.Errorf("%s: allowed %v, warnings %q", name, review.Response.Allowed, review.Response.Warnings)
		}
	}
}

func TestAllocations(t *testing.T) {
	h := shop(t).Handler()
	for _, name := range payloadNames(t) {
		c := newSender(t, h, name)
		got := testing.AllocsPerRun(200, func() { c.do(t) })
		most, ok := allocations[name]
		if !ok || got > most {
			t.Errorf("%s: %.0f allocations, and should be at most %.0f", name, got, most)
		}
		if got < 0.8*most {
			t.Errorf("%s: %.0f allocations: lower the %.0f that it is held to", name, got, most)
		}
	}
}
