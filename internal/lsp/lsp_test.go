package lsp

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/google/go-cmp/cmp"
)

func TestPositions(t *testing.T) {
	text := "a: 1\r\nb\u00e9: \U0001F600x\rc:\n\xff!"
	d := newTextDocument([]byte(text))
	for _, c := range []struct {
		line, column int
		enc          encoding
		want         position
	}{
		{1, 1, utf16Units, position{0, 0}},
		{1, 4, utf16Units, position{0, 3}},
		{1, 99, utf16Units, position{0, 4}}, // the end of a line does not belong to it
		{2, 3, utf8Units, position{1, 3}},
		{2, 3, utf16Units, position{1, 2}},
		{2, 6, utf8Units, position{1, 9}},
		{2, 6, utf16Units, position{1, 6}}, // two units for one character outside of the first plane
		{2, 6, utf32Units, position{1, 5}},
		{3, 1, utf8Units, position{2, 0}},
		{4, 2, utf16Units, position{3, 1}}, // what is no character
		{0, 0, utf16Units, position{0, 0}},
		{99, 1, utf16Units, position{3, 0}},
	} {
		if got := d.at(c.line, c.column, c.enc); got != c.want {
			t.Errorf("line %d, column %d in %s: %v, want %v", c.line, c.column, c.enc, got, c.want)
		}
	}
}

func TestSpans(t *testing.T) {
	d := newTextDocument([]byte("kind: Pod\n  spec: {}\n"))
	for _, c := range []struct {
		f    Finding
		want textRange
	}{
		{Finding{}, textRange{position{0, 0}, position{0, 9}}},
		{Finding{Line: 2}, textRange{position{1, 2}, position{1, 10}}},
		{Finding{Line: 2, Column: 3, EndColumn: 7}, textRange{position{1, 2}, position{1, 6}}},
		{Finding{Line: 2, Column: 3}, textRange{position{1, 2}, position{1, 3}}},
		{Finding{Line: 9, Column: 9, EndColumn: 3}, textRange{position{2, 0}, position{2, 0}}},
	} {
		if got := d.span(c.f, utf16Units); got != c.want {
			t.Errorf("%+v: %v, want %v", c.f, got, c.want)
		}
	}
}

func TestURIs(t *testing.T) {
	for uri, want := range map[string]string{
		"file:///srv/a%20b/db.yaml":   "/srv/a b/db.yaml",
		"file:///srv/a%2Bb/./db.yaml": "/srv/a+b/db.yaml",
		"file:///c%3A/charts/db.yaml": "C:/charts/db.yaml", // what Visual Studio Code sends on Windows
		"file:///C:/charts/db.yaml":   "C:/charts/db.yaml",
	} {
		if got, err := pathOf(uri); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", uri, got, err, want)
		}
	}
	for _, uri := range []string{"untitled:Untitled-1", "git:/srv/db.yaml?ref", "file:", "file://%zz"} {
		if got, err := pathOf(uri); err == nil {
			t.Errorf("%s: is taken for the file %q", uri, got)
		}
	}
	for _, path := range []string{"/srv/a b/100%/db#1.yaml", "C:/charts/db.yaml"} {
		if got, err := pathOf(uriOf(path)); err != nil || got != path {
			t.Errorf("%s becomes %s and then %q, %v", path, uriOf(path), got, err)
		}
	}
}

// A fixed backend finds the word "bad" in open documents, and mends it.
type fixed struct{ fail chan error }

func (f fixed) Review(_ context.Context, w Workspace) (map[string]File, error) {
	select {
	case err := <-f.fail:
		return nil, err
	default:
	}
	files := map[string]File{}
	for path, text := range w.Open {
		file := File{Text: text}
		for n, line := range strings.Split(string(text), "\n") {
			if at := strings.Index(line, "bad"); at >= 0 {
				column := len([]rune(line[:at])) + 1
				file.Findings = append(file.Findings, Finding{
					Line: n + 1, Column: column, EndColumn: column + 3, Severity: Warning, Rule: "good", Message: "bad",
					Fixes: []Fix{{"write good", []Edit{{path, n + 1, column, n + 1, column + 3, "good"}}}},
				})
			}
		}
		files[path] = file
	}
	return files, nil
}

func (fixed) Page(rule string) string { return "page of " + rule }

// client starts a server in this process.
func client(t *testing.T, b Backend) (*jrpc2.Client, chan diagnosticsParams, chan string) {
	t.Helper()
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- New(b, "test").Run(t.Context(), toServer, fromServer) }()
	published, shown := make(chan diagnosticsParams, 100), make(chan string, 100)
	c := jrpc2.NewClient(channel.LSP(toClient, fromClient), &jrpc2.ClientOptions{OnNotify: func(r *jrpc2.Request) {
		var d diagnosticsParams
		if r.Method() != "textDocument/publishDiagnostics" {
			shown <- r.ParamString()
		} else if err := r.UnmarshalParams(&d); err != nil {
			t.Error(err)
		} else {
			published <- d
		}
	}})
	t.Cleanup(func() {
		_ = c.Close()
		if err := <-ended; err != nil {
			t.Errorf("the server ends with %v, where the editor closed its input", err)
		}
	})
	return c, published, shown
}

