package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	yaml "go.yaml.in/yaml/v3"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
	sigsyaml "sigs.k8s.io/yaml"
)

// A refusal is a part of a stream that kubectl refuses, together with all that
// follows.
type refusal struct {
	line int
	why  string
}

// split cuts a stream into documents, where kubectl cuts it: first JSON values,
// as long as they follow each other; from then on YAML with --- between
// documents. A byte order mark is removed, and UTF-16, which PowerShell writes,
// is converted. The parts that kubectl refuses are returned in refused, and are
// cut as other tools do, so that the rest can be reviewed all the same. The
// texts of UTF-8 are parts of data, not copies.
//
// Source: k8s.io/apimachinery@v0.37.1 pkg/util/yaml/decoder.go.
func split(data []byte) (docs []*document, refused []refusal, err error) {
	whole := &source{data: data}
	if text, marked := bytes.CutPrefix(data, []byte(byteOrderMark)); marked {
		data, whole.before = text, len(byteOrderMark)
	} else if bytes.HasPrefix(data, []byte{0xfe, 0xff}) || bytes.HasPrefix(data, []byte{0xff, 0xfe}) {
		whole.converted = true
		if data, _, err = transform.Bytes(unicode.BOMOverride(transform.Nop), data); err != nil {
			return nil, nil, err
		}
	}
	docs, rest, line, why := splitJSON(data)
	if why != "" {
		refused = append(refused, refusal{line, why})
	}
	if rest != nil {
		more, bad := splitYAML(rest, line)
		for _, doc := range more {
			doc.start += len(data) - len(rest)
		}
		docs, refused = append(docs, more...), append(refused, bad...)
	}
	for _, doc := range docs {
		doc.source, doc.start = whole, doc.start+whole.before
	}
	whole.docs = docs
	return docs, refused, nil
}

const byteOrderMark = "\ufeff"

// splitJSON cuts JSON values off the beginning of a stream. If the stream does
// not begin with one, it is left to YAML, which includes JSON and whose parser
// names the line of a mistake: rest is nil if nothing is left. Behind the
// second value, kubectl no longer tries YAML: then why is the reason of its
// refusal.
func splitJSON(data []byte) (docs []*document, rest []byte, line int, why string) {
	line = 1
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, data, line, ""
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	for at := 0; ; {
		var value json.RawMessage
		err := dec.Decode(&value)
		switch {
		case errors.Is(err, io.EOF):
			return docs, nil, line, ""
		case err != nil && len(docs) > 1:
			blank := len(data[at:]) - len(bytes.TrimLeft(data[at:], " \t\r\n"))
			line += bytes.Count(data[at:at+blank], []byte("\n"))
			return docs, data[at+blank:], line, fmt.Sprintf("kubectl refuses what follows %d JSON objects and is no JSON",
				len(docs))
		case err != nil:
			for at < len(data) && bytes.IndexByte([]byte(" \t\r"), data[at]) >= 0 {
				at++
			}
			if len(docs) > 0 && at < len(data) && data[at] == '\n' {
				at, line = at+1, line+1
			}
			return docs, data[at:], line, ""
		}
		end := int(dec.InputOffset())
		// The white space before the value is kept: its columns count.
		docs = append(docs, &document{text: data[at:end:end], start: at, line: line, json: true})
		line += bytes.Count(data[at:end], []byte("\n"))
		at = end
	}
}

const (
	inlineDocument = "kubectl refuses a document that begins on the line of its ---, and all that follow; fix: put it " +
		"on the next line"
	directive = "kubectl refuses a %YAML or %TAG directive, and all that follows; fix: remove it"
)

// splitYAML cuts a stream at the lines that begin with ---. Each document
// begins with that line.
func splitYAML(data []byte, line int) (docs []*document, refused []refusal) {
	start, first := 0, line
	body := 0 // where kubectl's document begins: behind the ---, unless nothing is before it
	cut := func(end int) {
		doc := &document{text: data[start:end:end], start: start, line: first}
		judged := data[min(body, end):end]
		if bad, at := doc.refused(judged); bad {
			refused = append(refused, refusal{at, directive})
		}
		doc.left = leftOut(judged, first+bytes.Count(data[start:min(body, end)], []byte("\n")))
		docs = append(docs, doc)
	}
	for at := 0; at < len(data); line++ {
		end := len(data)
		if n := bytes.IndexByte(data[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		if rest, ok := bytes.CutPrefix(data[at:end], []byte("---")); ok {
			if at > start {
				cut(at)
			}
			empty := at == body
			start, first, body = at, line, end
			if empty {
				body = at
			}
			switch text := bytes.TrimSpace(rest); {
			case len(text) == 0 || text[0] == '#':
			case rest[0] == ' ' || rest[0] == '\t':
				refused = append(refused, refusal{line, inlineDocument})
			default: // a document marker only for kubectl
				refused = append(refused, refusal{line,
					fmt.Sprintf("kubectl takes a line that begins with --- for the end of a document, and refuses %q behind it",
						text)})
				start, first, body = end, line+1, end
			}
		}
		at = end
	}
	cut(len(data))
	return docs, refused
}

// refused says whether kubectl refuses a document that holds only comments and
// directives, and the line in the file of the first of these.
func (d *document) refused(judged []byte) (bad bool, line int) {
	if !bytes.Contains(judged, []byte("%")) || !d.empty() {
		return false, 0
	}
	for i, text := range slices.Collect(bytes.Lines(d.text)) {
		if text[0] == '%' {
			_, err := sigsyaml.YAMLToJSON(judged)
			return err != nil, d.line + i
		}
	}
	return false, 0
}

// leftOut returns the line of text behind the end of the first document in a
// text that kubectl reads as one document, or 0: text behind ..., or behind the
// brace that closes a JSON object. kubectl drops it silently.
func leftOut(text []byte, line int) int {
	if !mayHoldMore(text) {
		return 0
	}
	var node yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if dec.Decode(&node) != nil {
		return 0 // decoding reports the error
	}
	at := line
	switch err := dec.Decode(&node); {
	case errors.Is(err, io.EOF):
		return 0
	case err != nil:
		if m := lineOf().FindStringSubmatch(err.Error()); m[1] != "" {
			n, _ := strconv.Atoi(m[1]) // digits; what the parser says counts lines from 0
			at += n
		}
	case len(node.Content) == 0 || node.Content[0].Tag == "!!null":
		return 0
	default:
		at += node.Content[0].Line - 1
	}
	n := line
	for text := range bytes.Lines(text) {
		if text = bytes.TrimRight(text, "\r\n"); n >= at && !marks(text, "...") && !(&document{text: text}).empty() {
			return n
		}
		n++
	}
	return 0 // a directive alone has no content
}

// mayHoldMore says whether a text has a line that ends a document, or begins
// with a value that has a closing brace, bracket or quote. Hardly any text
// does.
func mayHoldMore(text []byte) bool {
	begun := false
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if marks(line, "...") {
			return true
		}
		if marks(line, "---") {
			line = line[len("---"):]
		}
		line = bytes.TrimSpace(line)
		if begun || len(line) == 0 || line[0] == '#' || line[0] == '%' {
			continue
		}
		if begun = true; bytes.IndexByte([]byte(`{["'`), line[0]) >= 0 {
			return true
		}
	}
	return false
}

// marks says whether a line is a document marker, even with text behind it.
func marks(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t')
}
