package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v3"

	"stayput.dev/internal/pattern"
)

// A source is the content of a file, as it was read.
type source struct {
	data      []byte
	before    int  // the length of the byte order mark
	converted bool // the documents are in another encoding than the file
	docs      []*document
}

// A document is one document of a stream: its text, and the line of the file
// on which it begins.
type document struct {
	text   []byte
	line   int
	json   bool
	source *source
	start  int // where the text begins in the source

	left int // the line of the part that kubectl leaves out, or 0

	parse sync.Once
	root  *yaml.Node

	index  sync.Once
	starts []int
}

// lines returns the offset of each line in the text.
func (d *document) lines() []int {
	d.index.Do(func() {
		d.starts = []int{0}
		for i, c := range d.text {
			if c == '\n' && i+1 < len(d.text) {
				d.starts = append(d.starts, i+1)
			}
		}
	})
	return d.starts
}

// node parses the document with its lines and columns. It is only needed for
// documents with findings, so it is not stored.
func (d *document) node() *yaml.Node {
	d.parse.Do(func() {
		var doc yaml.Node
		if err := yaml.Unmarshal(d.text, &doc); err == nil && len(doc.Content) > 0 {
			d.root = doc.Content[0]
			if d.root.Kind == yaml.AliasNode {
				d.root = d.root.Alias
			}
		}
	})
	return d.root
}

// empty says whether a document holds nothing but comments and directives.
func (d *document) empty() bool {
	for line := range bytes.Lines(d.text) {
		if marks(bytes.TrimRight(line, "\r\n"), "---") {
			line = line[len("---"):]
		}
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

// comments returns the comments above the first line of the document.
func (d *document) comments() (lines []string) {
	for line := range bytes.Lines(d.text) {
		text := strings.TrimSpace(string(line))
		switch comment, ok := strings.CutPrefix(text, "#"); {
		case ok:
			lines = append(lines, strings.TrimPrefix(comment, " "))
		case text != "" && text != "---":
			return lines
		}
	}
	return lines
}

// A StreamError is an error in a file, and its line. Line is 0 if it concerns
// the whole file.
type StreamError struct {
	File string
	Line int
	Err  error
}

// Error returns file:line: what is wrong.
func (e *StreamError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the error without its place.
func (e *StreamError) Unwrap() error { return e.Err }

// ErrTemplate is the error of a file that must be rendered to become YAML.
var ErrTemplate = errors.New("not YAML but a template: lint what it renders, as in helm template CHART | stayput " +
	"lint -")

// ErrNoObject is the error of a document that is no object of Kubernetes.
var ErrNoObject = errors.New("not a Kubernetes object")

var lineOf = pattern.Lazy(`^(?:error converting YAML to JSON: )?(?:yaml: )?(?:line (\d+): )?`)

// fault adds the file and the line to a decoder's error, which counts lines
// from the beginning of the document.
func (d *document) fault(file string, err error) *StreamError {
	if i := bytes.Index(d.text, []byte("{{")); i >= 0 {
		return &StreamError{file, d.line + bytes.Count(d.text[:i], []byte("\n")), ErrTemplate}
	}
	text, line := err.Error(), d.line
	if m := lineOf().FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line += n - 1
		}
		text = text[len(m[0]):]
	}
	return &StreamError{file, line, errors.New(strings.ReplaceAll(text, "\n", " "))}
}
