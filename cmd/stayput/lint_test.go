package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"stayput.dev/report"
)

// TestLintFormats holds every format to a golden file, and all at once to what
// each is alone.
func TestLintFormats(t *testing.T) {
	dir := t.TempDir()
	all := []string{"lint", "mixed"}
	for _, format := range formatNames {
		t.Run(format, func(t *testing.T) {
			r := stayput(t, "", "lint", "mixed", "--format", format)
			if r.code != 1 || r.stderr != "" {
				t.Errorf("exit code %d, want 1 for its denials; stderr: %s", r.code, r.stderr)
			}
			golden(t, "lint."+format, r.stdout)
		})
		all = append(all, "--format", format+"="+filepath.Join(dir, format))
	}
	r := stayput(t, "", all...)
	if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "4 denials") {
		t.Errorf("all formats to files: exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	for _, format := range formatNames {
		got, err := os.ReadFile(filepath.Join(dir, format))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "lint."+format, string(got))
	}
}

func TestLintColour(t *testing.T) {
	golden(t, "lint.colour", stayput(t, "", "lint", "mixed/two.json", "--color", "always").stdout)
	if r := stayput(t, "", "lint", "mixed/two.json"); strings.Contains(r.stdout, "\x1b") {
		t.Errorf("colours in a pipe: %q", r.stdout)
	}
}

const clean = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"

const warned = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labls: {}}\n"

