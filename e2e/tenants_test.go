package e2e

import (
	"strings"
	"testing"
)

const strict = `apiVersion: stayput.dev/v1alpha1
kind: Configuration
allowedModes: [warn, enforce]
forbidExemptions: [deployment-hostname]
deletions: {callers: ["system:serviceaccount:operators:*", restorer]}
`

// TestWhoMayDoWhat asks as tenants and operators do, under a configuration
// that is stricter than that of the other tests.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	b := newBare(t, strict)
	mysql := strings.Replace(readFile(t, "testdata", "mysql.yaml"), "replicas: 3", "replicas: 1", 1)
	claim := strings.ReplaceAll(staleClaim, ", volumeName: NS", "")
	hostname := strings.Replace(fixedHostname, "replicas: 1", "replicas: 2", 1)
	// each makes a namespace with a claim in use, which user may edit.
	each := func(t *testing.T, ns, user string) (as func(stdin string, args ...string) (string, error)) {
		b.kubectl(t, "", "create", "namespace", ns)
		// What the role edit is made of, by a controller that is not here.
		for _, part := range []string{"edit", "view"} {
			b.kubectl(t, "", "create", "rolebinding", part, "-n", ns, "--clusterrole=system:aggregate-to-"+part, "--user="+user)
		}
		as = func(stdin string, args ...string) (string, error) {
			return b.try(t, stdin, append(args, "-n", ns, "--as="+user)...)
		}
		if out, err := as(mysql+"---\n"+claim, "apply", "-f", "-"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return as
	}
	guarded := func(t *testing.T, as func(string, ...string) (string, error)) {
		t.Helper()
		eventually(t, "the guard", func() error {
			out, err := as("", "delete", "pvc", "data-mysql-0", "--dry-run=server")
			if err == nil || !strings.Contains(out, "(Forbidden)") || !strings.Contains(out, "claim-in-use: ") {
				return &notDenied{out}
			}
			return nil
		})
	}

	t.Run("a tenant cannot choose the mode", func(t *testing.T) {
		as := each(t, "tenant", "tenant")
		out, err := as("", "label", "namespace", "tenant", "stayput.dev/mode=off")
		if err == nil {
			t.Error("edit lets a tenant label its namespace")
		}
		contains(t, out, `cannot patch resource "namespaces"`)
		guarded(t, as)
	})
	t.Run("nobody can choose a mode that is not allowed", func(t *testing.T) {
		as := each(t, "off", "tenant")
		b.kubectl(t, "", "label", "namespace", "off", "stayput.dev/mode=off")
		guarded(t, as)
		if out, err := as(hostname, "create", "-f", "-"); err == nil {
			t.Errorf("not denied:\n%s", out)
		}
	})
	t.Run("a tenant can choose a mode that is allowed, no matter who labels its namespace", func(t *testing.T) {
		as := each(t, "lenient", "tenant")
		guarded(t, as)
		b.kubectl(t, "", "label", "namespace", "lenient", "stayput.dev/mode=warn")
		out, err := as("", "delete", "pvc", "data-mysql-0")
		if err != nil {
			t.Error(err)
		}
		contains(t, out, "Warning: claim-in-use: ")
	})
	t.Run("a tenant can exempt what it owns, with a reason", func(t *testing.T) {
		as := each(t, "reasons", "tenant")
		guarded(t, as)
		out, err := as("", "annotate", "pvc", "data-mysql-0", "exempt.stayput.dev/claim-in-use=")
		if err == nil {
			t.Error("exempted without a reason")
		}
		contains(t, out, "stayput-annotation: ")
		if out, err := as("", "annotate", "pvc", "data-mysql-0", "exempt.stayput.dev/claim-in-use=a drill"); err != nil {
			t.Error(err, out)
		}
		if out, err := as("", "delete", "pvc", "data-mysql-0"); err != nil {
			t.Error(err, out)
		}
	})
	t.Run("not where the configuration forbids it", func(t *testing.T) {
		as := each(t, "forbidden", "tenant")
		out, err := as(strings.Replace(hostname, "{name: web}",
			"{name: web, annotations: {exempt.stayput.dev/deployment-hostname: because}}", 1), "create", "-f", "-")
		if err == nil {
			t.Error("exempted all the same")
		}
		contains(t, out, "deployment-hostname: ", "the configuration forbids exemptions from this rule")
	})
	for user, may := range map[string]bool{
		"system:serviceaccount:operators:cnpg": true,
		"restorer":                             true,
		"restorer-2":                           false,
		"system:serviceaccount:others:cnpg":    false,
	} {
		t.Run("deletions by "+user, func(t *testing.T) {
			ns := "by-" + strings.NewReplacer(":", "-").Replace(user)
			as := each(t, ns, user)
			tenant := func(stdin string, args ...string) (string, error) {
				return b.try(t, stdin, append(args, "-n", ns)...)
			}
			guarded(t, tenant) // as the administrator is
			out, err := as("", "delete", "pvc", "data-mysql-0")
			if !may {
				if err == nil {
					t.Errorf("not denied:\n%s", out)
				}
				return
			}
			if err != nil {
				t.Errorf("denied:\n%s", out)
			}
			contains(t, out, "Warning: claim-in-use: ")
		})
	}
}
