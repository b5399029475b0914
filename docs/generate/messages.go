package main

import (
	"bytes"
	"fmt"
	"slices"

	"stayput.dev/validators"
)

// messages returns every message that rules give about their testdata, each
// once: a paragraph for each rule, which begins with its name, with the remedy
// below each message. The command line prints it: stayput rules --messages.
func messages(root string) ([]byte, error) {
	var page bytes.Buffer
	for i, r := range validators.All {
		data, err := replayOf(root, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		if i > 0 {
			page.WriteByte('\n')
		}
		fmt.Fprintf(&page, "%s (%s): %s\n", r.Name, r.Level, r.Title())
		var said []string
		for _, f := range slices.Concat(data.findings...) {
			text := fmt.Sprintf("  %s: %s\n    fix: %s\n", f.Level, f.Error, f.Remedy)
			if !slices.Contains(said, text) {
				said = append(said, text)
				page.WriteString(text)
			}
		}
	}
	return page.Bytes(), nil
}
