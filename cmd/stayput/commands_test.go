package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"

	"stayput.dev/validators"
)

const unnamed = `# for a test
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  madeUp: kept
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: a, image: b}]}}
---
apiVersion: example.org/v1
kind: Other
`

func TestMutate(t *testing.T) {
	r := stayput(t, unnamed, "mutate", "-")
	if r.code != 0 || !strings.Contains(r.stderr, "1 Other.example.org left out") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	golden(t, "mutate.yaml", r.stdout)
	golden(t, "mutate.diff", stayput(t, unnamed, "mutate", "-", "--diff").stdout)

	// What is mutated already stays as it is.
	if again := stayput(t, r.stdout, "mutate", "-"); again.stdout != r.stdout {
		t.Errorf("mutated twice:\n%s", cmp.Diff(r.stdout, again.stdout))
	}
	if r := stayput(t, "{{ x }}", "mutate", "-"); r.code != 2 || r.stdout != "" ||
		!strings.Contains(r.stderr, "standard input:1: not YAML but a template") {
		t.Errorf("a template: %+v", r)
	}
	if r := stayput(t, "", "mutate"); r.code != 2 {
		t.Errorf("nothing: %+v", r)
	}
}

// TestMutateKnowsWhatItIsTold looks for the Service of a StatefulSet that names
// none.
func TestMutateKnowsWhatItIsTold(t *testing.T) {
	set := strings.Split(unnamed, "---\n")[1]
	service := "---\napiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n" +
		"spec: {clusterIP: None, selector: {app: db}}\n"
	for _, tt := range []struct {
		manifests string
		args      []string
		named     bool   // whether the StatefulSet gets the Service
		stderr    string // empty: nothing is said
		code      int
	}{
		{manifests: set, stderr: "left as it is: statefulset-governing-service: list Services: Service: not known here"},
		{manifests: set, args: []string{"--complete"}},
		{manifests: set, args: []string{"--complete=services"}},
		{manifests: set, args: []string{"--complete=StorageClass"}, stderr: "not known here"},
		{manifests: set, args: []string{"--assume-complete"}, stderr: "--assume-complete is deprecated"},
		{manifests: set, args: []string{"--complete=Gate"}, stderr: `"Gate" is no kind that a rule looks up`, code: 2},
		{manifests: set + service, args: []string{"-n", "shop"}, named: true, stderr: "is now db"},
		{manifests: set + service, args: []string{"-n", "other"}},
		{manifests: set + service, args: []string{"-n", "A_B"}, stderr: `--namespace "A_B": a lowercase`, code: 2},
	} {
		r := stayput(t, tt.manifests, append([]string{"mutate", "-"}, tt.args...)...)
		if r.code != tt.code || strings.Contains(r.stdout, "serviceName: db") != tt.named ||
			!strings.Contains(r.stderr, tt.stderr) || (tt.stderr == "") != (r.stderr == "") {
			t.Errorf("mutate %q: %+v", tt.args, r)
		}
	}
}

