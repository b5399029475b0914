package manifest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"stayput.dev/cluster"
)

// A Manifest is one object as written in a file.
type Manifest struct {
	cluster.Object

	// File is the name of the file, as given to [Parse].
	File string

	// Directives are the comments above the object, without "# ". In the
	// testdata of the rules, "delete" means the deletion of the object, and "as
	// USER" names the caller.
	Directives []string

	// Unplaced says that the manifest names no namespace: the object has the
	// default one here, but the command that applies it may name another.
	Unplaced bool

	// Unknown are the fields that the object's type does not have: the API
	// server would drop them, and kubectl refuses them.
	Unknown []error

	// Outdated says in which version, no longer served, the object was written; nil
	// if it was in the version of its type.
	Outdated *Outdated

	// Built says that a tool made the object, so that its text has no author,
	// and File is the file that the tool began with. Written is what the author
	// wrote: the object, if it is known, then the patches to it.
	Built   bool
	Written []Manifest

	// Edits are the changes by patches that are no objects in files of their
	// own, in order.
	Edits []Edit

	// Remarks are the problems found while the object was built.
	Remarks []Remark

	doc  *document
	item int // its index in the items of a List, or -1
}

// An Edit is a patch's change of a field, or of all fields in it.
type Edit struct {
	Path   []string // its names and indexes: spec, containers, 0, image
	File   string
	Line   int    // from 1
	Source string // the text of that line
}

// Edited returns the last edit of a field or of one that contains it, or nil.
func (m *Manifest) Edited(path string) *Edit {
	elems := cluster.SplitPath(path)
	for i := len(m.Edits) - 1; i >= 0; i-- {
		if e := &m.Edits[i]; len(e.Path) <= len(elems) && slices.Equal(e.Path, elems[:len(e.Path)]) {
			return e
		}
	}
	return nil
}

// A Remark is about the field at a path: the problem, and the remedy.
type Remark struct{ Name, Field, Text, Remedy string }

// Author returns the manifest in which the author of a field wrote it, or would
// write it, and whether it is known. If it is not, only its file is right.
func (m *Manifest) Author(path string) (*Manifest, bool) {
	if !m.Built {
		return m, true
	}
	if path != "" {
		for i := len(m.Written) - 1; i >= 0; i-- {
			if m.Written[i].At(path) != nil {
				return &m.Written[i], true
			}
		}
	}
	if len(m.Written) > 0 && (path == "" || m.At(path) == nil) {
		return &m.Written[0], true
	}
	return m, false
}

// At returns the node of the field at path, or nil.
func (m Manifest) At(path string) *yaml.Node {
	node := m.root()
	for _, elem := range cluster.SplitPath(path) {
		if node != nil {
			_, node = child(node, elem)
		}
	}
	return node
}

// Directive returns the rest of the comment above the object that begins with a
// word: "as alice" is alice for "as".
func (m Manifest) Directive(word string) (rest string, ok bool) {
	for _, d := range m.Directives {
		if first, rest, _ := strings.Cut(d, " "); first == word {
			return rest, true
		}
	}
	return "", false
}

// originAnnotation is what kustomize build writes where buildMetadata has
// originAnnotations. Source: sigs.k8s.io/kustomize/api/internal/utils/annotations.go.
const originAnnotation = "config.kubernetes.io/origin"

// Template returns the file from which Helm or kustomize made the object, or "".
// Helm names the chart's file in a comment above each document ("# Source:
// shop/templates/db.yaml"), kustomize in an annotation, relative to the
// kustomization that was built; of a file in another repository it is in the form
// that kustomize reads, https://example.com/repository//db.yaml?ref=v1. In an
// object that was built here, File is that file.
func (m Manifest) Template() string {
	if file := m.source(); file != "" || m.Built {
		return file
	}
	return origin(m.GetAnnotations()[originAnnotation])
}

// origin returns the file that the annotation names: the one that has the object,
// or else the one that configures its generator.
func origin(annotation string) string {
	var o struct {
		Path, Repo, Ref string
		ConfiguredIn    string `yaml:"configuredIn"`
	}
	if annotation == "" || yaml.Unmarshal([]byte(annotation), &o) != nil {
		return ""
	}
	file := cmp.Or(o.Path, o.ConfiguredIn)
	if o.Repo == "" || file == "" {
		return file
	}
	file = o.Repo + "//" + file
	if o.Ref != "" {
		file += "?ref=" + o.Ref
	}
	return file
}

