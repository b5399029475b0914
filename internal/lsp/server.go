package lsp

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/creachadair/jrpc2/handler"
)

const (
	quietPeriod = 150 * time.Millisecond // how long nothing changes before the workspace is reviewed
	maxWait     = time.Second            // how long a change waits for a quiet period, at most
)

// ErrNoShutdown is returned where the editor ends the server without having told it to shut down. The protocol wants
// the process to fail then.
var ErrNoShutdown = errors.New("the editor sent exit without shutdown")

// notInitialized is the protocol's code for a request before the first one.
const notInitialized jrpc2.Code = -32002

// The states of a server.
const (
	created = iota
	running
	stopped // told to shut down
)

// A Server speaks with one editor.
type Server struct {
	backend Backend
	version string

	changed chan struct{} // holds one item where the workspace is to be reviewed again
	exited  chan struct{} // closed when the editor says so
	exit    sync.Once

	mu        sync.Mutex
	state     int
	watches   bool // the editor can be asked to watch files
	encoding  encoding
	folders   []string
	open      map[string]*openDocument // by path
	published map[string]*publication  // by path
	complaint string                   // the error that was shown last
}

type openDocument struct {
	uri     string
	version int
	text    []byte
}

// A publication is what the editor was told of a file.
type publication struct {
	uri         string
	version     int // of the text, where it is open
	findings    []Finding
	diagnostics []diagnostic // in the order of the findings
	fixes       [][]fix      // of each finding
}

// A fix is a [Fix] in the protocol's terms.
type fix struct {
	title string
	edit  workspaceEdit
	of    map[string]int // the version of each text that is edited and open, by its path
}

// New returns a server. The version is shown by editors.
func New(backend Backend, version string) *Server {
	return &Server{
		backend: backend, version: version,
		changed: make(chan struct{}, 1), exited: make(chan struct{}),
		open: map[string]*openDocument{}, published: map[string]*publication{},
	}
}

// Run serves an editor until it says exit, the input ends or the context is done.
func (s *Server) Run(ctx context.Context, in io.Reader, out io.WriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rpc := jrpc2.NewServer(s, &jrpc2.ServerOptions{AllowPush: true, Concurrency: 1}).Start(channel.LSP(in, out))
	var reviews sync.WaitGroup
	reviews.Go(func() { s.reviewAgain(ctx, rpc) })
	defer reviews.Wait()
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- rpc.Wait() }() // reads until the input ends, which may be never
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	case <-s.exited:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stopped {
		return ErrNoShutdown
	}
	return nil
}

// Assign implements jrpc2.Assigner. Which methods there are depends on the state.
func (s *Server) Assign(_ context.Context, method string) jrpc2.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case method == "exit":
		return func(context.Context, *jrpc2.Request) (any, error) {
			s.exit.Do(func() { close(s.exited) })
			return nil, nil
		}
	case s.state == created && method != "initialize":
		return refuse(notInitialized, "the first request must be initialize")
	case s.state == running && method == "initialize":
		return refuse(jrpc2.InvalidRequest, "initialize was requested before")
	case s.state == stopped:
		return refuse(jrpc2.InvalidRequest, "the server was told to shut down")
	}
	switch method {
	case "initialize":
		return handler.New(s.initialize)
	case "initialized":
		return s.initialized
	case "shutdown":
		return func(context.Context, *jrpc2.Request) (any, error) {
			s.locked(func() { s.state = stopped })
			return nil, nil
		}
	case "textDocument/didOpen":
		return handler.New(s.didOpen)
	case "textDocument/didChange":
		return handler.New(s.didChange)
	case "textDocument/didClose":
		return handler.New(s.didClose)
	case "textDocument/hover":
		return handler.New(s.hover)
	case "textDocument/codeAction":
		return handler.New(s.codeAction)
	case "workspace/didChangeWorkspaceFolders":
		return handler.New(s.didChangeFolders)
	case "workspace/didChangeWatchedFiles", "textDocument/didSave", "workspace/didChangeConfiguration":
		return func(context.Context, *jrpc2.Request) (any, error) {
			s.touch()
			return nil, nil
		}
	}
	return nil
}

func refuse(code jrpc2.Code, why string) jrpc2.Handler {
	return func(context.Context, *jrpc2.Request) (any, error) { return nil, jrpc2.Errorf(code, "%s", why) }
}

