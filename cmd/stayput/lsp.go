package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stayput.dev/cluster"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/config"
	"stayput.dev/internal/lsp"
	"stayput.dev/manifest"
	"stayput.dev/report"
	"stayput.dev/validators"
)

func lspCommand() *cobra.Command {
	w := &workspace{parsed: map[string]parsed{}}
	cmd := &cobra.Command{
		Use:   "lsp",
		Short: "Review manifests in an editor, as they are typed",
		Long: `Review manifests in an editor, as they are typed: a server of the Language Server
Protocol on standard input and output. Editors start it; docs/editors.md has the
lines for each.

It finds what lint finds in the folders that are open in the editor, which are
all that is known of the cluster. Of a document that is open its text counts, not
the file. Hidden directories and node_modules are left out.`,
		Example: `  stayput lsp
  stayput lsp --config stayput.yaml --complete`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := w.meaning.check(); err != nil {
				return err
			}
			if _, err := config.Load(w.config); err != nil {
				return err
			}
			return lsp.New(w, cli.Version()).Run(cmd.Context(), cmd.InOrStdin(), unclosed{cmd.OutOrStdout()})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&w.config, "config", "", "configuration file; it is read again at each review")
	w.meaning.register(cmd)
	// Editors add it to the command line of every server. There is no other way to speak with this one.
	flags.Bool("stdio", true, "speak on standard input and output")
	_ = flags.MarkHidden("stdio")
	return cmd
}

// unclosed is standard output, which is not the server's to close.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// A workspace reviews what an editor has open. It implements lsp.Backend.
type workspace struct {
	config  string
	meaning meaningFlags

	parsed map[string]parsed // by path
}

// A parsed is a file that was read before.
type parsed struct {
	modified time.Time // zero for the text of an open document
	text     []byte
	stream   manifest.Stream
}

// Review implements lsp.Backend.
func (w *workspace) Review(ctx context.Context, ws lsp.Workspace) (map[string]lsp.File, error) {
	s, err := config.Load(w.config)
	if err != nil {
		return nil, err
	}
	files, in := w.read(ws)
	r := newReport(s, "lint", validators.Deny)
	l := &linter{meaning: w.meaning}
	if _, err := l.reviewInput(ctx, s, cluster.AnyPatch(cluster.NewestMinor), r, in, nil, nil); err != nil {
		return nil, err
	}
	for _, f := range r.Findings {
		if f.Location != nil {
			add(files, f.Location.File, findingOf(f))
		}
	}
	for _, p := range r.Errors {
		severity := lsp.Error
		if p.Message == manifest.ErrTemplate.Error() { // no fault, but nobody is to take it for reviewed
			severity = lsp.Information
		}
		if _, open := ws.Open[p.File]; open || severity == lsp.Error {
			add(files, p.File, lsp.Finding{Line: p.Line, Severity: severity, Message: p.Message})
		}
	}
	return files, nil
}

func add(files map[string]lsp.File, path string, f lsp.Finding) {
	file := files[path]
	file.Findings = append(file.Findings, f)
	files[path] = file
}

// findingOf returns a finding of a report as editors show it.
func findingOf(f report.Finding) lsp.Finding {
	severity := lsp.Error
	switch f.Level {
	case validators.Warn.String():
		severity = lsp.Warning
	case validators.Hint.String():
		severity = lsp.Information
	}
	message := f.Message
	if f.Remedy != "" {
		message += "\nfix: " + f.Remedy
	}
	found := lsp.Finding{Line: f.Location.Line, Column: f.Location.Column, EndColumn: f.Location.EndColumn,
		Severity: severity, Rule: f.Rule, Message: message}
	if f.Fix != nil && f.Fix.Unwritten == "" {
		fix := lsp.Fix{Title: "stayput: " + f.Remedy}
		for _, c := range f.Fix.Changes {
			fix.Edits = append(fix.Edits, lsp.Edit{Path: c.File, Line: c.Line, Column: c.Column, EndLine: c.EndLine,
				EndColumn: c.EndColumn, New: c.Text})
		}
		found.Fixes = []lsp.Fix{fix}
	}
	return found
}

// read reads the files of a workspace; those that have not changed since the last time are not parsed again.
func (w *workspace) read(ws lsp.Workspace) (map[string]lsp.File, *input) {
	in := &input{rendered: map[string]bool{}, others: map[string]int{}}
	paths := slices.Collect(maps.Keys(ws.Open))
	for _, folder := range ws.Folders {
		paths = append(paths, in.workspaceFiles(folder)...)
	}
	slices.Sort(paths)
	files := map[string]lsp.File{}
	before := w.parsed
	w.parsed = map[string]parsed{} // of files that are gone nothing is kept
	for _, path := range slices.Compact(paths) {
		p, err := before[path].current(path, ws.Open)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went away meanwhile
		}
		if err != nil {
			in.errors = append(in.errors, problem(path, err))
			files[path] = lsp.File{}
			continue
		}
		w.parsed[path] = p
		files[path] = lsp.File{Text: p.text}
		in.add(p.stream)
	}
	return files, in
}

// current returns the file as it is now.
func (p parsed) current(path string, open map[string][]byte) (parsed, error) {
	if text, ok := open[path]; ok {
		if p.modified.IsZero() && bytes.Equal(p.text, text) {
			return p, nil
		}
		return parsed{text: text, stream: manifest.ReadStream(path, text)}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return parsed{}, err
	}
	if !p.modified.IsZero() && int64(len(p.text)) == info.Size() && p.modified.Equal(info.ModTime()) {
		return p, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return parsed{}, err
	}
	return parsed{info.ModTime(), text, manifest.ReadStream(path, text)}, nil
}

// workspaceFiles returns the files below a folder that may hold manifests.
func (in *input) workspaceFiles(folder string) []string {
	files, err := in.walkExcept(folder, func(name string) bool {
		return strings.HasPrefix(name, ".") || name == "node_modules"
	})
	if err != nil { // the folder is gone, or was never there
		in.errors = append(in.errors, problem(folder, err))
	}
	return files
}

// Page implements lsp.Backend.
func (w *workspace) Page(name string) string {
	for _, r := range withoutRule {
		if r.Name == name {
			return fmt.Sprintf("**%s** (%s): %s\n\n%s", r.Name, r.Level, r.Title, r.Doc)
		}
	}
	every := everyRule()
	i := slices.IndexFunc(every, func(r *validators.Rule) bool { return r.Name == name })
	if i < 0 {
		return ""
	}
	r := every[i]
	return fmt.Sprintf("**%s** (%s): %s\n\n%s\n\nWhat is lost where it does not hold: %s.\n\n"+
		"To exempt one object, and say why:\n\n    %s\n\nWhen it is right to exempt it: %s.",
		r.Name, r.Level, r.Title(), r.Explanation(), r.Loses, r.ExemptCommand(), r.Exempt)
}

var _ lsp.Backend = (*workspace)(nil)