// source returns the file that Helm's comment names, or "".
func (m Manifest) source() string {
	file, _ := m.Directive("Source:")
	if m.item >= 0 && file == "" { // for an item of a List, use the document's
		for _, d := range m.doc.comments() {
			if rest, ok := strings.CutPrefix(d, "Source: "); ok {
				file = rest
			}
		}
	}
	return strings.TrimSpace(file)
}

// Place puts an object without a namespace into one, as the command that
// applies it would. It changes no other object.
func (m *Manifest) Place(namespace string) {
	if m.Unplaced {
		m.SetNamespace(namespace)
		m.Unplaced = false
	}
}

// AddTo puts the object into a snapshot.
func (m Manifest) AddTo(s *cluster.Snapshot) error {
	if m.Unplaced {
		return s.AddUnplaced(m.Object)
	}
	return s.Add(m.Object)
}

// Line returns the line of the field at path, or of its nearest ancestor that
// exists in the file. Lines count from 1.
func (m Manifest) Line(path string) int { return m.Position(path).Line }

// A Position is the place of a field: a line, the column of its first
// character, and the column behind its last. All count from 1; columns are in
// characters.
type Position struct{ Line, Column, EndColumn int }

// Position returns the place of the field at path, or of its nearest ancestor
// that exists in the file: the key and, if it is on the same line, the value.
func (m Manifest) Position(path string) Position {
	node := m.root()
	if node == nil {
		return Position{Line: m.doc.line, Column: 1, EndColumn: 1}
	}
	key, value := node, node
	for _, elem := range cluster.SplitPath(path) {
		k, v := child(value, elem)
		if v == nil {
			break
		}
		key, value = k, v
	}
	if key == node { // the object itself is at its first key
		return m.span(first(node), first(node))
	}
	if key.Kind == yaml.MappingNode && len(key.Content) > 1 { // an item of a list is at its first key
		key, value = key.Content[0], key.Content[1]
	}
	return m.span(key, value)
}

// span returns the columns from a key to the end of its value.
func (m Manifest) span(key, value *yaml.Node) Position {
	p := Position{Line: m.doc.line + key.Line - 1, Column: key.Column, EndColumn: key.Column + width(key)}
	if value.Line == key.Line && value.Kind == yaml.ScalarNode {
		p.EndColumn = value.Column + width(value)
	}
	p.EndColumn = max(min(p.EndColumn, utf8.RuneCountInString(m.Source(p.Line))+1), p.Column+1)
	return p
}

// width returns the number of columns of a scalar, or one for any other node.
func width(n *yaml.Node) int {
	w := utf8.RuneCountInString(n.Value)
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		w += 2
	}
	return max(w, 1)
}

// first returns the first key of an object.
func first(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		return n.Content[0]
	}
	return n
}

// Source returns a line of the file as it is written, without the end of the
// line. It knows only the lines of the object's document.
func (m Manifest) Source(line int) string {
	starts := m.doc.lines()
	n := line - m.doc.line
	if n < 0 || n >= len(starts) {
		return ""
	}
	end := len(m.doc.text)
	if n+1 < len(starts) {
		end = starts[n+1]
	}
	return strings.TrimRight(string(m.doc.text[starts[n]:end]), "\r\n")
}

// root returns the node of the object.
func (m Manifest) root() *yaml.Node {
	node := m.doc.node()
	if node == nil || m.item < 0 {
		return node
	}
	_, items := child(node, "items")
	if items == nil {
		return node
	}
	_, item := child(items, strconv.Itoa(m.item))
	if item != nil && item.Kind == yaml.AliasNode {
		item = item.Alias
	}
	return item
}

func child(node *yaml.Node, elem string) (key, value *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == elem {
				return node.Content[i], node.Content[i+1]
			}
		}
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Tag != "!!merge" {
				continue
			}
			for _, merged := range merges(node.Content[i+1]) {
				if key, value := child(merged, elem); value != nil {
					return key, value
				}
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(elem); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
	}
	return nil, nil
}

// merges returns the mappings of a merge key: << has one, or a list of them.
func merges(node *yaml.Node) []*yaml.Node {
	if node.Kind == yaml.SequenceNode {
		return node.Content
	}
	return []*yaml.Node{node}
}

// Mentions says whether the text that the object is in has a word.
func (m Manifest) Mentions(word string) bool { return bytes.Contains(m.doc.text, []byte(word)) }

// JSON returns the object as it is written, in JSON.
func (m Manifest) JSON() ([]byte, error) {
	data, err := m.doc.text, error(nil)
	if !m.doc.json {
		if data, err = sigsyaml.YAMLToJSON(m.doc.text); err != nil {
			return nil, err
		}
	}
	if m.item < 0 {
		return data, nil
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	return list.Items[m.item], nil
}