// TestLintExitCodes runs lint over inputs good and bad.
func TestLintExitCodes(t *testing.T) {
	dir := t.TempDir()
	broken := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n" + strings.Repeat("  k: v\n", 295) +
		"  broken: a: b\n---\n" + clean
	file := func(name, text string) string { return write(t, dir, name, text) }
	if err := os.Symlink("nowhere", filepath.Join(filepath.Dir(file("middle/a.yaml", warned)), "b.yaml")); err != nil {
		t.Fatal(err)
	}
	file("middle/c.yaml", clean)
	for name, tt := range map[string]invocation{
		"clean": {args: []string{"-"}, stdin: clean, stdout: "1 object: 0 denials, 0 warnings\n"},
		"a warning": {args: []string{"-"}, stdin: warned,
			stdout: "standard input:3:24: Namespace shop: warn: unknown-field"},
		"a warning that fails": {args: []string{"-", "--fail-on", "warn"}, stdin: warned, code: 1},
		"a denial": {args: []string{"mixed/crlf.yaml"}, code: 1,
			stdout: "mixed/crlf.yaml:12:7: deny: statefulset-grace-period"},
		"a hint counts as a denial": {args: []string{"-"}, code: 1, stdin: noStorage,
			stdout: "hint: claim-template-storage"},
		"a kustomization": {args: []string{"-k", "kustomization"}, code: 1,
			stdout: "kustomization/set.yaml:10:7: deny: "},
		"a kustomization that is none": {args: []string{"-k", "mixed"}, code: 2,
			stderr: "mixed: kustomize build: unable to find"},
		"nothing": {args: nil, code: 2, stderr: "nothing to lint"},
		"a path that does not exist": {args: []string{"mixed", "absent.yaml"}, code: 2,
			stderr: "absent.yaml: no such file"},
		"an empty directory": {args: []string{t.TempDir()}, code: 2, stderr: "no manifest in"},
		"an unreadable file in between": {args: []string{dir + "/middle"}, code: 2,
			stdout: "2 objects: 0 denials, 1 warning; 1 error", stderr: "middle/b.yaml: open: no such file"},
		"broken YAML on line 300": {args: []string{file("300.yaml", broken)}, code: 2,
			stdout: "1 object: ", stderr: "300.yaml:300: mapping values are not allowed"},
		"a template": {args: []string{file("t.yaml",
			"apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Release.Name }}\n")}, code: 2,
			stderr: "t.yaml:4: not YAML but a template"},
		"a template that is YAML": {args: []string{file("u.yaml",
			"apiVersion: v1\nkind: Service\nmetadata:\n  name: \"{{ .Release.Name }}\"\n")}, code: 2,
			stderr: "u.yaml:4: not YAML but a template"},
		"an object without a kind": {args: []string{file("k.yaml", "apiVersion: v1\nmetadata: {name: a}\n")}, code: 2,
			stderr: "k.yaml:1: not a Kubernetes object: it has no kind"},
		"a value of a wrong type": {args: []string{"-"},
			stdin: "apiVersion: apps/v1\nkind: StatefulSet\nspec:\n  replicas: three\n", code: 2,
			stderr: "standard input:4: spec.replicas: must be int32, and is a string"},
		"a name that YAML takes for a truth": {args: []string{"-"},
			stdin: "apiVersion: v1\nkind: Service\nmetadata:\n  name: n\n", code: 2,
			stderr: "standard input:4: metadata.name: must be string, and is a bool"},
		"a quantity that takes hours to read": {args: []string{"-"},
			stdin: "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec:\n    overhead:\n      cpu: " +
				"'1e-1000'\n", code: 2,
			stderr: "standard input:8: spec.overhead[cpu]: a quantity must have at most 100 digits"},
		"a file of something else": {args: []string{file("values.yaml", "a: 1\n")},
			stdout: "0 objects: 0 denials, 0 warnings; 1 document without"},
		"a wrong flag": {args: []string{"mixed", "--colour"}, code: 2,
			stderr: "unknown flag: --colour"},
		"a wrong format": {args: []string{"mixed", "--format", "yaml"}, code: 2,
			stderr: `--format "yaml": must be one of text`},
		"two on standard output": {args: []string{"mixed", "-f", "text", "-f", "json"}, code: 2,
			stderr: "only one format goes to standard output"},
		"a format without a file": {args: []string{"mixed", "-f", "json="}, code: 2,
			stderr: "the name of the file is missing"},
		"a file that cannot be": {args: []string{"mixed", "-f", "json=/nonexistent/a"}, code: 2,
			stderr: "--format json=/nonexistent/a: open"},
		"a wrong level": {args: []string{"mixed", "--fail-on", "hint"}, code: 2,
			stderr: `--fail-on "hint": must be deny or warn`},
		"a configuration": {args: []string{"mixed", "--config",
			file("config.yaml", "apiVersion: v1\nkind: Service\n")}, code: 2, stderr: "config.yaml: apiVersion and kind"},
		"a cluster that is none": {args: []string{"mixed", "--against-cluster", "--kubeconfig",
			file("kc", "{")}, code: 2, stderr: "--kubeconfig"},
		"a kubeconfig for nothing": {args: []string{"mixed", "--kubeconfig", "x"}, code: 2,
			stderr: "need --against-cluster"},
		"two clusters": {args: []string{"mixed", "--against-cluster", "--complete"}, code: 2,
			stderr: "only one of them"},
		"kinds that are not there": {args: []string{"mixed/two.json"},
			stdout: "skipped: 3 rules, for want of: StorageClass; --verbose lists them"},
		"each of the kinds that are not there": {args: []string{"mixed/two.json", "-v"},
			stdout: "skipped: claim-class for 1 object: StorageClass: not known here"},
		"a chart, and what is in no chart": {args: []string{"mixed/two.json", "--complete", "-v"},
			stdout: "skipped: claim-class for 1 object: StorageClass: not known here"},
		"a kind that is complete": {args: []string{"../../../examples/broken/claim-class.yaml",
			"--complete=persistentvolumes"}, stdout: "warn: claim-class: "},
		"a namespace": {args: []string{"-", "-n", "shop", "--complete"},
			stdin: setOf("db", "8Gi") + "---\napiVersion: v1\nkind: Service\nmetadata: {name: db}\n" +
				"spec: {selector: {app: db}}\n", stdout: "warn: statefulset-service-headless"},
		"another namespace": {args: []string{"-", "-n", "other", "--complete"},
			stdin: setOf("db", "8Gi") + "---\napiVersion: v1\nkind: Service\nmetadata: {name: db}\n" +
				"spec: {selector: {app: db}}\n", stdout: "warn: statefulset-service-missing"},
		"no namespace": {args: []string{"-", "-n", "A_B"}, stdin: clean, code: 2, stderr: `--namespace "A_B": a lowercase`},
		"no kind": {args: []string{"mixed", "--complete=Class"}, code: 2,
			stderr: `"Class" is no kind that a rule looks up; the form is --complete or --complete=KIND,... with KIND one of ` +
				`namespaced, ConfigMap, `},
		"the whole cluster, in which there are classes": {args: []string{"mixed/two.json", "--assume-complete"},
			stdout: "skipped: 3 rules, for want of: StorageClass; ", stderr: "deprecated: use --complete"},
		"a Namespace that nobody shows": {args: []string{"../../../examples/broken/claim-reclaim.yaml"},
			stdout: "warn: claim-reclaim: "},
		"claims that nobody shows": {args: []string{"../../../examples/broken/statefulset-retention.yaml"},
			stdout: "warn: statefulset-retention: "},
		"the whole cluster": {args: []string{"mixed", "--assume-complete"}, code: 1,
			stdout: "objects: 4 denials, 11 warnings, 1 exempted; 3 rules skipped; 1 object of other kinds"},
	} {
		t.Run(name, func(t *testing.T) {
			r := tt.of(t, "lint")
			if n := strings.Count(r.stderr, "\n"); tt.code == 2 && n != 1 {
				t.Errorf("%d lines of complaint, want one:\n%s", n, r.stderr)
			}
		})
	}
}

