// Package splice edits texts in YAML and JSON at the place of one value, which it
// sets or takes out. All other bytes stay as they are: comments, order, quotes,
// ends of lines.
package splice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// An Edit replaces the bytes of a text from Start to End, counted from 0, by
// Text.
type Edit struct {
	Start, End int
	Text       string
}

// Of returns the text with the edit made.
func (e Edit) Of(text []byte) []byte {
	return slices.Concat(text[:e.Start], []byte(e.Text), text[e.End:])
}

// Why a text is not edited.
var (
	// ErrAnchor says that what is written at one place counts at another, too.
	ErrAnchor = errors.New("an anchor or alias is at that place")
	// ErrShape says that a value would have to be taken out for another.
	ErrShape = errors.New("a value of another shape is at that place")
	// ErrTaken says that the new place of a value has another value.
	ErrTaken = errors.New("another value is at the new place")
	// ErrPlace says that the place was not found, or that the edited text did
	// not hold what it should.
	ErrPlace = errors.New("the place in the text is not certain")
)

// Set returns the edit that sets the value at a path of names and list indexes
// in the only document of a text. Mappings that are missing on the way are
// made, items of lists are not. Value is a string, a boolean, a number, or
// mappings (map[string]any) and lists ([]any) of these; one that is not a
// scalar is set only where there is nothing yet. The edited text is read again:
// it differs from the old one in nothing but the value. Where it has the value
// already, the edit is empty.
func Set(text []byte, path []string, value any) (Edit, error) {
	s, err := parse(text)
	if err != nil {
		return Edit{}, err
	}
	if value, err = plain(value); err != nil {
		return Edit{}, err
	}
	before, err := s.decode(text)
	if err != nil {
		return Edit{}, err
	}
	want, err := with(before, path, value)
	if err != nil {
		return Edit{}, err
	}
	if reflect.DeepEqual(before, want) {
		return Edit{}, nil
	}
	edits, err := s.set(path, value)
	if err != nil {
		return Edit{}, err
	}
	return s.certain(edits, want)
}

// Remove returns the edit that takes the key at a path out of its mapping, with its
// value, in the only document of a text. Comments stay, and a value with a comment
// inside is not taken out. The last key of a mapping is not taken out. The edited text is read again: it
// differs from the old one in nothing but the key. Where there is no such key, the
// edit is empty.
func Remove(text []byte, path []string) (Edit, error) {
	s, err := parse(text)
	if err != nil {
		return Edit{}, err
	}
	before, err := s.decode(text)
	if err != nil {
		return Edit{}, err
	}
	want, err := without(before, path)
	if err != nil {
		return Edit{}, err
	}
	if reflect.DeepEqual(before, want) {
		return Edit{}, nil
	}
	edit, err := s.remove(path, false)
	if err != nil {
		return Edit{}, err
	}
	return s.certain([]Edit{edit}, want)
}

// Move returns the text in which a scalar that was at one path of mappings is at
// another, quoted as it was, in the only document of a text. Mappings that it leaves
// empty go. A comment behind it goes with it, where it gets a line of its own, and
// else stays. In the same mapping, only the key changes. Where the new place has the
// value already, the old one is taken out. All else is as for [Set] and [Remove].
func Move(text []byte, from, to []string) ([]byte, error) {
	s, err := parse(text)
	if err != nil {
		return nil, err
	}
	before, err := s.decode(text)
	if err != nil {
		return nil, err
	}
	value, is := lookup(before, from), lookup(before, to)
	switch {
	case value == nil:
		return nil, ErrPlace
	case is != nil && !reflect.DeepEqual(is, value):
		return nil, ErrTaken
	}
	there, err := with(before, to, value)
	if err != nil {
		return nil, err
	}
	gone := lone(there, from)
	want, err := without(there, gone)
	if err != nil {
		return nil, err
	}
	holder, key, node, err := s.find(from)
	if err != nil {
		return nil, err
	}
	last := len(from) - 1
	if is == nil && len(from) == len(to) && slices.Equal(from[:last], to[:last]) {
		edits, err := s.replace(key, to[last])
		if err != nil {
			return nil, err
		}
		e, err := s.certain(edits, want)
		return e.Of(text), err
	}
	if node.Kind != yaml.ScalarNode {
		return nil, ErrShape
	}
	edits := []Edit{{}}
	if is == nil {
		var as any = &yaml.Node{Kind: yaml.ScalarNode, Tag: node.Tag, Value: node.Value,
			Style: node.Style & (yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle)}
		if s.json {
			as = value
		}
		if edits, err = s.set(to, as); err != nil {
			return nil, err
		}
	}
	comment := ""
	if holder.Style&yaml.FlowStyle == 0 {
		comment = s.commentBehind(key, node)
	}
	for _, with := range slices.Compact([]string{comment, ""}) {
		for _, e := range edits {
			if with != "" && !strings.Contains(e.Text, "\n") {
				continue
			}
			if with != "" {
				bare := strings.TrimRight(e.Text, "\r\n")
				e.Text = bare + " " + with + e.Text[len(bare):]
			}
			moved, err := parse(e.Of(text))
			if err != nil {
				continue
			}
			out, err := moved.remove(gone, with != "")
			if err != nil {
				continue
			}
			if got, err := moved.decode(out.Of(moved.text)); err == nil && reflect.DeepEqual(got, want) {
				return out.Of(moved.text), nil
			}
		}
	}
	return nil, ErrPlace
}

