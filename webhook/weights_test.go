//go:build unix

package webhook

import (
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"stayput.dev/internal/fastjson"
)

// TestOneCount holds the decoder's count of values, which what API servers send
// is measured by, to the scan's, which decides about all else.
func TestOneCount(t *testing.T) {
	bodies := map[string][]byte{}
	for _, name := range payloadNames(t) {
		bodies[name] = readPayload(t, name)
	}
	n := 0
	small := Limits{Bytes: 64 << 10, Values: 500, Depth: 100}
	for s := range shapes() {
		if n++; n%37 == 0 {
			bodies[s.name] = s.largest(small, "UPDATE")
		}
	}
	for text, object := range map[string]string{
		"a list in a costly map":    `{"limits":{"a":[1,2,{"b":3,"c":4}],"d":1},"e":[1,2]}`,
		"a costly map in another":   `{"volumeClaimTemplates":[{"requests":{"a":1,"b":2},"c":3},{}],"d":4}`,
		"a costly key of a scalar":  `{"limits":"1","e":{"a":1,"b":2}}`,
		"a key that could be any":   `{"l\u0069mits":{"a":1,"b":2}}`,
		"a schema":                  `{"a":1,"openAPIV3Schema":{"b":[1,{"limits":{"c":1,"d":2}}]},"e":[{},2]}`,
		"a schema of limits":        `{"limits":{"openAPIV3Schema":{"c":1,"d":2},"e":1}}`,
		"a string that is no key":   `{"a":["limits",{"a":1,"b":2}]}`,
		"white space before colons": "{\"limits\"  :\n{\"a\":1,\"b\":2}}",
	} {
		bodies[text] = []byte(`{"kind":"AdmissionReview","request":{"uid":"u","object":` + object + `}}`)
	}
	decoded := 0
	for name, body := range bodies {
		doc := fastjson.NewDocument(body, DefaultLimits().budget(len(body), room))
		if !doc.Unmarshal(new(admissionv1.AdmissionReview), nil) {
			continue // the scan alone decides
		}
		decoded++
		if _, cost, over := DefaultLimits().scan(body); over != "" || cost != takes(len(body), doc.Values()) {
			t.Errorf("%s: the scan says %d %q, and the decoder %d", name, cost, over, takes(len(body), doc.Values()))
		}
	}
	if decoded < len(bodies)*9/10 {
		t.Errorf("only %d of %d bodies were decoded", decoded, len(bodies))
	}
}
