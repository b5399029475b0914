package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"stayput.dev/cluster/clustertest"
)

// TestDefinitionsOfAnySize deletes a definition with more values in its schema than any
// other object may have: it is answered by the rule, as a small one is.
func TestDefinitionsOfAnySize(t *testing.T) {
	data, err := clustertest.Load("../validators/testdata/definition-data.yaml")
	if err != nil {
		t.Fatal(err)
	}
	h := newWebhook(t, data.Objects...).Handler()
	for _, properties := range []int{0, 50_000} {
		var fields []string
		for i := range properties {
			fields = append(fields, fmt.Sprintf(`"f%d":{"type":"object","limits":{"minimum":1.5}}`, i))
		}
		for group, denied := range map[string]bool{"pg.example.com": true, "other.example.com": false} {
			body := fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",
"kind":{"group":"apiextensions.k8s.io","version":"v1","kind":"CustomResourceDefinition"},
"resource":{"group":"apiextensions.k8s.io","version":"v1","resource":"customresourcedefinitions"},
"name":"clusters.%[1]s","operation":"DELETE","userInfo":{"username":"jane"},"object":null,
"oldObject":{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1",
"metadata":{"name":"clusters.%[1]s"},
"spec":{"group":"%[1]s","names":{"plural":"clusters","kind":"Cluster"},"scope":"Namespaced",
"versions":[{"name":"v1","schema":{"openAPIV3Schema":{"type":"object","properties":{%[2]s}}}}]},
"status":{"storedVersions":["v1"]}},"dryRun":false,"options":null}}`, group, strings.Join(fields, ","))
			req := httptest.NewRequest(http.MethodPost, ValidatePath+"?timeout=10s", bytes.NewReader([]byte(body)))
			req.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			var review admissionv1.AdmissionReview
			if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			switch r := review.Response; {
			case r.Allowed == denied:
				t.Errorf("%s, %d properties: allowed %v, %v", group, properties, r.Allowed, r.Result)
			case denied && !strings.Contains(r.Result.Message, "definition-data"):
				t.Errorf("%s, %d properties: %s", group, properties, r.Result.Message)
			}
		}
	}
}
