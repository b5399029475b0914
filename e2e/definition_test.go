package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// owning makes a custom resource of a kind, once the garbage collector watches the
// kind: it looks for new ones every 30 seconds, and deletes nothing for owners of a
// kind that it never knew. It returns the resource as an owner.
func owning(t *testing.T, ns, kind, group, name string) string {
	t.Helper()
	create := func(name string) string {
		apply(t, ns, fmt.Sprintf("apiVersion: %s/v1\nkind: %s\nmetadata: {name: %s}\n", group, kind, name))
		uid := kubectl(t, "get", strings.ToLower(kind)+"."+group, name, "-n", ns, "-o", "jsonpath={.metadata.uid}")
		return fmt.Sprintf(`{"apiVersion":"%s/v1","kind":%q,"name":%q,"uid":%q}`, group, kind, name, strings.TrimSpace(uid))
	}
	probe := create("probe")
	kubectl(t, "create", "configmap", "probe-"+strings.ToLower(kind), "-n", ns)
	owned(t, ns, "configmap", "probe-"+strings.ToLower(kind), probe)
	kubectl(t, "delete", strings.ToLower(kind)+"."+group, "probe", "-n", ns)
	gone(t, "configmap", "probe-"+strings.ToLower(kind), "-n", ns)
	return create(name)
}

// owned writes the owners of an object.
func owned(t *testing.T, ns, resource, name string, owners ...string) {
	t.Helper()
	kubectl(t, "patch", resource, name, "-n", ns, "--type=merge", "-p",
		`{"metadata":{"ownerReferences":[`+strings.Join(owners, ",")+`]}}`)
}

// TestWhatADefinitionTakesWithIt deletes CustomResourceDefinitions whose kinds own
// claims: denied while a disk would be destroyed, to a service account, too; and what
// the rule foretells happens once the data is let go, whatever becomes of dependents.
func TestWhatADefinitionTakesWithIt(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"background": nil, "orphan": {"--cascade=orphan"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, "stayput.dev/mode=enforce")
			kind, group := "Hoard", name+".example.com"
			definition(t, kind, "hoards", group, "Namespaced")
			crd := "hoards." + group
			owner := owning(t, ns, kind, group, "main")
			volumes := map[string]string{}
			for _, claim := range []string{"controlled", "owned", "shared"} {
				volumes[claim] = claimOfDisk(t, ns, claim)
			}
			owned(t, ns, "pvc", "controlled", strings.Replace(owner, "{", `{"controller":true,`, 1))
			owned(t, ns, "pvc", "owned", owner)
			kubectl(t, "create", "configmap", "list", "-n", ns)
			uid := strings.TrimSpace(kubectl(t, "get", "configmap", "list", "-n", ns, "-o", "jsonpath={.metadata.uid}"))
			owned(t, ns, "pvc", "shared", owner,
				fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","name":"list","uid":%q}`, uid))
			member := database(t, ns, 1, "  replicas: 1", fmt.Sprintf(strings.Replace(retention, "3", "1", 1), "whenDeleted"))[0]
			letGo(t, []string{member})
			eventually(t, "the claim to be owned", func() error {
				if kubectl(t, "get", "pvc", "data-mysql-0", "-n", ns, "-o", "jsonpath={.metadata.ownerReferences[*].kind}") == "" {
					return fmt.Errorf("no owner")
				}
				return nil
			})
			owned(t, ns, "statefulset", "mysql", owner)
			setToDelete(t, member)
			all := []string{volumes["controlled"], volumes["owned"], member, volumes["shared"]}
			fill(t, all)
			files := map[string]string{}
			for _, pv := range all {
				files[pv] = fileOf(t, pv)
			}

			said := denied(t, "definition-data", append([]string{"delete", "crd", crd}, flags...)...)
			contains(t, said, "the volumes (3Gi) of 3 claims are destroyed, such as "+ns+"/controlled", "kubectl patch pv")
			said = denied(t, "definition-data", "delete", "crd", crd, "--as=system:serviceaccount:argocd:argocd",
				"--as-group=system:masters")
			contains(t, said, "deletions: {callers: [{user: ", "kind: CustomResourceDefinition}]}")
			kubectl(t, "annotate", "pv", all[0], all[1], all[2], "stayput.dev/reclaim-policy=Delete", "--overwrite")
			begun := time.Now()
			kubectl(t, append([]string{"delete", "crd", crd}, flags...)...)
			for _, pv := range all[:3] {
				gone(t, "pv", pv)
				if _, err := os.Stat(files[pv]); err == nil {
					t.Errorf("the disk of %s is there", pv)
				}
			}
			t.Logf("destroyed %.1f s after the definition was deleted", time.Since(begun).Seconds())
			output(t, "Bound", "get", "pvc", "shared", "-n", ns, "-o", "jsonpath={.status.phase}")
			if _, err := os.Stat(files[volumes["shared"]]); err != nil {
				t.Error(err)
			}
		})
	}
}
