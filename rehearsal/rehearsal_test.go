package rehearsal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

const (
	gitops   = "system:serviceaccount:ops:gitops"
	operator = "system:serviceaccount:ops:operator"
	binder   = "system:serviceaccount:kube-system:persistent-volume-binder"
)

// set is a StatefulSet that may be fatally hasty.
func set(name string, grace int) string {
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"namespace":"shop","name":%q,`+
		`"uid":"u-%s"},"spec":{"serviceName":%q,"replicas":1,`+
		`"selector":{"matchLabels":{"app":"db"}},"template":{"metadata":{"labels":{"app":"db"}},`+
		`"spec":{"terminationGracePeriodSeconds":%d,"containers":[{"name":"db","image":"db"}]}},`+
		`"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],`+
		`"resources":{"requests":{"storage":"1Gi"}}}}]}}`, name, name, name, grace)
}

func claim(name string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"namespace":"shop","name":%q,`+
		`"labels":{"app":"db"},"deletionTimestamp":"2026-11-28T10:00:00Z"},`+
		`"spec":{"accessModes":["ReadWriteOnce"],"volumeName":"pv-%s","resources":{"requests":{"storage":"1Gi"}}}}`, name,
		name)
}

func volume(name, policy string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv-%s",`+
		`"annotations":{"pv.kubernetes.io/provisioned-by":"disk.example.com"}},`+
		`"spec":{"persistentVolumeReclaimPolicy":%q,"claimRef":{"namespace":"shop","name":%q}}}`, name, policy, name)
}

// line is an event of the log, n seconds after its beginning.
func line(n int, user, verb, resource, name, level, sent, got string) string {
	group, ns := "", "shop"
	if resource == "statefulsets" {
		group = "apps"
	}
	if resource == "persistentvolumes" {
		ns = ""
	}
	code := map[bool]int{true: 201, false: 200}[verb == "create"]
	e := map[string]any{
		"apiVersion": "audit.k8s.io/v1", "kind": "Event", "level": level, "stage": "ResponseComplete", "verb": verb,
		"requestURI": "/apis/x",
		"user":       map[string]any{"username": user}, "objectRef": map[string]any{"resource": resource, "apiGroup": group,
			"namespace": ns, "name": name},
		"responseStatus": map[string]any{"code": code}, "requestReceivedTimestamp": time.Date(2026, 11, 28, 10, 0, n, 0,
			time.UTC).Format(time.RFC3339Nano),
	}
	for key, body := range map[string]string{"requestObject": sent, "responseObject": got} {
		if body != "" {
			e[key] = json.RawMessage(body)
		}
	}
	out, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return string(out) + "\n"
}

func rehearse(t *testing.T, policy validators.Policy, present *cluster.Snapshot, lines ...string) *Rehearsal {
	t.Helper()
	var kinds []schema.GroupVersionKind
	for _, rule := range validators.All {
		for _, c := range rule.Checks {
			kinds = append(kinds, c.Kind)
		}
	}
	log := NewLog(kinds)
	t.Cleanup(func() { _ = log.Close() })
	if err := log.Add(written(t, "audit.log", strings.Join(lines, ""))); err != nil {
		t.Fatal(err)
	}
	policy.Rules = validators.All
	r := New(policy, mutators.All, cluster.Environment{Source: present, Finder: present})
	if err := r.Replay(t.Context(), present, log); err != nil {
		t.Fatal(err)
	}
	r.Finish()
	return r
}

