package validators

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"claim-in-use", "mode", "subdomain", "volume-in-use"}
	for word, want := range map[string]string{
		"subdomian":    "subdomain", // two letters exchanged
		"sub-domain":   "subdomain",
		"claim_in_use": "claim-in-use",
		"Mode":         "mode",
		"host":         "", // nothing is near
		"":             "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
