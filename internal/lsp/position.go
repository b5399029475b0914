package lsp

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An encoding is how the columns of a position count. Which one is used is agreed upon at the beginning.
type encoding string

const (
	utf8Units  encoding = "utf-8"
	utf16Units encoding = "utf-16" // what the protocol takes where nothing is agreed upon
	utf32Units encoding = "utf-32" // characters
)

// units returns how many units of the encoding a text takes.
func (e encoding) units(text string) int {
	switch e {
	case utf8Units:
		return len(text)
	case utf32Units:
		return utf8.RuneCountInString(text)
	}
	n := 0
	for _, r := range text {
		n += max(utf16.RuneLen(r), 1) // what is no character is shown as one
	}
	return n
}

// A textDocument is a text and where its lines begin.
type textDocument struct {
	text   []byte
	starts []int
}

// byteOrderMark begins some files, and is in no editor's text.
const byteOrderMark = "\xef\xbb\xbf"

func newTextDocument(text []byte) *textDocument {
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	d := &textDocument{text: text, starts: []int{0}}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n':
		case text[i] == '\n', text[i] == '\r':
			d.starts = append(d.starts, i+1)
		}
	}
	return d
}

// line returns a line, which counts from 0, without its end.
func (d *textDocument) line(n int) string {
	if n < 0 || n >= len(d.starts) {
		return ""
	}
	rest := d.text[d.starts[n]:]
	if end := bytes.IndexAny(rest, "\r\n"); end >= 0 {
		rest = rest[:end]
	}
	return string(rest)
}

// at returns the position of a character: line and column count from 1.
func (d *textDocument) at(line, column int, e encoding) position {
	line = max(min(line, len(d.starts)), 1)
	text := []rune(d.line(line - 1))
	column = max(min(column, len(text)+1), 1)
	return position{Line: line - 1, Character: e.units(string(text[:column-1]))}
}

// span returns the range of a finding. One about the file as a whole is at its first line; one without columns takes
// what its line holds.
func (d *textDocument) span(f Finding, e encoding) textRange {
	if f.Line > 0 && f.Column > 0 {
		return textRange{d.at(f.Line, f.Column, e), d.at(f.Line, max(f.EndColumn, f.Column+1), e)}
	}
	line := max(f.Line, 1)
	text := d.line(line - 1)
	indent := len(text) - len(strings.TrimLeft(text, " \t")) // blanks are one byte, and one unit, each
	return textRange{position{Line: line - 1, Character: indent}, position{Line: line - 1, Character: e.units(text)}}
}

// edit returns a change as the protocol has it.
func (d *textDocument) edit(change Edit, e encoding) textEdit {
	return textEdit{NewText: change.New, Range: textRange{
		Start: d.at(change.Line, change.Column, e), End: d.at(change.EndLine, change.EndColumn, e),
	}}
}

// meets says whether two ranges share a position.
func (r textRange) meets(other textRange) bool {
	return !r.End.before(other.Start) && !other.End.before(r.Start)
}

func (p position) before(other position) bool {
	return p.Line < other.Line || p.Line == other.Line && p.Character < other.Character
}
