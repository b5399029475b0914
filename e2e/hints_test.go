package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/e2e/localcluster"
	"stayput.dev/validators"
)

// growing is a class whose volumes may grow, though nothing here grows them.
const growing = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: %s}
provisioner: ` + localcluster.HostPathProvisioner + `
reclaimPolicy: Delete
allowVolumeExpansion: true
`

// growingClass makes such a class, for this test, and returns its name.
func growingClass(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("growing-%d", time.Now().UnixNano()%100000) // short, for the hint to have room
	if out, err := try(t, fmt.Sprintf(growing, name), "create", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { _, _ = env.Kubectl(context.Background(), "", "delete", "storageclass", name, "--wait=false") })
	return name
}

// refusedBefore is what the API server says where it says something else since a minor
// of Kubernetes: 1.37 names the field of a StatefulSet.
var refusedBefore = map[string]struct {
	minor int
	words string
}{
	"a larger claim template":   {37, otherFields},
	"a smaller claim":           {32, "field can not be less than previous value"},
	"a class that is to retain": {36, "reclaimPolicy: Forbidden"}, // 1.34, or earlier than 1.36.3
	"another order of Pods":     {37, otherFields},
	"another selector":          {37, otherFields},
	"another Service":           {37, otherFields},
}

const otherFields = "updates to statefulset spec for fields other than"

// TestHints asks for what the API server refuses by
// itself: kubectl shows our hint, and then the API server's own words.
func TestHints(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	class := growingClass(t)
	letGo(t, database(t, ns, 2))
	apply(t, ns, ordinaryNamed("client")+fmt.Sprintf(`apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: large}
