package report

import "fmt"

// A Location is the place of a finding in a file. Lines and columns count from 1,
// in characters; the end column is behind the last character. All three are 0 if
// only the file is known.
type Location struct {
	File      string `json:"file"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndColumn int    `json:"endColumn,omitempty"`

	// Rendered says that the lines are those of a tool's output, which it made
	// from the file, and not those of the file.
	Rendered bool `json:"rendered,omitempty"`

	// Template is the file from which Helm or kustomize made the lines, if their
	// comment or annotation names it.
	Template string `json:"template,omitempty"`

	// Text is the line, or the part of a long line that contains the finding.
	Text string `json:"text,omitempty"`

	skip int // number of characters of the line before Text
}

// lineText returns file:line, or the file alone.
func (l *Location) lineText() string {
	if l.Line == 0 {
		return clean(l.File)
	}
	return fmt.Sprintf("%s:%d", clean(l.File), l.Line)
}

// columnText returns file:line:column, or the file alone.
func (l *Location) columnText() string {
	if l.Line == 0 {
		return clean(l.File)
	}
	return fmt.Sprintf("%s:%d", l.lineText(), l.Column)
}

// maxText is the number of characters of a line that are shown. A file of JSON may
// be one line of megabytes.
const maxText = 160

// Excerpt sets Text from the whole line.
func (l *Location) Excerpt(line string) {
	l.Text, l.skip = line, 0
	if len(line) <= maxText {
		l.Text = clean(l.Text)
		return
	}
	runes := []rune(line)
	if from := l.Column - 1 - maxText/4; from > 0 && len(runes) > maxText {
		l.skip = min(from, len(runes)-maxText)
	}
	l.Text = clean(string(runes[l.skip:min(l.skip+maxText, len(runes))]))
}

// marked returns the text in three parts, of which the second is the field.
func (l *Location) marked() (before, field, after string) {
	runes := []rune(l.Text)
	from := max(min(l.Column-1-l.skip, len(runes)), 0)
	to := max(min(l.EndColumn-1-l.skip, len(runes)), from)
	return string(runes[:from]), string(runes[from:to]), string(runes[to:])
}
