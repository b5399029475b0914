package trim

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestPatient asks a server that answers slowly, which is waited for, and others
// that hang, before their answers or in the middle, which are not.
func TestPatient(t *testing.T) {
	const parts = 6
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/before" {
			<-hang
		}
		for range parts {
			_, _ = w.Write([]byte("part"))
			w.(http.Flusher).Flush()
			if r.URL.Path == "/between" {
				<-hang
			}
			time.Sleep(100 * time.Millisecond)
		}
	}))
	defer server.Close()
	defer close(hang)
	ask := func(path string) (string, error) {
		client := http.Client{Transport: silenceLimit{http.DefaultTransport, parts * 100 * time.Millisecond / 2}}
		resp, err := client.Get(server.URL + path)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return string(text), err
	}
	if text, err := ask("/slowly"); err != nil || len(text) != parts*len("part") {
		t.Errorf("slowly: %q, %v", text, err)
	}
	for path, want := range map[string]string{"/before": "", "/between": "part"} {
		if text, err := ask(path); !errors.Is(err, ErrStalled) || text != want {
			t.Errorf("%s: %q, %v; want %q, and an error that it has stalled", path, text, err, want)
		}
	}
}
