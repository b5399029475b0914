package main

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/google/go-cmp/cmp"

	"stayput.dev/report"
)

// A diagnostics is what the server publishes about a file. The fields have the protocol's names.
type diagnostics struct {
	URI         string
	Version     *int
	Diagnostics []diagnostic
}

type diagnostic struct {
	Range                 textRange
	Severity              int
	Code, Source, Message string
}

type textRange struct {
	Start, End struct{ Line, Character int }
}

// An editor is a client of the protocol, with a server in a process of its own.
type editor struct {
	*jrpc2.Client
	published chan diagnostics
	asked     chan string // methods that the server requested
	cmd       *exec.Cmd
	known     map[string]diagnostics // by path
}

// edit starts a server and opens a folder.
func edit(t *testing.T, folder string, capabilities any, args ...string) *editor {
	t.Helper()
	e := &editor{published: make(chan diagnostics, 1000), asked: make(chan string, 10), known: map[string]diagnostics{}}
	e.cmd = exec.CommandContext(t.Context(), program, append([]string{"lsp"}, args...)...)
	e.cmd.Stderr = os.Stderr
	in, err := e.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.Client = jrpc2.NewClient(channel.LSP(out, in), &jrpc2.ClientOptions{
		OnNotify: func(r *jrpc2.Request) {
			var d diagnostics
			if r.Method() != "textDocument/publishDiagnostics" {
				e.asked <- r.Method() + r.ParamString()
			} else if err := r.UnmarshalParams(&d); err != nil {
				t.Error(err)
			} else {
				e.published <- d
			}
		},
		OnCallback: func(_ context.Context, r *jrpc2.Request) (any, error) {
			e.asked <- r.Method() + r.ParamString()
			return nil, nil
		},
	})
	t.Cleanup(func() { _ = e.Close() })
	var answer json.RawMessage
	e.call(t, "initialize", map[string]any{"processId": nil, "rootUri": uri(folder), "capabilities": capabilities},
		&answer)
	e.notify(t, "initialized", map[string]any{})
	return e
}