func (s *Server) locked(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// touch has the workspace reviewed again.
func (s *Server) touch() {
	select {
	case s.changed <- struct{}{}:
	default: // it will be
	}
}

func (s *Server) initialize(_ context.Context, p initializeParams) (initializeResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = running
	s.watches = p.Capabilities.Workspace.DidChangeWatchedFiles.DynamicRegistration
	s.encoding = utf16Units
	for _, e := range p.Capabilities.General.PositionEncodings { // in the order that the editor likes best
		if e == utf8Units || e == utf16Units || e == utf32Units {
			s.encoding = e
			break
		}
	}
	if len(p.WorkspaceFolders) == 0 && p.RootURI != "" {
		p.WorkspaceFolders = []workspaceFolder{{URI: p.RootURI}}
	}
	s.addFolders(p.WorkspaceFolders)
	if len(s.folders) == 0 && p.RootPath != "" { // of old editors
		s.folders = []string{p.RootPath}
	}
	result := initializeResult{ServerInfo: serverInfo{"stayput", s.version}, Capabilities: serverCapabilities{
		PositionEncoding:   s.encoding,
		TextDocumentSync:   textSync{OpenClose: true, Change: 1},
		HoverProvider:      true,
		CodeActionProvider: codeActionOptions{CodeActionKinds: []string{quickFix}},
	}}
	result.Capabilities.Workspace.WorkspaceFolders.Supported = true
	result.Capabilities.Workspace.WorkspaceFolders.ChangeNotifications = true
	return result, nil
}

// addFolders adds those that are directories of a file system.
func (s *Server) addFolders(folders []workspaceFolder) {
	for _, f := range folders {
		if path, err := pathOf(f.URI); err == nil && !slices.Contains(s.folders, path) {
			s.folders = append(s.folders, path)
		}
	}
}

// initialized has the workspace reviewed for the first time, and files watched that the editor has not open.
func (s *Server) initialized(ctx context.Context, _ *jrpc2.Request) (any, error) {
	s.touch()
	watches := false
	s.locked(func() { watches = s.watches })
	if watches {
		rpc := jrpc2.ServerFromContext(ctx)
		go func() { // the answer cannot be read before this notification is done with
			// An editor that does not watch shows what was found once a document is changed.
			_, _ = rpc.Callback(context.WithoutCancel(ctx), "client/registerCapability", registrationParams{
				Registrations: []registration{{
					ID: "manifests", Method: "workspace/didChangeWatchedFiles",
					RegisterOptions: watchOptions{Watchers: []watcher{{GlobPattern: "**/*.{yaml,yml,json}"}}},
				}},
			})
		}()
	}
	return nil, nil
}

func (s *Server) didOpen(_ context.Context, p openParams) error {
	return s.edit(p.TextDocument.URI, func(path string) {
		s.open[path] = &openDocument{uri: p.TextDocument.URI, version: p.TextDocument.Version,
			text: []byte(p.TextDocument.Text)}
	})
}

func (s *Server) didChange(_ context.Context, p changeParams) error {
	return s.edit(p.TextDocument.URI, func(path string) {
		if doc := s.open[path]; doc != nil && len(p.ContentChanges) > 0 {
			doc.version = p.TextDocument.Version
			doc.text = []byte(p.ContentChanges[len(p.ContentChanges)-1].Text)
		}
	})
}

func (s *Server) didClose(_ context.Context, p documentParams) error {
	return s.edit(p.TextDocument.URI, func(path string) { delete(s.open, path) })
}

// edit changes what is known of a document. What is no file, like a text that was never saved, is not reviewed.
func (s *Server) edit(uri string, change func(path string)) error {
	path, err := pathOf(uri)
	if err != nil {
		return nil //nolint:nilerr // a notification has no answer, and this is no fault of the editor
	}
	s.locked(func() { change(path) })
	s.touch()
	return nil
}

func (s *Server) didChangeFolders(_ context.Context, p foldersParams) error {
	s.locked(func() {
		for _, f := range p.Event.Removed {
			if path, err := pathOf(f.URI); err == nil {
				s.folders = slices.DeleteFunc(s.folders, func(has string) bool { return has == path })
			}
		}
		s.addFolders(p.Event.Added)
	})
	s.touch()
	return nil
}

func (s *Server) hover(_ context.Context, p hoverParams) (*hover, error) {
	path, err := pathOf(p.TextDocument.URI)
	if err != nil {
		return nil, nil //nolint:nilerr // nothing is known about it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.published[path]
	if said == nil {
		return nil, nil
	}
	var h hover
	var pages []string
	for i, d := range said.diagnostics {
		if !d.Range.meets(textRange{p.Position, p.Position}) {
			continue
		}
		if page := s.backend.Page(said.findings[i].Rule); page != "" && !slices.Contains(pages, page) {
			pages = append(pages, page)
			h.Range = d.Range
		}
	}
	if len(pages) == 0 {
		return nil, nil
	}
	h.Contents = markupContent{"markdown", strings.Join(pages, "\n\n---\n\n")}
	return &h, nil
}

// quickFix is the protocol's kind of an action that mends a finding.
const quickFix = "quickfix"

func (s *Server) codeAction(_ context.Context, p codeActionParams) ([]codeAction, error) {
	actions := []codeAction{}
	path, err := pathOf(p.TextDocument.URI)
	if err != nil || len(p.Context.Only) > 0 && !slices.ContainsFunc(p.Context.Only, isQuickFix) {
		return actions, nil //nolint:nilerr // nothing is known about it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	said, doc := s.published[path], s.open[path]
	if said == nil || doc == nil || said.version != doc.version {
		return actions, nil // what is known is of another text
	}
	for i, d := range said.diagnostics {
		if !d.Range.meets(p.Range) {
			continue
		}
		for n, f := range said.fixes[i] {
			if s.current(f) {
				actions = append(actions, codeAction{Title: f.title, Kind: quickFix, Diagnostics: []diagnostic{d},
					IsPreferred: n == 0, Edit: f.edit})
			}
		}
	}
	return actions, nil
}

// current says whether a fix is of the texts that the editor has now.
func (s *Server) current(f fix) bool {
	for path, version := range f.of {
		if doc := s.open[path]; doc == nil || doc.version != version {
			return false
		}
	}
	return true
}

// fixOf returns a fix of the files that were reviewed.
func (s *Server) fixOf(f Fix, document func(path string) *textDocument, versions map[string]int) fix {
	made := fix{title: f.Title, edit: workspaceEdit{map[string][]textEdit{}}, of: map[string]int{}}
	for _, e := range f.Edits {
		uri := uriOf(e.Path)
		if doc := s.open[e.Path]; doc != nil {
			uri, made.of[e.Path] = doc.uri, versions[e.Path]
		}
		made.edit.Changes[uri] = append(made.edit.Changes[uri], document(e.Path).edit(e, s.encoding))
	}
	return made
}

// isQuickFix says whether a kind of action that is asked for holds ours: kinds are a tree, and "" is all of it.
func isQuickFix(kind string) bool { return kind == "" || kind == quickFix }

// reviewAgain reviews the workspace each time after it has changed.
func (s *Server) reviewAgain(ctx context.Context, rpc *jrpc2.Server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		latest := time.After(maxWait)
		for quiet := false; !quiet; {
			select {
			case <-ctx.Done():
				return
			case <-s.changed:
			case <-latest:
				quiet = true
			case <-time.After(quietPeriod):
				quiet = true
			}
		}
		s.review(ctx, rpc)
	}
}

// review reviews the workspace as it is now, and publishes what is new.
func (s *Server) review(ctx context.Context, rpc *jrpc2.Server) {
	w := Workspace{Open: map[string][]byte{}}
	versions := map[string]int{}
	s.locked(func() {
		w.Folders = slices.Clone(s.folders)
		for path, doc := range s.open {
			w.Open[path], versions[path] = doc.text, doc.version
		}
	})
	files, err := s.backend.Review(ctx, w)
	if ctx.Err() != nil {
		return
	}
	if s.complain(err, func(text string) {
		_ = rpc.Notify(ctx, "window/showMessage", messageParams{Type: 1, Message: text})
	}) {
		return
	}
	for _, p := range s.news(files, versions) {
		_ = rpc.Notify(ctx, "textDocument/publishDiagnostics", p) // fails only where the editor has gone
	}
}

// complain shows an error, once, and says whether there is one.
func (s *Server) complain(err error, show func(text string)) bool {
	text := ""
	if err != nil {
		text = "stayput: " + err.Error()
	}
	repeated := false
	s.locked(func() { repeated, s.complaint = s.complaint == text, text })
	if err != nil && !repeated {
		show(text)
	}
	return err != nil
}

// news returns what the editor does not know yet, and keeps it.
func (s *Server) news(files map[string]File, versions map[string]int) (news []diagnosticsParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	documents := map[string]*textDocument{} // a file's lines are found once, for all that is said of it
	document := func(path string) *textDocument {
		if documents[path] == nil {
			documents[path] = newTextDocument(files[path].Text)
		}
		return documents[path]
	}
	for path := range s.published {
		if _, there := files[path]; !there {
			files[path] = File{} // gone, and what was said of it goes
		}
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		before := s.published[path]
		now := &publication{uri: uriOf(path), findings: files[path].Findings}
		p := diagnosticsParams{Diagnostics: []diagnostic{}}
		if doc := s.open[path]; doc != nil {
			reviewed, known := versions[path]
			if !known || reviewed != doc.version {
				continue // it has changed, and is reviewed again
			}
			now.uri, now.version = doc.uri, doc.version
			p.Version = &now.version // which stays, where the document's goes on
		}
		if before == nil && len(now.findings) == 0 {
			continue
		}
		slices.SortStableFunc(now.findings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
		for _, f := range now.findings {
			var fixes []fix
			for _, one := range f.Fixes {
				fixes = append(fixes, s.fixOf(one, document, versions))
			}
			now.fixes = append(now.fixes, fixes)
			p.Diagnostics = append(p.Diagnostics, diagnostic{
				Range: document(path).span(f, s.encoding), Severity: f.Severity, Code: f.Rule, Source: "stayput",
				Message: f.Message,
			})
		}
		now.diagnostics, p.URI = p.Diagnostics, now.uri
		s.published[path] = now
		if len(now.findings) == 0 {
			delete(s.published, path)
		}
		if before != nil && before.uri == now.uri && before.version == now.version &&
			slices.Equal(before.diagnostics, now.diagnostics) {
			continue
		}
		news = append(news, p)
	}
	return news
}
