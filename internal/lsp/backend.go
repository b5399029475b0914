package lsp

import "context"

// A Workspace is what the editor has open.
type Workspace struct {
	// Folders are the directories of the workspace, as absolute paths.
	Folders []string

	// Open are the documents that the editor has open, by their absolute path. Their text counts, not what is on disk.
	Open map[string][]byte
}

// A Backend knows what there is to say about a workspace. Its methods are not called at the same time.
type Backend interface {
	// Review returns what was reviewed, by the absolute path of the file. It reads the files of the workspace that are
	// not open itself. An error is shown to the user, and what was published before stays.
	Review(ctx context.Context, w Workspace) (map[string]File, error)

	// Page returns what there is to know about a rule, as Markdown, or nothing.
	Page(rule string) string
}

// A File is what is found in a text.
type File struct {
	Text     []byte // as it was reviewed
	Findings []Finding
}

// A Severity is how the editor shows a finding.
type Severity int

// The severities of the protocol.
const (
	Error Severity = 1 + iota
	Warning
	Information
)

// A Finding is one thing that is wrong with a file. Lines and columns count from 1, in characters, as in a report; the
// end column is the one behind the last. A line of 0 means the file as a whole.
type Finding struct {
	Line, Column, EndColumn int

	Severity Severity
	Rule     string // what Backend.Page is asked for; may be empty
	Message  string
	Fixes    []Fix
}

// A Fix is a change that mends a finding.
type Fix struct {
	Title string
	Edits []Edit
}

// An Edit replaces a range in the text of a file as it was reviewed, from a character to the one behind its last. Lines
// and columns count as those of a finding. An insertion has an empty range.
type Edit struct {
	Path                             string // absolute
	Line, Column, EndLine, EndColumn int
	New                              string
}
