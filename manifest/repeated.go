package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A RepeatedError is a field that is written twice. The last one counts.
type RepeatedError struct {
	Field string   // its path in the object
	First int      // the line of the first one in the file
	Last  Position // of the one that counts
}

// Error implements error.
func (e *RepeatedError) Error() string {
	return fmt.Sprintf("%s is written twice, on lines %d and %d: only the last one counts", e.Field, e.First, e.Last.Line)
}

// repeated returns a [*RepeatedError] for each key that is written twice in a
// mapping of the object, or, for the first item of a List, of what the List has
// besides its items.
func (m Manifest) repeated() (all []error) {
	var walk func(node *yaml.Node, path string)
	walk = func(node *yaml.Node, path string) {
		switch node.Kind {
		case yaml.SequenceNode:
			for i, item := range node.Content {
				walk(item, path+"["+strconv.Itoa(i)+"]")
			}
		case yaml.MappingNode:
			first := map[string]int{}
			for i := 0; i+1 < len(node.Content); i += 2 {
				key, at := node.Content[i], node.Content[i].Value
				switch {
				case strings.ContainsAny(at, "./"):
					at = path + "[" + at + "]"
				case path != "":
					at = path + "." + at
				}
				line := m.doc.line + key.Line - 1
				if before, twice := first[key.Value]; twice {
					all = append(all, &RepeatedError{at, before, m.span(key, node.Content[i+1])})
				}
				first[key.Value] = line
				walk(node.Content[i+1], at)
			}
		}
	}
	if root := m.root(); root != nil {
		walk(root, "")
	}
	list := m.doc.node()
	if m.item != 0 || list == nil || list.Kind != yaml.MappingNode {
		return all
	}
	outside := *list
	outside.Content = slices.Clone(list.Content)
	for i := 1; i < len(outside.Content); i += 2 {
		if outside.Content[i-1].Value == "items" {
			outside.Content[i] = &yaml.Node{Kind: yaml.ScalarNode}
		}
	}
	walk(&outside, "")
	return all
}

// unknown returns what a strict decoder complains of, with the places of keys that
// are written twice.
func (m Manifest) unknown(errs []error) (all []error) {
	repeats := false
	for _, err := range errs {
		if strings.HasPrefix(err.Error(), "duplicate field ") {
			repeats = true
			continue
		}
		all = append(all, err)
	}
	if repeats {
		all = append(m.repeated(), all...)
	}
	return all
}
