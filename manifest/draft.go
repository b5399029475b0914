package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"stayput.dev/manifest/splice"
)

// A Draft is a file as it was read and as it would be with changes to its
// objects. Everything else in it stays as it is, byte by byte.
type Draft struct {
	File string

	source *source
	texts  [][]byte // of the documents, as they are now
	added  [][]byte // documents that follow each of them
}

// Draft returns the file of the manifest, without any change.
func (m *Manifest) Draft() *Draft {
	d := &Draft{File: m.File, source: m.doc.source}
	for _, doc := range d.source.docs {
		d.texts = append(d.texts, doc.text)
	}
	d.added = make([][]byte, len(d.texts))
	return d
}

// Drafted says whether the draft is of the file that the manifest was read
// from, as it was read then.
func (m *Manifest) Drafted(d *Draft) bool { return m.doc.source == d.source }

// Before returns the file as it was read.
func (d *Draft) Before() []byte { return d.source.data }

// Why a file is not edited by a program.
var (
	errMade      = errors.New("Helm made it (# Source: ...): the chart is to be edited")
	errBuilt     = errors.New("kustomize built it (" + originAnnotation + "): the file it names is to be edited")
	errMarks     = errors.New("it has the marks of a template")
	errEncrypted = errors.New("it is encrypted with sops, which would notice")
	errEncoding  = errors.New("it is not in UTF-8")
	errStream    = errors.New("another document is behind an end of its document")
	errJSON      = errors.New("it is JSON, which has one object")
)

// Guarded returns why no program should write to the file, or nil: another one
// makes it, or watches over it.
func (d *Draft) Guarded() error {
	if d.source.converted {
		return errEncoding
	}
	for _, mark := range []string{"{{", "#@"} {
		if bytes.Contains(d.source.data, []byte(mark)) {
			return errMarks
		}
	}
	for _, doc := range d.source.docs {
		for line := range bytes.Lines(doc.text) {
			if bytes.HasPrefix(line, []byte("# Source: ")) {
				return errMade
			}
		}
		if bytes.Contains(doc.text, []byte(originAnnotation+":")) {
			return errBuilt
		}
		if !bytes.Contains(doc.text, []byte("sops")) {
			continue
		}
		if root := doc.node(); root != nil && root.Kind == yaml.MappingNode {
			if _, value := child(root, "sops"); value != nil {
				return errEncrypted
			}
		}
	}
	return nil
}

// Try has do make changes, or none if it fails.
func (d *Draft) Try(do func() error) error {
	texts, added := slices.Clone(d.texts), slices.Clone(d.added)
	err := do()
	if err != nil {
		d.texts, d.added = texts, added
	}
	return err
}

// Set sets the value at a path of an object, as [splice.Set] does.
func (d *Draft) Set(m *Manifest, path []string, value any) error {
	return d.edit(m, path, func(text []byte, path []string) (splice.Edit, error) {
		return splice.Set(text, path, value)
	})
}

// Remove takes a key out of an object, as [splice.Remove] does.
func (d *Draft) Remove(m *Manifest, path []string) error { return d.edit(m, path, splice.Remove) }

// Move puts a scalar of an object at another path, as [splice.Move] does.
func (d *Draft) Move(m *Manifest, from, to []string) error {
	i := slices.Index(d.source.docs, m.doc)
	text, err := splice.Move(d.texts[i], m.inDocument(from), m.inDocument(to))
	if err == nil {
		d.texts[i] = text
	}
	return err
}

// edit edits the document of an object at a path of that object.
func (d *Draft) edit(m *Manifest, path []string, of func([]byte, []string) (splice.Edit, error)) error {
	i := slices.Index(d.source.docs, m.doc)
	edit, err := of(d.texts[i], m.inDocument(path))
	if err == nil {
		d.texts[i] = edit.Of(d.texts[i])
	}
	return err
}

// inDocument returns a path of the object as one of its document.
func (m *Manifest) inDocument(path []string) []string {
	if m.item < 0 {
		return path
	}
	return slices.Concat([]string{"items", strconv.Itoa(m.item)}, path)
}

