package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
)

// JSON writes the report as its schema, docs/report.schema.json, says.
func (r *Report) JSON(w io.Writer) error {
	doc := *r
	rest := tails{
		`  "findings": [`: cut(&doc.Findings),
		`  "exempted": [`: cut(&doc.Exempted),
	}
	if r.Inventory != nil {
		inv := *r.Inventory
		doc.Inventory = &inv
		rest[`    "statefulSets": [`] = cut(&inv.StatefulSets)
		rest[`    "claims": [`] = cut(&inv.Claims)
		rest[`    "volumes": [`] = cut(&inv.Volumes)
		rest[`    "owners": [`] = cut(&inv.Owners)
	}
	if err := writeJSON(w, doc, rest); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// Tails are the rests of long lists, by the line of the document that opens the
// list. The first item stands in the document.
type tails map[string]iter.Seq[any]

// cut leaves of a list its first item, and returns the rest.
func cut[T any](list *[]T) iter.Seq[any] {
	all := *list
	*list = all[:min(1, len(all))]
	return func(yield func(any) bool) {
		for i := 1; i < len(all) && yield(&all[i]); i++ {
		}
	}
}

// writeJSON writes a document and its tails as encoding/json does with an indent
// of two spaces, but has one item of a tail in memory at a time: encoding/json
// makes the whole text first, twice, which for a large cluster is 500 MiB.
func writeJSON(w io.Writer, document any, rest tails) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	buf := bufio.NewWriter(w)
	var tail iter.Seq[any] // of the list that the line is in
	indent, newline := "", ""
	for line := range strings.SplitSeq(string(text), "\n") {
		switch {
		case rest[line] != nil:
			tail, indent = rest[line], line[:strings.IndexByte(line, '"')]
		case tail != nil && strings.TrimSuffix(line, ",") == indent+"]":
			for item := range tail {
				text, err := json.MarshalIndent(item, indent+"  ", "  ")
				if err != nil {
					return err
				}
				fmt.Fprintf(buf, ",\n%s  %s", indent, text)
			}
			tail = nil
		}
		buf.WriteString(newline)
		buf.WriteString(line)
		newline = "\n"
	}
	buf.WriteString("\n")
	return buf.Flush()
}