// lookup returns what a decoded document has at a path, or nil.
func lookup(node any, path []string) any {
	for _, elem := range path {
		switch at := node.(type) {
		case map[string]any:
			node = at[elem]
		case []any:
			i, err := strconv.Atoi(elem)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			node = at[i]
		default:
			return nil
		}
	}
	return node
}

// lone returns the path to take out so that no mapping is left empty: that of a
// key, or of the mapping that has it alone, and so on.
func lone(root any, path []string) []string {
	for n := len(path) - 1; n > 0; n-- {
		is, _ := lookup(root, path[:n]).(map[string]any)
		_, in := lookup(root, path[:n-1]).(map[string]any)
		if !in || len(is) != 1 {
			return path[:n+1]
		}
	}
	return path[:1]
}

// commentBehind returns the comment on the line of a scalar, or "".
func (s *source) commentBehind(key, value *yaml.Node) string {
	end := s.endOnLine(key, value)
	if end < 0 {
		return ""
	}
	line, _, _ := s.lineEnd(end)
	if comment := strings.TrimSpace(string(s.text[end:line])); strings.HasPrefix(comment, "#") {
		return comment
	}
	return ""
}

// certain returns the first edit after which the text holds what is wanted. The
// first is the finest, and not certain in odd texts.
func (s *source) certain(edits []Edit, want any) (Edit, error) {
	for _, e := range edits {
		if got, err := s.decode(e.Of(s.text)); err == nil && reflect.DeepEqual(got, want) {
			return e, nil
		}
	}
	return Edit{}, ErrPlace
}

// plain returns a value as JSON has it, numbers as they are written.
func plain(value any) (any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return decodeJSON(data)
}

func decodeJSON(data []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return value, d.Decode(&value)
}

// with returns a copy of a decoded document that has the value at a path.
func with(node any, path []string, value any) (any, error) {
	if len(path) == 0 {
		_, isMap := node.(map[string]any)
		_, isList := node.([]any)
		if _, is := value.(map[string]any); node != nil && (is || isMap || isList) && !reflect.DeepEqual(node, value) {
			return nil, ErrShape
		}
		return value, nil
	}
	switch node := node.(type) {
	case nil:
		if _, err := strconv.Atoi(path[0]); err == nil {
			return nil, ErrShape
		}
		inner, err := with(nil, path[1:], value)
		return map[string]any{path[0]: inner}, err
	case map[string]any:
		inner, err := with(node[path[0]], path[1:], value)
		if err != nil {
			return nil, err
		}
		all := maps.Clone(node)
		all[path[0]] = inner
		return all, nil
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(node) {
			return nil, ErrShape
		}
		all := slices.Clone(node)
		all[i], err = with(node[i], path[1:], value)
		return all, err
	}
	return nil, ErrShape
}

// without returns a copy of a decoded document that has no key at a path.
func without(node any, path []string) (any, error) {
	switch node := node.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		inner, ok := node[path[0]]
		if !ok {
			return node, nil
		}
		all := maps.Clone(node)
		if len(path) == 1 {
			if delete(all, path[0]); len(all) == 0 {
				return nil, ErrShape
			}
			return all, nil
		}
		inner, err := without(inner, path[1:])
		all[path[0]] = inner
		return all, err
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(node) || len(path) == 1 {
			return nil, ErrShape
		}
		all := slices.Clone(node)
		all[i], err = without(node[i], path[1:])
		return all, err
	}
	return nil, ErrShape
}