spec: {accessModes: [ReadWriteOnce], storageClassName: %s, resources: {requests: {storage: 2Gi}}}
---
`, class)+fmt.Sprintf(`apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: waiting}
spec: {accessModes: [ReadWriteOnce], storageClassName: no-%[1]s, resources: {requests: {storage: 2Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: named}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: no-%[1]s, resources: {requests: {storage: 2Gi}}}
`, ns))
	output(t, "Bound", "get", "pvc", "large", "-n", ns, "-o", "jsonpath={.status.phase}")
	mysql := strings.Replace(readFile(t, "testdata", "mysql.yaml"), "replicas: 3", "replicas: 2", 1)
	edit := func(was, is string) string {
		if !strings.Contains(mysql, was) {
			t.Fatalf("%q is not in the manifest", was)
		}
		return strings.ReplaceAll(mysql, was, is)
	}
	grow := func(size string) string {
		return fmt.Sprintf(`{"spec":{"resources":{"requests":{"storage":%q}}}}`, size)
	}
	for name, tc := range map[string]struct {
		manifest string
		args     []string
		hint     []string // what the hint holds
		refusal  string   // the API server's own
		since    int      // the minor in which it refuses at all, or 0
	}{
		"a larger claim template": {
			manifest: edit("storage: 1Gi", "storage: 2Gi"),
			hint: []string{"field-fixed: spec.volumeClaimTemplates[0].spec.resources.requests[storage]: ", `"2Gi"`,
				"each claim must grow by itself"},
			refusal: "spec.volumeClaimTemplates: ",
		},
		"another Service": {
			manifest: edit("serviceName: mysql-h", "serviceName: mysql-i"),
			hint:     []string{"field-fixed: spec.serviceName: ", "--cascade=orphan"}, refusal: "spec.serviceName: ",
		},
		"another order of Pods": {
			manifest: edit("Parallel", "OrderedReady"),
			hint:     []string{"field-fixed: spec.podManagementPolicy: ", "--cascade=orphan"},
			refusal:  "spec.podManagementPolicy: ",
		},
		"another selector": {
			manifest: edit("{app: mysql}", "{app: mariadb}"),
			hint:     []string{`field-fixed: spec.selector.matchLabels[app]: Invalid value: "mariadb": `, `keep "mysql"`},
			refusal:  "spec.selector: ",
		},
		"a Service that is to be headless": {
			manifest: strings.Replace(ordinaryNamed("client"), "spec: {", "spec: {clusterIP: None, ", 1),
			hint:     []string{"field-fixed: spec.clusterIP: ", "kubectl delete service client"},
			refusal:  "may not change once set",
		},
		"a smaller claim": {
			args:    []string{"patch", "pvc", "large", "-p", grow("1Gi")},
			hint:    []string{"field-fixed: spec.resources.requests[storage]: ", "a volume only ever grows"},
			refusal: "field can not be less than status.capacity",
		},
		"a larger claim of a class that cannot": {
			args:    []string{"patch", "pvc", "data-mysql-0", "-p", grow("2Gi")},
			hint:    []string{"field-fixed: spec.resources.requests[storage]: ", `"allowVolumeExpansion":true`},
			refusal: "only dynamically provisioned pvc can be resized",
		},
		"a larger claim without a volume": {
			args:    []string{"patch", "pvc", "waiting", "-p", grow("3Gi")},
			hint:    []string{"field-fixed: spec.resources.requests[storage]: ", "before the claim is bound"},
			refusal: "spec: Forbidden: ",
		},
		"a Pending claim of another class": {
			args: []string{"patch", "pvc", "waiting", "-p", `{"spec":{"storageClassName":"disk"}}`},
			hint: []string{"field-fixed: spec.storageClassName: ", "the claim holds no data yet",
				"kubectl delete pvc waiting"},
			refusal: "spec: Forbidden: ",
		},
		"a Pending claim of another volume": {
			args:    []string{"patch", "pvc", "named", "-p", `{"spec":{"volumeName":"other"}}`},
			hint:    []string{"field-fixed: spec.volumeName: ", "the claim holds no data yet", "kubectl delete pvc named"},
			refusal: "spec: Forbidden: ",
		},
		"a bound claim of another volume": {
			args:    []string{"patch", "pvc", "large", "-p", `{"spec":{"volumeName":"other"}}`},
			hint:    []string{"field-fixed: spec.volumeName: ", "copy the data"},
			refusal: "spec: Forbidden: ",
		},
		"a claim of another class": {
			args: []string{"patch", "pvc", "large", "-p", `{"spec":{"storageClassName":"disk"}}`},
			hint: []string{"field-fixed: spec.storageClassName: ", "copy the data"}, refusal: "spec: Forbidden: ",
		},
		"a class that is to retain": {
			manifest: fmt.Sprintf(strings.Replace(growing, "reclaimPolicy: Delete", "reclaimPolicy: Retain", 1), class),
			hint:     []string{"field-fixed: reclaimPolicy: ", "volumes keep theirs"}, refusal: "reclaimPolicy: Invalid value",
		},
		"a typing error": {
			manifest: strings.NewReplacer("name: mysql}", "name: typo}", "resources: {", "resource: {").Replace(mysql),
			args:     []string{"apply", "--validate=ignore", "-f", "-"},
			hint: []string{"claim-template-storage: spec.volumeClaimTemplates[0].spec.resources.requests[storage]: ",
				`it stands under "resource", which Kubernetes drops`, "resources: {requests: {storage: 1Gi}}"},
			refusal: "Required value", since: 34, // TestNotesApplied has Stayput's denial
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onlySince(t, tc.since, "this refusal")
			if older := refusedBefore[name]; env.minor < older.minor {
				tc.refusal = older.words
			}
			args := tc.args
			if args == nil {
				args = []string{"apply", "-f", "-"}
			}
			out, err := try(t, tc.manifest, append(args, "-n", ns)...)
			if err == nil {
				t.Fatalf("the API server accepts it:\n%s", out)
			}
			contains(t, out, append(tc.hint, tc.refusal, "fix: ")...)
			hint, refusal, _ := strings.Cut(out, tc.hint[0])
			if !strings.HasSuffix(hint, "Warning: ") || !strings.Contains(refusal, tc.refusal) {
				t.Errorf("want the hint as a warning, and then the refusal:\n%s", out)
			}
			if strings.Contains(out, "denied the request") {
				t.Errorf("Stayput denies what the API server refuses:\n%s", out)
			}
		})
	}
}

func ordinaryNamed(name string) string {
	return strings.Replace(ordinaryService, "mysql-h", name, 1)
}

// TestRecipe follows the hint exactly: a shell runs its commands.
func TestRecipe(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	class := growingClass(t)
	letGo(t, database(t, ns, 2, "storageClassName: disk", "storageClassName: "+class, "    spec:\n",
		"    spec:\n      terminationGracePeriodSeconds: 10\n"))
	pods := kubectl(t, "get", "pod", "-n", ns, "-o", uids)
	claims := kubectl(t, "get", "pvc", "-n", ns, "-o", uids)

	manifest := kubectl(t, "get", "statefulset", "mysql", "-n", ns, "-o",
		`jsonpath={.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}`)
	larger := strings.Replace(manifest, `"storage":"1Gi"`, `"storage":"2Gi"`, 1)
	out, err := try(t, larger, "apply", "-n", ns, "-f", "-")
	if err == nil {
		t.Fatalf("the API server accepts it:\n%s", out)
	}
	contains(t, out, "stayput rules field-fixed") // the recipe is longer than a warning may be
	recipe := recipeFor(t, ns, "2Gi")
	t.Log(recipe)

	follow(t, recipe, larger)

	uid := kubectl(t, "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	output(t, uid+" "+uid, "get", "pod", "-n", ns, "-o", "jsonpath={.items[*].metadata.ownerReferences[0].uid}")
	output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", allReady)
	output(t, "2", "get", "statefulset", "mysql", "-n", ns, "-o", "jsonpath={.status.updatedReplicas}")
	output(t, "2Gi", "get", "statefulset", "mysql", "-n", ns, "-o",
		"jsonpath={.spec.volumeClaimTemplates[0].spec.resources.requests.storage}")
	output(t, "2Gi 2Gi", "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.resources.requests.storage}")
	output(t, pods, "get", "pod", "-n", ns, "-o", uids)
	output(t, claims, "get", "pvc", "-n", ns, "-o", uids)
}

// TestRecipeThatWouldBeDenied has a manifest whose creation would be denied for a
// fault that its Pods do not have: the hint says so before anything is deleted. A
// fault that the Pods already have, from before Stayput, does not prevent the
// recipe.
func TestRecipeThatWouldBeDenied(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "stayput.dev/mode=off")
	letGo(t, database(t, ns, 1, "    spec:\n", "    spec:\n      terminationGracePeriodSeconds: 5\n"))
	kubectl(t, "label", "--overwrite", "namespace", ns, "stayput.dev/mode=enforce")
	manifest := kubectl(t, "get", "statefulset", "mysql", "-n", ns, "-o",
		`jsonpath={.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}`)
	mended := strings.Replace(manifest, `"storage":"1Gi"`, `"storage":"2Gi"`, 1)
	larger := strings.Replace(mended, `"terminationGracePeriodSeconds":5`, `"terminationGracePeriodSeconds":0`, 1)
	const denial = "statefulset-grace-period: spec.template.spec.terminationGracePeriodSeconds"
	refused := func(manifest string, args ...string) string {
		t.Helper()
		out, err := try(t, manifest, append(args, "-n", ns, "-f", "-")...)
		if err == nil {
			t.Fatalf("the API server accepts it:\n%s", out)
		}
		return out
	}
	out := refused(larger, "apply")
	contains(t, out, "Warning: mend first what its re-creation is denied for: "+denial, "Warning: field-fixed: ",
		`fix: keep "1Gi"`)
	if strings.Contains(out, "kubectl delete") {
		t.Errorf("it is to be deleted, and could not be made again:\n%s", out)
	}
	out = refused(mended, "apply")
	contains(t, out, "Warning: field-fixed: ", "stayput rules field-fixed")
	if strings.Contains(out, "mend first") {
		t.Errorf("nothing is left to mend:\n%s", out)
	}
	// What rules field-fixed says of a dry run: our denial comes before the name
	// is found to be taken.
	contains(t, refused(larger, "create", "--dry-run=server"), "denied the request", denial)
	out = refused(mended, "create", "--dry-run=server")
	contains(t, out, "AlreadyExists")
	if strings.Contains(out, "denied the request") {
		t.Errorf("denied:\n%s", out)
	}
	kubectl(t, "delete", "sts", "mysql", "-n", ns, "--cascade=orphan")
	apply(t, ns, mended)
}

// recipeFor returns the remedy of the hint, which lint and audit print in full.
func recipeFor(t *testing.T, ns, size string) string {
	t.Helper()
	old, err := env.client.AppsV1().StatefulSets(ns).Get(t.Context(), "mysql", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sts := old.DeepCopy()
	sts.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests["storage"] = resource.MustParse(size)
	source := cache.Reader(newClient(t, env.Cluster.Config(), ""))
	view := cluster.Environment{Source: source}.View(t.Context(), cluster.Request{})
	findings, undecided := validators.Review(view, validators.Hints(validators.All), old, sts)
	if len(findings) != 1 || len(undecided) > 0 {
		t.Fatalf("%v, undecided %v: want one hint", findings, undecided)
	}
	return findings[0].Remedy.String()
}

// TestAPendingClaimIsGivenWhatIsWrong gives claims that wait a class and a volume that
// do not exist. Both are accepted and final; what is said mends it.
func TestAPendingClaimIsGivenWhatIsWrong(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	class := growingClass(t)
	claim := func(name, rest string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: %s, namespace: %s}\n"+
			"spec: {accessModes: [ReadWriteOnce], %sresources: {requests: {storage: 1Gi}}}\n---\n", name, ns, rest)
	}
	apply(t, ns, claim("named", `storageClassName: "", `)+claim("typed", ""))
	contains(t, kubectl(t, "patch", "pvc", "typed", "-n", ns, "-p", `{"spec":{"storageClassName":"no-such"}}`),
		"claim-class: spec.storageClassName: Not found: \"no-such\": must name a class that exists", "the class is final")
	contains(t, kubectl(t, "patch", "pvc", "named", "-n", ns, "-p", `{"spec":{"volumeName":"no-such"}}`),
		"claim-volume: spec.volumeName: Not found: \"no-such\": must exist", "the name is final")
	if out, err := try(t, "", "patch", "pvc", "named", "-n", ns, "-p", `{"spec":{"volumeName":"other"}}`); err == nil {
		t.Errorf("the name is not final:\n%s", out)
	}
	if out, err := try(t, "", "patch", "pvc", "typed", "-n", ns,
		"-p", `{"spec":{"storageClassName":"`+class+`"}}`); err == nil {
		t.Errorf("the class is not final:\n%s", out)
	}
	for _, name := range []string{"named", "typed"} {
		output(t, "Pending", "get", "pvc", name, "-n", ns, "-o", "jsonpath={.status.phase}")
		kubectl(t, "delete", "pvc", name, "-n", ns)
		apply(t, ns, claim(name, "storageClassName: "+class+", "))
		output(t, "Bound", "get", "pvc", name, "-n", ns, "-o", "jsonpath={.status.phase}")
	}
}
