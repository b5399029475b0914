package e2e

import (
	"context"
	"strings"
	"testing"
	"time"
)

// newAccount creates a service account with permissions, and returns a token for
// it. A grant is written as for kubectl create, without the binding's name:
// "rolebinding --clusterrole=admin" is for the account's namespace,
// "clusterrolebinding --clusterrole=NAME" for all namespaces.
func newAccount(t *testing.T, ns, name string, grants ...string) (token string) {
	t.Helper()
	kubectl(t, "create", "serviceaccount", name, "-n", ns)
	for _, grant := range grants {
		kind, role, _ := strings.Cut(grant, " ")
		binding := ns + "-" + name
		kubectl(t, "create", kind, binding, "-n", ns, role, "--serviceaccount="+ns+":"+name)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			_, _ = env.Kubectl(ctx, "", "delete", kind, binding, "-n", ns, "--wait=false")
		})
	}
	return strings.TrimSpace(kubectl(t, "create", "token", name, "-n", ns, "--duration=10h"))
}