// A source is a text with the places of its values.
type source struct {
	text  []byte
	json  bool
	lines []int // the offset of each line
	root  *yaml.Node
}

func parse(text []byte) (*source, error) {
	s := &source{text: text, json: json.Valid(text), lines: lineStarts(text)}
	readable := text
	if s.json { // the YAML parser takes no tab for indentation; in strings of JSON there is none
		readable = bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(readable, &doc); err != nil || len(doc.Content) != 1 {
		return nil, ErrPlace
	}
	s.root = doc.Content[0]
	return s, nil
}

// lineStarts returns where the lines of a text begin, as the parser of YAML
// counts them.
func lineStarts(text []byte) []int {
	starts := []int{0}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n':
			continue // the next byte ends the line
		case text[i] == '\r', text[i] == '\n':
			starts = append(starts, i+1)
		case bytes.HasPrefix(text[i:], []byte("\u0085")):
			starts = append(starts, i+2)
		case bytes.HasPrefix(text[i:], []byte("\u2028")), bytes.HasPrefix(text[i:], []byte("\u2029")):
			starts = append(starts, i+3)
		}
	}
	return starts
}

// offset returns where a node begins. Nodes count lines and characters from 1.
func (s *source) offset(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(s.lines) {
		return 0, ErrPlace
	}
	line, column := s.text[s.lines[n.Line-1]:], 1
	for i := range string(line) {
		if column == n.Column {
			return s.lines[n.Line-1] + i, nil
		}
		column++
	}
	return 0, ErrPlace
}

func (s *source) decode(text []byte) (any, error) {
	if s.json {
		if !json.Valid(text) {
			return nil, ErrPlace
		}
		return decodeJSON(text)
	}
	data, err := sigsyaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlace, err)
	}
	return decodeJSON(data)
}

// set returns the edits that may set a value.
func (s *source) set(path []string, value any) ([]Edit, error) {
	at, key := s.root, (*yaml.Node)(nil)
	for i, elem := range path {
		if err := own(at); err != nil {
			return nil, err
		}
		k, v := entry(at, elem)
		switch {
		case repeated(at, elem):
			return nil, ErrPlace
		case v != nil:
			at, key = v, k
			continue
		case at.Kind == yaml.ScalarNode && at.Tag == "!!null" && key != nil:
			return s.fill(key, at, nest(path[i:], value))
		case at.Kind != yaml.MappingNode:
			return nil, ErrShape
		case merges(at):
			return nil, ErrAnchor
		}
		value = nest(path[i+1:], value)
		if at.Style&yaml.FlowStyle != 0 {
			return s.intoFlow(at, elem, value)
		}
		return s.intoBlock(at, elem, value)
	}
	if err := own(at); err != nil {
		return nil, err
	}
	if at.Kind != yaml.ScalarNode {
		return nil, ErrShape
	}
	if at.Tag == "!!null" && key != nil {
		return s.fill(key, at, value)
	}
	return s.replace(at, value)
}

// own says whether a node stands for itself alone.
func own(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return ErrAnchor
	}
	if n.Style&yaml.TaggedStyle != 0 {
		return ErrShape
	}
	return nil
}

// merges says whether a mapping has keys from elsewhere.
func merges(n *yaml.Node) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Tag == "!!merge" {
			return true
		}
	}
	return false
}

func entry(n *yaml.Node, elem string) (key, value *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == elem {
				return n.Content[i], n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(elem); err == nil && i >= 0 && i < len(n.Content) {
			return nil, n.Content[i]
		}
	}
	return nil, nil
}

// repeated says whether a mapping has a key twice.
func repeated(n *yaml.Node, name string) bool {
	times := 0
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			times++
		}
	}
	return times > 1
}

// nest returns a value in mappings that have the names of a path.
func nest(path []string, value any) any {
	for _, name := range slices.Backward(path) {
		value = map[string]any{name: value}
	}
	return value
}

// replace puts a scalar in the place of another.
func (s *source) replace(n *yaml.Node, value any) ([]Edit, error) {
	at, err := s.offset(n)
	if err != nil {
		return nil, err
	}
	end, err := s.scalarEnd(n, at)
	if err != nil {
		return nil, err
	}
	text, isText := value.(string)
	switch {
	case isText && !s.json && n.Style&yaml.SingleQuotedStyle != 0 && !strings.ContainsAny(text, "\n\r\t"):
		return []Edit{{at, end, "'" + strings.ReplaceAll(text, "'", "''") + "'"}}, nil
	case isText && n.Style&yaml.DoubleQuotedStyle != 0:
		return []Edit{{at, end, jsonText(text, "", "")}}, nil
	}
	return []Edit{{at, end, s.flow(value)}}, nil
}