func TestReview(t *testing.T) {
	ask := func(object string) string {
		return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"CREATE",
			"kind":{"group":"apps","version":"v1","kind":"StatefulSet"},
				"resource":{"group":"apps","version":"v1","resource":"statefulsets"},
			"name":"db","namespace":"default","object":` + object + `}}`
	}
	set := func(grace string) string {
		return `{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db","namespace":"default"},
			"spec":{"serviceName":"db","selector":{"matchLabels":{"app":"db"}},
			"template":{"metadata":{"labels":{"app":"db"}},"spec":{"terminationGracePeriodSeconds":` + grace + `,"containers":[{
				"name":"a","image":"b"}]}}}}`
	}
	for name, tt := range map[string]struct {
		stdin  string
		args   []string
		code   int
		stderr string
		check  func(*admissionv1.AdmissionResponse) bool
	}{
		"allowed": {stdin: ask(set("30")), check: func(r *admissionv1.AdmissionResponse) bool {
			return r.Allowed &&
				r.UID == "u-1"
		}},
		"denied": {stdin: ask(set("0")), code: 1, check: func(r *admissionv1.AdmissionResponse) bool {
			return !r.Allowed && r.Result.Code == 403 && strings.Contains(r.Result.Message, "statefulset-grace-period")
		}},
		"mutated": {stdin: ask(strings.Replace(set("30"), `"serviceName":"db",`, "", 1)),
			args: []string{"--webhook", "mutating", "--manifests", "services.yaml"},
			check: func(r *admissionv1.AdmissionResponse) bool {
				return strings.Contains(string(r.Patch), "/spec/serviceName")
			}},
		"no review": {stdin: "{}", code: 2, stderr: "stayput: HTTP status 400: stayput: the AdmissionReview"},
		"no JSON":   {stdin: "a: b", code: 2, stderr: "stayput: HTTP status 400"},
		"no webhook": {args: []string{"--webhook", "back"}, code: 2,
			stderr: `--webhook "back": must be validating or mutating`},
		"an old flag":  {args: []string{"--door", "back"}, code: 2, stderr: `--door "back": must be validate or mutate`},
		"two clusters": {stdin: "{}", args: []string{"--live", "--manifests", "x"}, code: 2, stderr: "only one of them"},
		"bad manifests": {stdin: "{}", args: []string{"--manifests", "absent"}, code: 2,
			stderr: "--manifests: stat absent: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := stayput(t, tt.stdin, append([]string{"review", "-"}, tt.args...)...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.stderr) {
				t.Fatalf("exit code %d, want %d; stderr %q, want %q", r.code, tt.code, r.stderr, tt.stderr)
			}
			var review admissionv1.AdmissionReview
			if tt.check == nil {
				return
			}
			if err := json.Unmarshal([]byte(r.stdout), &review); err != nil || !tt.check(review.Response) {
				t.Errorf("%v\n%s", err, r.stdout)
			}
		})
	}
}

func TestRulesJSON(t *testing.T) {
	var rules []struct{ Name, Level, Title, Doc string }
	r := stayput(t, "", "rules", "--format", "json")
	if err := json.Unmarshal([]byte(r.stdout), &rules); err != nil || len(rules) != len(everyRule()) {
		t.Fatalf("%v: %d rules, want %d", err, len(rules), len(everyRule()))
	}
	for i, rule := range rules {
		if rule.Name != everyRule()[i].Name || rule.Level == "" || rule.Title == "" || rule.Doc == "" {
			t.Errorf("%+v", rule)
		}
	}
	if r := stayput(t, "", "rules", "claim-in-use", "--format", "json"); !strings.HasPrefix(r.stdout,
		"[\n  {\n    \"name\": \"claim-in-use\"") {
		t.Errorf("one rule: %s", r.stdout)
	}
	for _, without := range withoutRule { // what lint calls a finding, it explains
		if r := stayput(t, "", "rules", without.Name); r.code != 0 || !strings.Contains(r.stdout, without.Doc) {
			t.Errorf("rules %s: exit code %d: %s%s", without.Name, r.code, r.stdout, r.stderr)
		}
	}
	if r := stayput(t, "", "rules", "--format", "xml"); r.code != 2 {
		t.Errorf("a format of no kind: %+v", r)
	}
}

// TestRulesMessages wants a paragraph for each rule, with a remedy below each
// message, and a rule's own where it is explained: a warning that is cut sends
// its reader there.
func TestRulesMessages(t *testing.T) {
	all := stayput(t, "", "rules", "--messages")
	paragraphs := strings.Split(strings.TrimSpace(all.stdout), "\n\n")
	if len(paragraphs) != len(validators.All) {
		t.Fatalf("%d paragraphs for %d rules", len(paragraphs), len(validators.All))
	}
	for i, rule := range validators.All {
		paragraph := paragraphs[i]
		if n := strings.Count(paragraph, "\n    fix: "); !strings.HasPrefix(paragraph, rule.Name+" (") || n == 0 ||
			n != strings.Count(paragraph, "\n")/2 {
			t.Errorf("%s: not a title, and messages with a remedy each:\n%s", rule.Name, paragraph)
		}
		if one := stayput(t, "", "rules", rule.Name, "--messages"); strings.TrimSpace(one.stdout) != paragraph {
			t.Errorf("%s alone: %s", rule.Name, one.stdout)
		}
		first := strings.Join(strings.Split(paragraph, "\n")[1:3], "\n")
		if explained := stayput(t, "", "rules", rule.Name); !strings.Contains(explained.stdout, first) {
			t.Errorf("%s: explained without\n%s", rule.Name, first)
		}
	}
	if r := stayput(t, "", "rules", "--messages", "--format", "json"); r.code != 2 ||
		!strings.Contains(r.stderr, "--messages") {
		t.Errorf("as JSON: %+v", r)
	}
}

// TestKubectlPlugin runs the binary under the name by which kubectl finds it.
func TestKubectlPlugin(t *testing.T) {
	plugin := filepath.Join(t.TempDir(), "kubectl-stayput")
	if err := os.Symlink(program, plugin); err != nil {
		t.Fatal(err)
	}
	own := program
	program = plugin
	defer func() { program = own }()
	if r := stayput(t, "", "lint", "--help"); !strings.Contains(r.stdout, "  kubectl stayput lint [PATH...]") {
		t.Errorf("help: %s", r.stdout)
	}
	if r := stayput(t, "", "--version"); r.stdout != "kubectl stayput version v0.0.0-test\n" {
		t.Errorf("version: %q", r.stdout)
	}
}

// TestGeneratedIsCurrent holds man pages and completion scripts to the commands,
// or writes them, with -update.
func TestGeneratedIsCurrent(t *testing.T) {
	dir := t.TempDir()
	if *update {
		dir = "../../docs"
	}
	if err := generate(newRoot(), dir); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"man", "completion"} {
		files, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil || len(files) == 0 {
			t.Fatal(err, len(files))
		}
		for _, f := range files {
			want, err := os.ReadFile(filepath.Join("../../docs", sub, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, sub, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("docs/%s/%s is not current; make generate:\n%s", sub, f.Name(), diff)
			}
		}
	}
}
