package trim

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestManagedFieldsAreNotAskedFor(t *testing.T) {
	const proto = "application/vnd.kubernetes.protobuf"
	for _, tt := range []struct{ path, accept, want string }{
		{"/api/v1/pods", proto + ",application/json", proto + ";drop=metadata.managedFields,application/json"},
		{"/api/v1/namespaces/shop/pods", proto + ";stream=watch", proto + ";drop=metadata.managedFields;stream=watch"},
		{"/apis/apps/v1/statefulsets", proto, proto + ";drop=metadata.managedFields"},
		{"/api/v1/persistentvolumeclaims", proto, proto},         // who made a claim is read from them
		{"/apis/storage.k8s.io/v1/storageclasses", proto, proto}, // who chose its reclaimPolicy
		{"/api/v1/secrets", proto, proto},                        // no kind of ours
		{"/api/v1/pods", "application/json", "application/json"}, // as clients that cannot have protobuf
		{"/api/v1/pods", "", ""},
	} {
		got := ""
		next := roundTripper(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Accept")
			return &http.Response{StatusCode: http.StatusNotFound, Body: io.NopCloser(strings.NewReader(""))}, nil
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1"+tt.path+"?watch=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", tt.accept)
		if _, err := Transport(next, next).RoundTrip(req); err != nil || got != tt.want {
			t.Errorf("%s, %s: %v, asked for %q, and should for %q", tt.path, tt.accept, err, got, tt.want)
		}
		if req.Header.Get("Accept") != tt.accept {
			t.Errorf("%s: the request was edited", tt.path)
		}
	}
}