// scalarEnd returns where a scalar ends that begins at an offset.
func (s *source) scalarEnd(n *yaml.Node, at int) (int, error) {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, ErrShape
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		if end := quoteEnd(s.text, at); end > 0 {
			return end, nil
		}
	case n.Value != "" && bytes.HasPrefix(s.text[at:], []byte(n.Value)):
		return at + len(n.Value), nil
	}
	return 0, ErrPlace
}

// quoteEnd returns the offset behind the quote that closes the one at an
// offset, or 0.
func quoteEnd(text []byte, at int) int {
	if at >= len(text) || text[at] != '\'' && text[at] != '"' {
		return 0
	}
	quote := text[at]
	for i := at + 1; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return 0
}

// fill gives a value to a key that has none.
func (s *source) fill(key, null *yaml.Node, value any) ([]Edit, error) {
	if null.Value != "" {
		return s.replace(null, value)
	}
	at, err := s.offset(key)
	if err != nil {
		return nil, err
	}
	if at, err = s.scalarEnd(key, at); err != nil {
		return nil, err
	}
	for at < len(s.text) && s.text[at] == ' ' {
		at++
	}
	if at >= len(s.text) || s.text[at] != ':' {
		return nil, ErrPlace
	}
	at++
	edits := []Edit{{at, at, " " + s.flow(value)}}
	if deep, ok := value.(map[string]any); ok {
		end, eol, open := s.lineEnd(at)
		edits = slices.Insert(edits, 0, lines(end, eol, open, block(deep, key.Column+1)))
	}
	return edits, nil
}

// lineEnd returns the offset behind the line of an offset, how its lines end,
// and whether the line has no end of its own, as the last of a file.
func (s *source) lineEnd(at int) (end int, eol string, open bool) {
	eol = "\n"
	if first := bytes.IndexByte(s.text, '\n'); first > 0 && s.text[first-1] == '\r' {
		eol = "\r\n"
	}
	n := bytes.IndexByte(s.text[at:], '\n')
	if n < 0 {
		return len(s.text), eol, true
	}
	return at + n + 1, eol, false
}

// lines returns the edit that inserts lines, which end in "\n", before an
// offset at which a line begins, or behind the last line.
func lines(at int, eol string, open bool, text string) Edit {
	if open {
		text = "\n" + strings.TrimSuffix(text, "\n")
	}
	return Edit{at, at, strings.ReplaceAll(text, "\n", eol)}
}

// block returns a mapping in block style, indented by a number of spaces.
func block(value map[string]any, indent int) string {
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if e.Encode(numbers(value)) != nil || e.Close() != nil {
		return "" // mappings, lists and scalars always encode
	}
	var all strings.Builder
	for line := range strings.Lines(text.String()) {
		if strings.TrimSpace(line) != "" {
			all.WriteString(strings.Repeat(" ", indent))
		}
		all.WriteString(line)
	}
	return all.String()
}

// numbers returns a value whose numbers the YAML library writes as such.
func numbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // of a float64 that JSON wrote
		return f
	case map[string]any:
		all := map[string]any{}
		for k, item := range v {
			all[k] = numbers(item)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = numbers(item)
		}
		return all
	}
	return value
}

// flow returns a value on one line.
func (s *source) flow(value any) string {
	if s.json {
		return jsonText(value, "", "")
	}
	text, err := yaml.Marshal(struct {
		Value any `yaml:"value,flow"` // the style is a member's
	}{numbers(value)})
	if err != nil {
		return "" // as of block
	}
	return strings.TrimSpace(strings.TrimPrefix(string(text), "value: "))
}

// jsonText returns a value as JSON, on one line if there is no indentation.
func jsonText(value any, prefix, indent string) string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, indent)
	if e.Encode(value) != nil {
		return "" // as of block
	}
	return strings.TrimSpace(text.String())
}