const noStorage = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: a, image: b}]}}
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}]
`

var codeSpans = regexp.MustCompile("``.*?``")

// TestHostileManifest writes names that mean something to a terminal, to XML,
// to HTML, to GitHub and to Markdown.
func TestHostileManifest(t *testing.T) {
	hostile := "\x1b[31m\u202e<script>alert(1)</script>]]>|`@team`\r\n::error::x%0A"
	name, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	manifest := `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":` + string(name) + `,"labls":{}}}`
	for _, format := range formatNames {
		t.Run(format, func(t *testing.T) {
			r := stayput(t, manifest, "lint", "-", "-f", format)
			if r.code != 0 || strings.ContainsAny(r.stdout, "\x1b\r") || format != "json" &&
				strings.Contains(r.stdout, "\u202e") {
				t.Errorf("exit code %d, output:\n%q", r.code, r.stdout)
			}
			switch format {
			case "markdown":
				if outside := codeSpans.ReplaceAllString(r.stdout, ""); strings.ContainsAny(outside, "@<") &&
					strings.Contains(outside, "script") {
					t.Errorf("markup:\n%s", r.stdout)
				}
			case "html":
				if strings.Contains(strings.ToLower(r.stdout), "<script>alert") {
					t.Errorf("markup:\n%s", r.stdout)
				}
			case "junit":
				if err := xml.Unmarshal([]byte(r.stdout), new(any)); err != nil {
					t.Errorf("%v:\n%s", err, r.stdout)
				}
			case "github":
				for line := range strings.Lines(r.stdout) {
					if strings.HasPrefix(line, "::error") {
						t.Errorf("a command of the manifest's: %s", line)
					}
				}
			case "json":
				var got report.Report
				if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || got.Findings[0].Object.Name != hostile {
					t.Errorf("%v: %q", err, r.stdout)
				}
			}
		})
	}
}

// TestREADMEShowsWhatLintSays holds the first finding that a newcomer sees, in
// both languages, to the program.
func TestREADMEShowsWhatLintSays(t *testing.T) {
	const command = "    $ go run ./cmd/stayput "
	root := filepath.Join("..", "..")
	for _, file := range []string{"README.md", "README.ko.md"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		_, after, found := strings.Cut(string(text), "\n"+command)
		if !found {
			t.Errorf("%s shows no %q", file, command)
			continue
		}
		args, after, _ := strings.Cut(after, "\n")
		shown, _, _ := strings.Cut(after, "\n\n")
		cmd := exec.CommandContext(t.Context(), program, strings.Fields(args)...)
		cmd.Dir = root
		says, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("stayput %s: %v, want exit code 1, for its finding", args, err)
		}
		if want := strings.ReplaceAll("\n"+shown, "\n    ", "\n"); !strings.HasPrefix("\n"+string(says), want+"\n") {
			t.Errorf("%s shows\n%s\nstayput %s says\n%s", file, want, args, says)
		}
	}
}