func uri(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

func (e *editor) call(t *testing.T, method string, params, answer any) {
	t.Helper()
	if err := e.CallResult(t.Context(), method, params, answer); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

func (e *editor) notify(t *testing.T, method string, params any) {
	t.Helper()
	if err := e.Notify(t.Context(), method, params); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

// until waits until the diagnostics of a file are as wanted.
func (e *editor) until(t *testing.T, path, what string, wanted func(d diagnostics) bool) diagnostics {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		if d, ok := e.known[path]; ok && wanted(d) {
			return d
		}
		select {
		case d := <-e.published:
			u, err := url.Parse(d.URI)
			if err != nil {
				t.Fatal(err)
			}
			e.known[u.Path] = d
		case <-limit:
			t.Fatalf("%s: not %s after a minute, but %+v", path, what, e.known[path])
		}
	}
}

func found(rule string) func(diagnostics) bool {
	return func(d diagnostics) bool {
		return slices.ContainsFunc(d.Diagnostics, func(one diagnostic) bool { return one.Code == rule })
	}
}

func nothing(d diagnostics) bool { return len(d.Diagnostics) == 0 }

func item(path, text string, version int) map[string]any {
	return map[string]any{"textDocument": map[string]any{"uri": uri(path), "languageId": "yaml", "version": version,
		"text": text}}
}

func changed(path, text string, version int) map[string]any {
	return map[string]any{"textDocument": map[string]any{"uri": uri(path), "version": version},
		"contentChanges": []any{map[string]any{"text": text}}}
}

// TestEditorSeesWhatLintFinds opens a folder with every broken example: the diagnostics are the findings of lint, at
// the same places.
func TestEditorSeesWhatLintFinds(t *testing.T) {
	folder, err := filepath.Abs("../../examples/broken")
	if err != nil {
		t.Fatal(err)
	}
	var lint report.Report
	if err := json.Unmarshal([]byte(stayput(t, "", "lint", "--format", "json", folder).stdout), &lint); err != nil {
		t.Fatal(err)
	}
	type place struct {
		File, Rule        string
		Line, Column, End int
	}
	var want []place
	for _, f := range lint.Findings {
		want = append(want, place{filepath.Base(f.Location.File), f.Rule, f.Location.Line, f.Location.Column,
			f.Location.EndColumn})
	}
	if len(want) < 50 {
		t.Fatalf("lint finds only %d things in %s", len(want), folder)
	}
	e := edit(t, folder, map[string]any{"general": map[string]any{"positionEncodings": []string{"utf-32"}}})
	var got []place
	for len(got) < len(want) {
		select {
		case d := <-e.published:
			for _, one := range d.Diagnostics {
				got = append(got, place{filepath.Base(d.URI), one.Code, one.Range.Start.Line + 1, one.Range.Start.Character + 1,
					one.Range.End.Character + 1})
			}
		case <-time.After(time.Minute):
			t.Fatalf("%d diagnostics after a minute, where lint has %d findings", len(got), len(want))
		}
	}
	order := func(a, b place) int { return strings.Compare(a.File+a.Rule, b.File+b.Rule) }
	slices.SortStableFunc(want, order)
	slices.SortStableFunc(got, order)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the editor and lint differ (-lint +editor):\n%s", diff)
	}
}

const (
	headlessService = `apiVersion: v1
kind: Service
metadata:
  name: db
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{port: 5432}]
`
	twiceNamed = `# ` + "\U0001F600" + ` two Pods, one name
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostname: web
      containers: [{name: web, image: web}]
`
)

// TestEditorSession is what happens while somebody works: text counts before it is saved, files see each other, a page
// is shown, and what is mended goes.
func TestEditorSession(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "service.yaml", headlessService)
	write(t, dir, "README.yaml", "not: an object\n")
	write(t, dir, ".hidden/broken.yaml", twiceNamed)
	write(t, dir, "node_modules/broken.yaml", twiceNamed)
	web := write(t, dir, "a b/web.yaml", "")
	e := edit(t, dir, map[string]any{"workspace": map[string]any{"didChangeWatchedFiles": map[string]any{
		"dynamicRegistration": true}}})
	select {
	case asked := <-e.asked:
		if !strings.HasPrefix(asked, "client/registerCapability") || !strings.Contains(asked, "didChangeWatchedFiles") {
			t.Errorf("the server asks %s", asked)
		}
	case <-time.After(time.Minute):
		t.Error("the server does not ask to watch files")
	}

	// As it is typed.
	e.notify(t, "textDocument/didOpen", item(web, "", 1))
	e.notify(t, "textDocument/didChange", changed(web, twiceNamed, 2))
	d := e.until(t, web, "found", found("deployment-hostname"))
	if d.Version == nil || *d.Version != 2 {
		t.Errorf("version %v is published, want 2", d.Version)
	}
	one := d.Diagnostics[0]
	if line := strings.Split(twiceNamed, "\n")[one.Range.Start.Line]; strings.TrimSpace(line) != "hostname: web" ||
		one.Range.Start.Character != 6 || one.Range.End.Character != len(line) {
		t.Errorf("%s: found at %+v", line, one.Range)
	}
	if one.Severity != 1 || one.Source != "stayput" || !strings.Contains(one.Message, "\nfix: ") {
		t.Errorf("published: %+v", one)
	}

	// The page of the rule.
	var page struct {
		Contents struct{ Kind, Value string }
	}
	at := map[string]any{"textDocument": map[string]any{"uri": uri(web)}, "position": one.Range.Start}
	e.call(t, "textDocument/hover", at, &page)
	if page.Contents.Kind != "markdown" || !strings.HasPrefix(page.Contents.Value, "**deployment-hostname** (deny)") ||
		!strings.Contains(page.Contents.Value, "When it is right to exempt it") {
		t.Errorf("hover shows %+v", page)
	}
	page.Contents.Value = ""
	at["position"] = map[string]any{"line": 0, "character": 0}
	e.call(t, "textDocument/hover", at, &page)
	if page.Contents.Value != "" {
		t.Errorf("hover shows %q where nothing is found", page.Contents.Value)
	}

	// A text that cannot be read says where, and one that is a template that it is not reviewed.
	e.notify(t, "textDocument/didChange", changed(web, twiceNamed+"  : :\n\t", 3))
	e.until(t, web, "a syntax error", func(d diagnostics) bool {
		return len(d.Diagnostics) == 1 && d.Diagnostics[0].Code == "" && d.Diagnostics[0].Severity == 1
	})
	e.notify(t, "textDocument/didChange", changed(web, "{{ if .Values.on }}\nkind: {{ .Kind }}\n{{ end }}\n", 4))
	e.until(t, web, "a template", func(d diagnostics) bool {
		return len(d.Diagnostics) == 1 && d.Diagnostics[0].Severity == 3 &&
			strings.Contains(d.Diagnostics[0].Message, "template")
	})

	// Mended, and broken again on disk, while it is closed.
	mended := strings.Replace(twiceNamed, "      hostname: web\n", "", 1)
	e.notify(t, "textDocument/didChange", changed(web, mended, 5))
	e.until(t, web, "mended", nothing)
	write(t, dir, "a b/web.yaml", twiceNamed)
	e.notify(t, "textDocument/didClose", map[string]any{"textDocument": map[string]any{"uri": uri(web)}})
	e.until(t, web, "found on disk", func(d diagnostics) bool {
		return d.Version == nil && found("deployment-hostname")(d)
	})
	if err := os.Remove(web); err != nil {
		t.Fatal(err)
	}
	e.notify(t, "workspace/didChangeWatchedFiles", map[string]any{"changes": []any{}})
	e.until(t, web, "gone with its file", nothing)
	for path := range e.known {
		if path != web {
			t.Errorf("published about %s, in which nothing is wrong", path)
		}
	}

	// The end.
	if _, err := e.Call(t.Context(), "shutdown", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Call(t.Context(), "textDocument/hover", at); jrpc2.ErrorCode(err) != jrpc2.InvalidRequest {
		t.Errorf("after shutdown, hover gives %v", err)
	}
	e.notify(t, "exit", nil)
	if err := e.cmd.Wait(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
}

// TestEditorFilesMeet has the Service of a StatefulSet in another file, which is open and not saved.
func TestEditorFilesMeet(t *testing.T) {
	dir := t.TempDir()
	set := write(t, dir, "set.yaml", `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: db, readinessProbe: {tcpSocket: {port: 5432}}}]
`)
	service := write(t, dir, "service.yaml", "")
	e := edit(t, dir, map[string]any{}, "--complete", "--namespace", "shop")
	e.until(t, set, "found", found("statefulset-service-missing"))
	e.notify(t, "textDocument/didOpen", item(service, headlessService, 1))
	e.until(t, set, "mended by the other file", func(d diagnostics) bool {
		return !found("statefulset-service-missing")(d)
	})
}

// TestEditorMends does what an editor does with a code action: the text is then what lint --fix makes of the file.
func TestEditorMends(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("../../examples/broken/workload-host-network-dns.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, dir, "broken.yaml", string(text))
	e := edit(t, dir, map[string]any{})
	e.notify(t, "textDocument/didOpen", item(file, string(text), 1))
	d := e.until(t, file, "found", func(d diagnostics) bool {
		return d.Version != nil && found("workload-host-network-dns")(d)
	})
	var actions []struct {
		Title, Kind string
		Edit        struct {
			Changes map[string][]struct {
				Range   textRange
				NewText string
			}
		}
	}
	e.call(t, "textDocument/codeAction", map[string]any{"textDocument": map[string]any{"uri": uri(file)},
		"range": d.Diagnostics[0].Range, "context": map[string]any{"diagnostics": []any{}}}, &actions)
	if len(actions) != 1 || actions[0].Kind != "quickfix" || len(actions[0].Edit.Changes[uri(file)]) != 1 ||
		!strings.Contains(actions[0].Title, "dnsPolicy: ClusterFirstWithHostNet") {
		t.Fatalf("actions: %+v", actions)
	}
	change := actions[0].Edit.Changes[uri(file)][0]
	lines := strings.SplitAfter(string(text), "\n")
	offset := func(line, character int) int { // all of the file is ASCII
		return len(strings.Join(lines[:line], "")) + character
	}
	mended := string(text)[:offset(change.Range.Start.Line, change.Range.Start.Character)] + change.NewText +
		string(text)[offset(change.Range.End.Line, change.Range.End.Character):]
	e.notify(t, "textDocument/didChange", changed(file, mended, 2))
	e.until(t, file, "mended", nothing)
	if got := stayput(t, "", "lint", "--fix", file); got.code != 0 {
		t.Fatalf("lint --fix: %+v", got)
	}
	fixed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(fixed), mended); diff != "" {
		t.Errorf("lint --fix and the editor differ (-lint +editor):\n%s", diff)
	}
}

// TestEditorErrors has an editor that breaks the protocol, and a configuration that breaks while it is open.
func TestEditorErrors(t *testing.T) {
	dir := t.TempDir()
	config := write(t, dir, "stayput/config.yaml", "apiVersion: stayput.dev/v1alpha1\nkind: Configuration\n")
	e := edit(t, dir, map[string]any{}, "--config", config)
	if _, err := e.Call(t.Context(), "initialize", map[string]any{}); jrpc2.ErrorCode(err) != jrpc2.InvalidRequest {
		t.Errorf("a second initialize gives %v", err)
	}
	_, err := e.Call(t.Context(), "textDocument/nonsense", map[string]any{})
	if jrpc2.ErrorCode(err) != jrpc2.MethodNotFound {
		t.Errorf("an unknown request gives %v", err)
	}
	write(t, dir, "stayput/config.yaml", "apiVersion: stayput.dev/v1alpha1\nkind: Configuration\nmode: nonsense\n")
	e.notify(t, "textDocument/didSave", map[string]any{"textDocument": map[string]any{"uri": uri(config)}})
	select {
	case asked := <-e.asked:
		if !strings.HasPrefix(asked, "window/showMessage") || !strings.Contains(asked, "nonsense") ||
			!strings.Contains(asked, "config.yaml") {
			t.Errorf("the editor shows %s", asked)
		}
	case <-time.After(time.Minute):
		t.Error("nobody is told that the configuration cannot be read")
	}
	e.notify(t, "exit", nil)
	if err := e.cmd.Wait(); e.cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("without shutdown the server ends with %v, want exit code 2", err)
	}
	got := stayput(t, "", "lsp", "--config", "/nonexistent")
	if got.code != 2 || !strings.Contains(got.stderr, "--config") {
		t.Errorf("a configuration that is not there: %+v", got)
	}
}