// intoBlock inserts a key into a mapping whose keys have lines of their own:
// behind the scalars that it begins with, or at its end.
func (s *source) intoBlock(m *yaml.Node, key string, value any) ([]Edit, error) {
	if len(m.Content) == 0 {
		return nil, ErrPlace
	}
	first := m.Content[0]
	text := block(map[string]any{key: value}, first.Column-1)
	var edits []Edit
	add := func(at int) {
		end, eol, open := s.lineEnd(at)
		edits = append(edits, lines(end, eol, open, text))
	}
	lead := -1
	for i := 0; i+1 < len(m.Content); i += 2 {
		end := s.endOnLine(m.Content[i], m.Content[i+1])
		if end < 0 {
			break
		}
		lead = end
	}
	if lead >= 0 {
		add(lead)
	}
	if at, err := s.offset(m.Content[len(m.Content)-2]); err == nil {
		add(s.blockEnd(at, first.Column-1))
	}
	return edits, nil
}

// endOnLine returns where a scalar ends that stands on the line of its key, or
// -1.
func (s *source) endOnLine(key, value *yaml.Node) int {
	if value.Kind != yaml.ScalarNode || value.Line != key.Line {
		return -1
	}
	at, err := s.offset(value)
	if err != nil {
		return -1
	}
	end, err := s.scalarEnd(value, at)
	if err != nil || bytes.IndexByte(s.text[at:end], '\n') >= 0 {
		return -1
	}
	return end
}

// blockEnd returns an offset in the last line of what belongs to the key at an
// offset: the lines below that are indented deeper, or are items of its list.
func (s *source) blockEnd(key, indent int) int {
	last, _, _ := s.lineEnd(key)
	last--
	for at := last + 1; at < len(s.text); {
		end, _, _ := s.lineEnd(at)
		line := string(s.text[at:end])
		bare := strings.TrimLeft(line, " ")
		deep := len(line) - len(bare)
		switch text := strings.TrimSpace(bare); {
		case text == "":
		case deep > indent, deep == indent && (text == "-" || strings.HasPrefix(text, "- ")),
			deep == indent && strings.IndexByte("]}", text[0]) >= 0:
			last = end - 1
		default:
			return last
		}
		at = end
	}
	return last
}

// intoFlow inserts a key into a mapping in braces.
func (s *source) intoFlow(m *yaml.Node, key string, value any) ([]Edit, error) {
	open, err := s.offset(m)
	if err != nil {
		return nil, err
	}
	if open >= len(s.text) || s.text[open] != '{' {
		return nil, ErrPlace
	}
	in, ok := scan(s.text, open)
	if !ok {
		return nil, ErrPlace
	}
	pair := strings.TrimSuffix(strings.TrimPrefix(s.flow(map[string]any{key: value}), "{"), "}")
	if len(m.Content) == 0 {
		return []Edit{{open + 1, open + 1, pair}}, nil
	}
	first, err := s.offset(m.Content[0])
	if err != nil {
		return nil, err
	}
	if s.json && bytes.Contains(s.text[first:in.last], []byte(": ")) {
		pair = jsonText(key, "", "") + ": " + jsonText(value, "", "")
	}
	lineStart := bytes.LastIndexByte(s.text[:first], '\n') + 1
	if lead := string(s.text[lineStart:first]); lineStart > open && strings.TrimSpace(lead) == "" {
		_, eol, _ := s.lineEnd(open)
		if s.json { // a value of several lines is indented as its neighbours are
			above := string(s.text[bytes.LastIndexByte(s.text[:open], '\n')+1 : open])
			above = above[:len(above)-len(strings.TrimLeft(above, " \t"))]
			pair = jsonText(key, "", "") + ": " +
				strings.ReplaceAll(jsonText(value, lead, strings.TrimPrefix(lead, above)), "\n", eol)
		}
		edits := []Edit{{in.last, in.last, "," + eol + lead + pair}}
		if in.comma {
			edits[0].Text = eol + lead + pair + ","
		}
		if in.comment { // which would move to another line
			edits = slices.Insert(edits, 0, Edit{first, first, pair + "," + eol + lead})
		}
		return edits, nil
	}
	comma := ", "
	if s.json && !bytes.Contains(s.text[first:in.last], []byte(": ")) {
		comma = ","
	}
	if in.comma {
		comma = " "
	}
	return []Edit{{in.last, in.last, comma + pair}, {first, first, pair + ", "}}, nil
}