// written writes a file and returns its name.
func written(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// denied lists who is denied what, and how often.
func denied(r *Rehearsal) (list []string) {
	for _, f := range r.Denied {
		list = append(list, fmt.Sprintf("%s %s %s %s %d %v", f.User, f.Rule, f.Verb, f.Kind, f.Times, f.Objects))
	}
	return list
}

// TestAnswered has the requests that failed count only where Stayput denied them:
// the others did nothing, and would do nothing again.
func TestAnswered(t *testing.T) {
	for name, test := range map[string]struct {
		code        int
		annotations map[string]string
		want        bool
	}{
		"succeeded":             {200, nil, true},
		"denied by Stayput":     {403, map[string]string{"deletion.stayput.dev/rules": "a=warn,claim-in-use=deny"}, true},
		"only warned about":     {403, map[string]string{"deletion.stayput.dev/rules": "claim-in-use=warn"}, false},
		"denied by another":     {403, map[string]string{"policy.example.com/rules": "claim-in-use=deny"}, false},
		"without authorization": {403, nil, false},
		"in conflict":           {409, map[string]string{"deletion.stayput.dev/rules": "claim-in-use=deny"}, false},
	} {
		e := Event{ResponseStatus: &struct{ Code int }{test.code}, Annotations: test.annotations}
		if got := e.answered(); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestReplay replays a log about a database that is gone by now: nothing of it is
// in the present cluster.
func TestReplay(t *testing.T) {
	const all, sent = "RequestResponse", "Request"
	r := rehearse(t, validators.Policy{}, &cluster.Snapshot{Complete: true},
		line(1, binder, "create", "persistentvolumes", "pv-data-db-0", all, "", volume("data-db-0", "Delete")),
		line(2, binder, "create", "persistentvolumes", "pv-data-safe-0", all, "", volume("data-safe-0", "Retain")),
		line(5, operator, "delete", "persistentvolumeclaims", "data-db-0", all, "", claim("data-db-0")),
		line(3, gitops, "create", "statefulsets", "hasty", sent, set("hasty", 0), ""), // out of order
		line(4, gitops, "create", "statefulsets", "db", all, "", set("db", 30)),
		line(6, operator, "delete", "statefulsets", "db", all, "", `{"kind":"Status","apiVersion":"v1"}`),
		line(7, operator, "delete", "statefulsets", "safe", all, "", set("safe", 30)),
		line(8, gitops, "patch", "statefulsets", "hasty", sent, `{"spec":{"replicas":3}}`, ""),
		line(9, operator, "delete", "statefulsets", "long-gone", "Metadata", "", ""),
		line(10, "jane", "create", "statefulsets", "janes", sent, set("janes", 0), ""),
		line(11, binder, "delete", "persistentvolumeclaims", "data-db-0", all, "", claim("data-db-0")),
	)
	want := []string{
		"jane statefulset-grace-period create StatefulSet 1 [janes]",
		gitops + " statefulset-grace-period create StatefulSet 1 [hasty]",
		operator + " claim-in-use delete PersistentVolumeClaim 1 [data-db-0]",
	}
	if diff := cmp.Diff(want, denied(r)); diff != "" {
		t.Errorf("denied, -want +got:\n%s", diff)
	}
	var left []string
	for _, l := range r.Left {
		left = append(left, fmt.Sprintf("%d %s %s", l.Times, l.Verb, l.Why))
	}
	wantLeft := []string{
		"1 delete neither the log nor the cluster has the object any more; level RequestResponse records it",
		"1 patch the log does not have the object that the patch came to; level RequestResponse records it",
	}
	if diff := cmp.Diff(wantLeft, left); diff != "" {
		t.Errorf("left, -want +got:\n%s", diff)
	}
	configuration := `exemptions:
- {rule: statefulset-grace-period, kind: StatefulSet, namespace: shop, user: "system:serviceaccount:ops:gitops", ` +
		`reason: "rehearsed: statefulset-grace-period"}
# is for a person, who can read the denial and follow it:
# - {rule: statefulset-grace-period, kind: StatefulSet, namespace: shop, user: jane, ` +
		`reason: "rehearsed: statefulset-grace-period"}
# deletions:
#   callers:
  # lets disks be destroyed:
  # - {user: "system:serviceaccount:ops:operator", namespace: shop, kind: PersistentVolumeClaim}
`
	if diff := cmp.Diff(configuration, r.Configuration); diff != "" {
		t.Errorf("configuration, -want +got:\n%s", diff)
	}
	var text bytes.Buffer
	if err := r.Text(&text); err != nil || !r.Denies() {
		t.Fatal(err, r.Denies())
	}
	for _, part := range []string{"denied, had enforce been on:", "1 x delete PersistentVolumeClaim in shop (data-db-0)",
		"lets disks be destroyed", "3 denials in enforce"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is missing in:\n%s", part, text.String())
		}
	}
}

// TestMarkdown has a request by somebody whose name is Markdown and moves cursors.
func TestMarkdown(t *testing.T) {
	r := rehearse(t, validators.Policy{}, &cluster.Snapshot{Complete: true},
		line(1, "[jane](x)|<b>\x1b[2J", "create", "statefulsets", "hasty", "Request", set("hasty", 0), ""),
		line(2, "jane", "patch", "statefulsets", "hasty", "Request", `{}`, ""))
	r.Trials = []*Trial{{Owner: "Database.example.com shop/db"}, {Owner: "Database.example.com shop/db", As: operator,
		Steps: []Step{{Verb: "delete", Object: "StatefulSet shop/db"}}}}
	var buf bytes.Buffer
	if err := r.Markdown(&buf); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"## stayput rehearse\n", "| \\[jane\\]\\(x\\)\\|\\<b\\> \\[2J | 1 | create StatefulSet in shop \\(hasty\\) | " +
			"statefulset-grace-period: ",
		"### Not replayed, or roughly", "| 1 | patch StatefulSet | ", "| delete StatefulSet shop/db | " + operator +
			" | let through | let through |",
		"nobody knows the account", "    # - {rule: statefulset-grace-period, ",
	} {
		if !strings.Contains(buf.String(), part) {
			t.Errorf("%q is missing in:\n%s", part, buf.String())
		}
	}
	if strings.Contains(buf.String(), "\x1b") {
		t.Error("it moves the cursor")
	}
}

// TestReplayLetsThrough has the entry that a rehearsal printed.
func TestReplayLetsThrough(t *testing.T) {
	policy := validators.Policy{Exemptions: []validators.Exemption{{Rule: "statefulset-grace-period", Kind: "StatefulSet",
		Namespace: "shop", User: gitops, Reason: "why"}}}
	create := func(user string) string {
		return line(1, user, "create", "statefulsets", "hasty", "Request", set("hasty", 0), "")
	}
	if r := rehearse(t, policy, &cluster.Snapshot{Complete: true}, create(gitops)); r.Denies() || r.Configuration != "" {
		t.Errorf("%v\n%s", denied(r), r.Configuration)
	}
	if r := rehearse(t, policy, &cluster.Snapshot{Complete: true}, create(operator)); len(r.Denied) != 1 {
		t.Errorf("another user: %v", denied(r))
	}
}

// TestRetainedCallers has the claim of a retained volume deleted: the entry is for
// all claims of the namespace, and is commented out if one of them has a disk to lose.
func TestRetainedCallers(t *testing.T) {
	const all = "RequestResponse"
	for policy, commented := range map[string]bool{"Retain": false, "Delete": true} {
		r := rehearse(t, validators.Policy{}, &cluster.Snapshot{Complete: true},
			line(1, binder, "create", "persistentvolumes", "pv-data-safe-0", all, "", volume("data-safe-0", "Retain")),
			line(2, binder, "create", "persistentvolumes", "pv-data-other-0", all, "", volume("data-other-0", policy)),
			line(3, gitops, "create", "statefulsets", "safe", all, "", set("safe", 30)),
			line(4, operator, "delete", "persistentvolumeclaims", "data-safe-0", all, "", claim("data-safe-0")),
		)
		if got := strings.Contains(r.Configuration, destroys); got != commented || len(r.Denied) != 1 {
			t.Errorf("beside a volume with %s: commented out: %v; denied: %v\n%s", policy, got, denied(r), r.Configuration)
		}
	}
}

// TestTry tries the end of a database that its operator has with volumes that
// would be destroyed.
func TestTry(t *testing.T) {
	present := &cluster.Snapshot{Complete: true}
	owner := `"uid":"u-db","ownerReferences":[{"apiVersion":"db.example.com/v1","kind":"Database","name":"db","uid":"o",` +
		`"controller":true}]`
	manifests := strings.Join([]string{strings.Replace(set("db", 30), `"uid":"u-db"`, owner, 1),
		strings.Replace(claim("data-db-0"), `"deletionTimestamp":"2026-11-28T10:00:00Z"`, `"uid":"c"`, 1),
		strings.Replace(volume("data-db-0", "Delete"), `"name":"data-db-0"}}`,
			`"name":"data-db-0","uid":"c"}},"status":{"phase":"Bound"}`, 1)}, "\n---\n")
	docs, _, err := manifest.ParseManifests("present", []byte(manifests))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		if err := present.Add(d.Object); err != nil {
			t.Fatal(err)
		}
	}
	environment := cluster.Environment{Source: present, Finder: present}
	instances, err := Instances(environment.View(t.Context(), cluster.Request{}))
	if err != nil || len(instances) != 1 || len(instances[0].Claims) != 1 {
		t.Fatalf("%v: %+v", err, instances)
	}
	r := New(validators.Policy{Rules: validators.All}, mutators.All, environment)
	asked := 0
	r.Try(t.Context(), instances[0], operator, "--as", func(_ context.Context, user authenticationv1.UserInfo, _ string,
		_ cluster.Object) string {
		if asked++; user.Groups[1] != "system:serviceaccounts:ops" {
			t.Errorf("groups: %q", user.Groups)
		}
		return ""
	})
	r.Finish()
	steps := map[string]bool{}
	for _, s := range r.Trials[0].Steps {
		steps[s.Verb+" "+s.Object] = len(s.Denied) > 0
	}
	want := map[string]bool{
		"create StatefulSet shop/db": false, "delete PersistentVolumeClaim shop/data-db-0": true,
		"delete StatefulSet shop/db": false, "delete PersistentVolume pv-data-db-0": true,
	}
	if diff := cmp.Diff(want, steps); diff != "" || asked != 4 {
		t.Errorf("asked %d times; -want +got:\n%s", asked, diff)
	}
	if !strings.Contains(r.Configuration, "# - {user: \""+operator+"\", namespace: shop, kind: PersistentVolumeClaim}") {
		t.Errorf("the configuration lacks the caller, commented out:\n%s", r.Configuration)
	}
}
