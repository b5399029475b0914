package manifest

import (
	"fmt"
	"strconv"

	yaml "go.yaml.in/yaml/v3"
)

// A RepeatedError is a field that is written twice. The last one counts.
type RepeatedError struct {
	Field       string // its path
	First, Last int    // its lines in the file
}

// Error implements error.
func (e *RepeatedError) Error() string {
	return fmt.Sprintf("%s is written twice, on lines %d and %d: only the last one counts", e.Field, e.First, e.Last)
}

// repeated returns a [*RepeatedError] for each key that is written twice in a
// mapping.
func (d *document) repeated() (all []error) {
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
				if path != "" {
					at = path + "." + key.Value
				}
				line := d.line + key.Line - 1
				if before, twice := first[key.Value]; twice {
					all = append(all, &RepeatedError{at, before, line})
				}
				first[key.Value] = line
				walk(node.Content[i+1], at)
			}
		}
	}
	if root := d.node(); root != nil {
		walk(root, "")
	}
	return all
}