// find finds the key at a path, which is there, its value and the mapping that has
// it.
func (s *source) find(path []string) (holder, key, value *yaml.Node, err error) {
	at := s.root
	for _, elem := range path[:len(path)-1] {
		if err := own(at); err != nil {
			return nil, nil, nil, err
		}
		_, v := entry(at, elem)
		switch {
		case repeated(at, elem):
			return nil, nil, nil, ErrPlace
		case v == nil: // a merge brings it
			return nil, nil, nil, ErrAnchor
		}
		at = v
	}
	if err := own(at); err != nil {
		return nil, nil, nil, err
	}
	name := path[len(path)-1]
	key, value = entry(at, name)
	switch {
	case repeated(at, name):
		return nil, nil, nil, ErrPlace
	case key == nil:
		return nil, nil, nil, ErrAnchor
	}
	return at, key, value, nil
}

// remove returns the edit that takes out the key at a path, which is there. The
// comment on its last line goes, too, if that is known elsewhere.
func (s *source) remove(path []string, commented bool) (Edit, error) {
	at, key, _, err := s.find(path)
	if err != nil {
		return Edit{}, err
	}
	start, err := s.offset(key)
	if err != nil {
		return Edit{}, err
	}
	i := slices.Index(at.Content, key)
	next := -1 // where the key behind it begins
	if i+2 < len(at.Content) {
		if next, err = s.offset(at.Content[i+2]); err != nil {
			return Edit{}, err
		}
	}
	if at.Style&yaml.FlowStyle != 0 {
		return s.outOfFlow(at, start, next)
	}
	line := bytes.LastIndexByte(s.text[:start], '\n') + 1
	end, _, _ := s.lineEnd(s.blockEnd(start, key.Column-1))
	comment := bytes.IndexByte(s.text[start:end], '#')
	if last := bytes.LastIndexByte(bytes.TrimRight(s.text[start:end], "\r\n"), '\n'); commented && comment > last {
		comment = -1
	}
	if comment >= 0 {
		if scalar := s.endOnLine(key, at.Content[i+1]); scalar < 0 || scalar > start+comment ||
			bytes.IndexByte(s.text[start:end-1], '\n') >= 0 {
			return Edit{}, ErrPlace
		}
		return Edit{start, start + comment, ""}, nil
	}
	if len(bytes.TrimSpace(s.text[line:start])) == 0 {
		return Edit{line, end, ""}, nil
	}
	// It begins an item of a list, and the next key does so in its place.
	if next < end || len(bytes.TrimSpace(s.text[end:next])) > 0 {
		return Edit{}, ErrPlace
	}
	return Edit{start, next, ""}, nil
}

// outOfFlow takes a key out of a mapping in braces: to the next key, or from the
// comma before it. A comment there might be another key's.
func (s *source) outOfFlow(m *yaml.Node, start, next int) (Edit, error) {
	e := Edit{start, next, ""}
	if next < 0 {
		open, err := s.offset(m)
		if err != nil {
			return Edit{}, err
		}
		in, ok := scan(s.text, open)
		before := bytes.TrimRight(s.text[:start], " \t\r\n")
		if !ok || !bytes.HasSuffix(before, []byte(",")) {
			return Edit{}, ErrPlace
		}
		e.Start, e.End = len(before)-1, in.last
	}
	if e.End < e.Start || !s.json && bytes.ContainsAny(s.text[e.Start:e.End], "#") {
		return Edit{}, ErrPlace
	}
	return e, nil
}

// A span is what stands between braces.
type span struct {
	last    int  // the offset behind the last character that is no space and no comment
	comma   bool // that character is a comma
	comment bool // a comment follows it
}

// scan finds the end of what stands in the bracket or brace at an offset.
func scan(text []byte, open int) (in span, ok bool) {
	depth, word := 0, false // word: in a scalar without quotes
	for i := open; i < len(text); i++ {
		c := text[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			word = word && c != '\n'
			continue
		case c == '#' && strings.IndexByte(" \t\n", text[i-1]) >= 0:
			in.comment, word = true, false
			n := bytes.IndexByte(text[i:], '\n')
			if n < 0 {
				return in, false
			}
			i += n
			continue
		case !word && (c == '"' || c == '\''):
			end := quoteEnd(text, i)
			if end == 0 {
				return in, false
			}
			i = end - 1
		case c == '{' || c == '[':
			depth, word = depth+1, false
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return in, true
			}
			word = false
		case c == ',' || c == ':' && i+1 < len(text) && strings.IndexByte(" \t\r\n,[]{}\"'", text[i+1]) >= 0:
			word = false
		default:
			word = true
		}
		in.last, in.comma, in.comment = i+1, c == ',', false
	}
	return in, false
}