// Add adds an object, as YAML in a document of its own, behind that of m.
func (d *Draft) Add(m *Manifest, object map[string]any) error {
	i := slices.Index(d.source.docs, m.doc)
	switch {
	case m.doc.json:
		return errJSON
	case m.doc.left > 0:
		return errStream
	}
	text, err := objectYAML(object)
	if err != nil {
		return err
	}
	eol := "\n"
	if bytes.Contains(d.texts[i], []byte("\r\n")) {
		eol = "\r\n"
	}
	added := "---\n" + text
	if all := slices.Concat(d.texts[i], d.added[i]); len(all) > 0 && all[len(all)-1] != '\n' {
		added = "\n" + added
	}
	d.added[i] = slices.Concat(d.added[i], []byte(strings.ReplaceAll(added, "\n", eol)))
	return nil
}

// objectYAML returns an object as an author writes it: what identifies it comes
// first.
func objectYAML(object map[string]any) (string, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range []string{"apiVersion", "kind", "metadata", "spec"} {
		if object[key] == nil {
			continue
		}
		value := &yaml.Node{}
		if err := value.Encode(object[key]); err != nil {
			return "", err
		}
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
	}
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	err := errors.Join(e.Encode(root), e.Close())
	return text.String(), err
}

// After returns the file with the changes. It fails where they do not come to
// the documents that were meant.
func (d *Draft) After() ([]byte, error) {
	if d.source.converted {
		return nil, errEncoding
	}
	var out []byte
	end := 0
	for i, doc := range d.source.docs {
		out = append(append(append(out, d.source.data[end:doc.start]...), d.texts[i]...), d.added[i]...)
		end = doc.start + len(doc.text)
	}
	out = append(out, d.source.data[end:]...)
	docs, _, err := split(out)
	if err != nil {
		return nil, err
	}
	var want [][]byte
	for i, text := range d.texts {
		want = append(want, text)
		if len(d.added[i]) > 0 {
			more, _ := splitYAML(bytes.TrimLeft(d.added[i], "\r\n"), 0)
			for _, doc := range more {
				want = append(want, doc.text)
			}
		}
	}
	same := func(doc *document, text []byte) bool {
		return bytes.Equal(bytes.TrimSpace(doc.text), bytes.TrimSpace(text))
	}
	if !slices.EqualFunc(docs, want, same) {
		return nil, fmt.Errorf("%s: %w", d.File, splice.ErrPlace)
	}
	return out, nil
}

// A Replacement is a part of a file, and what is to stand there instead. Lines
// and columns count from 1, in characters; the end is behind the last.
type Replacement struct {
	Line, Column, EndLine, EndColumn int
	Text                             string
}

// Replaced returns the one replacement that makes a text into another.
func Replaced(before, after []byte) Replacement {
	start := 0
	for start < len(before) && start < len(after) && before[start] == after[start] {
		start++
	}
	for start > 0 && (within(before, start) || within(after, start)) {
		start--
	}
	end := 0
	for end < len(before)-start && end < len(after)-start && before[len(before)-1-end] == after[len(after)-1-end] {
		end++
	}
	for end > 0 && within(before, len(before)-end) {
		end--
	}
	r := Replacement{Text: string(after[start : len(after)-end])}
	r.Line, r.Column = placeOf(before, start)
	r.EndLine, r.EndColumn = placeOf(before, len(before)-end)
	return r
}

// within says whether an offset is inside of a character.
func within(text []byte, at int) bool { return at < len(text) && !utf8.RuneStart(text[at]) }

// placeOf returns the line and the column of an offset.
func placeOf(text []byte, at int) (line, column int) {
	begin := bytes.LastIndexByte(text[:at], '\n') + 1
	before := bytes.TrimPrefix(text[begin:at], []byte(byteOrderMark))
	return 1 + bytes.Count(text[:begin], []byte("\n")), 1 + utf8.RuneCount(before)
}