func next[T any](t *testing.T, from chan T) (item T) {
	t.Helper()
	select {
	case item = <-from:
	case <-time.After(time.Minute):
		t.Fatal("nothing comes")
	}
	return item
}

func open(uri, text string, version int) openParams {
	var p openParams
	p.TextDocument.URI, p.TextDocument.Text, p.TextDocument.Version = uri, text, version
	return p
}

func TestCodeActions(t *testing.T) {
	c, published, _ := client(t, fixed{})
	ctx := t.Context()
	if _, err := c.Call(ctx, "textDocument/hover", hoverParams{}); jrpc2.ErrorCode(err) != notInitialized {
		t.Errorf("before initialize: %v", err)
	}
	if _, err := c.Call(ctx, "initialize", initializeParams{}); err != nil {
		t.Fatal(err)
	}
	const doc = "file:///srv/a.yaml"
	_ = c.Notify(ctx, "textDocument/didOpen", open("untitled:1", "bad", 1))
	_ = c.Notify(ctx, "textDocument/didOpen", open(doc, "\U0001F600 bad\nfine\nnot bad\n", 7))
	d := next(t, published)
	if d.URI != doc || *d.Version != 7 || len(d.Diagnostics) != 2 ||
		d.Diagnostics[0].Range != (textRange{position{0, 3}, position{0, 6}}) {
		t.Fatalf("published: %+v", d)
	}
	ask := func(r textRange, only ...string) (actions []codeAction) {
		p := codeActionParams{TextDocument: documentID{doc}, Range: r}
		p.Context.Only = only
		if err := c.CallResult(ctx, "textDocument/codeAction", p, &actions); err != nil {
			t.Fatal(err)
		}
		return actions
	}
	here := textRange{position{0, 4}, position{0, 4}}
	want := []codeAction{{Title: "write good", Kind: quickFix, Diagnostics: d.Diagnostics[:1], IsPreferred: true,
		Edit: workspaceEdit{map[string][]textEdit{doc: {{textRange{position{0, 3}, position{0, 6}}, "good"}}}}}}
	if diff := cmp.Diff(want, ask(here)); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	for what, got := range map[string][]codeAction{
		"where nothing is found": ask(textRange{position{1, 0}, position{1, 4}}),
		"of another kind":        ask(here, "refactor"),
	} {
		if len(got) != 0 {
			t.Errorf("%s there is %+v", what, got)
		}
	}
	if got := ask(textRange{position{0, 0}, position{3, 0}}, quickFix); len(got) != 2 {
		t.Errorf("in the whole document there are %d actions, want 2", len(got))
	}
	// What is known of a text is of no use for the next one.
	var change changeParams
	change.TextDocument.URI, change.TextDocument.Version = doc, 8
	change.ContentChanges = slices.Grow(change.ContentChanges, 1)[:1]
	change.ContentChanges[0].Text = "now it is bad"
	_ = c.Notify(ctx, "textDocument/didChange", change)
	if got := ask(here); len(got) != 0 {
		t.Errorf("of the text before there is %+v", got)
	}
	if d := next(t, published); *d.Version != 8 || d.Diagnostics[0].Range.Start.Character != 10 {
		t.Errorf("published: %+v", d)
	}
	_ = c.Notify(ctx, "textDocument/didClose", documentParams{documentID{doc}})
	if d := next(t, published); len(d.Diagnostics) != 0 {
		t.Errorf("published of a document that was closed, and is in no folder: %+v", d)
	}
}

// TestFailedReview shows an error once, keeps what was published, and goes on.
func TestFailedReview(t *testing.T) {
	fail := make(chan error, 2)
	c, published, shown := client(t, fixed{fail})
	ctx := t.Context()
	if _, err := c.Call(ctx, "initialize", initializeParams{}); err != nil {
		t.Fatal(err)
	}
	fail <- errors.New("broken")
	_ = c.Notify(ctx, "textDocument/didOpen", open("file:///a.yaml", "bad", 1))
	if got := next(t, shown); !strings.Contains(got, "stayput: broken") {
		t.Errorf("shown: %s", got)
	}
	fail <- errors.New("broken")
	_ = c.Notify(ctx, "textDocument/didOpen", open("file:///a.yaml", "bad", 2))
	for len(fail) > 0 {
		time.Sleep(time.Millisecond)
	}
	_ = c.Notify(ctx, "textDocument/didOpen", open("file:///a.yaml", "bad", 3))
	if d := next(t, published); *d.Version != 3 {
		t.Errorf("published: %+v", d)
	}
	select {
	case again := <-shown:
		t.Errorf("shown again: %s", again)
	default:
	}
}
