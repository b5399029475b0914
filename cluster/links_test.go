package cluster_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestRulesLinkNoClient holds that rules, and what reads and reports on manifests, link
// no client of an API server: it takes longer to start than a chart to review.
func TestRulesLinkNoClient(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "stayput.dev/cluster", "stayput.dev/validators",
		"stayput.dev/mutators", "stayput.dev/manifest", "stayput.dev/report").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Fields(string(out))
	for _, dep := range all {
		for _, heavy := range []string{"k8s.io/client-go/", "sigs.k8s.io/controller-runtime/", "net/http/httptest",
			"github.com/prometheus/"} {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("rules link %s", dep)
			}
		}
	}
	if len(all) < 100 {
		t.Errorf("%d packages", len(all))
	}
}
