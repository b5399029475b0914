package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rivo/uniseg"
)

// The still of a terminal: how wide it is in characters, and how large one is
// in user units.
const (
	columns   = 108
	charWidth = 785 // hundredths
	rowHeight = 19
	margin    = 20
)

const stillHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d"
	font-family="ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
	font-size="13" role="img" aria-labelledby="title desc">
  <title id="title">A denial, and what mends it</title>
  <desc id="desc">kubectl apply of a Deployment with three replicas and one hostname is denied, with the reason and the
    remedy. Mended so, every replica has a DNS name of its own.</desc>
  <!-- Generated from denial.txt by go run ./docs/generate: do not edit. -->
  <style>
    .screen { fill: #f6f8fa; stroke: #d0d7de; }
    text { fill: #1f2328; white-space: pre; }
    .command { font-weight: 700; }
    .quiet { fill: #57606a; }
    .denied { fill: #a40e26; }
    .fix { fill: #116329; font-weight: 700; }
    @media (prefers-color-scheme: dark) {
      .screen { fill: #0d1117; stroke: #30363d; }
      text { fill: #e6edf3; }
      .quiet { fill: #9da7b1; }
      .denied { fill: #ff9492; }
      .fix { fill: #7ee787; }
    }
  </style>
  <rect class="screen" x="0.5" y="0.5" width="%[3]d" height="%[4]d" rx="10"/>
`

// still returns the picture of what was recorded of the demo, line by line as a
// terminal shows it.
func still(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "images", "denial.txt"))
	if err != nil {
		return nil, err
	}
	type row struct{ class, text string }
	var rows []row
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		class := classOf(line)
		before, fix, found := strings.Cut(line, "; fix: ")
		for _, part := range wrap(before) {
			rows = append(rows, row{class, part})
		}
		if found {
			for _, part := range wrap("fix: " + fix) {
				rows = append(rows, row{"fix", part})
			}
		}
	}
	width, height := columns*charWidth/100+2*margin, len(rows)*rowHeight+2*margin
	var page bytes.Buffer
	fmt.Fprintf(&page, stillHead, width, height, width-1, height-1)
	for i, r := range rows {
		if r.text == "" {
			continue
		}
		fmt.Fprintf(&page, `  <text class="%s" x="%d" y="%d">`, r.class, margin, margin+(i+1)*rowHeight-5)
		if err := xml.EscapeText(&page, []byte(r.text)); err != nil {
			return nil, err
		}
		page.WriteString("</text>\n")
	}
	page.WriteString("</svg>\n")
	return page.Bytes(), nil
}

// classOf says what a line of the demo is.
func classOf(line string) string {
	switch {
	case strings.HasPrefix(line, "$ "):
		return "command"
	case strings.HasPrefix(line, "# "), strings.HasPrefix(line, "  | "):
		return "quiet"
	case strings.HasPrefix(line, "Error"):
		return "denied"
	}
	return "plain"
}

// wrap breaks a line that is wider than the terminal, between words.
func wrap(line string) (parts []string) {
	for uniseg.StringWidth(line) > columns {
		at := strings.LastIndexByte(line[:columns], ' ')
		if at <= 0 {
			at = columns
		}
		parts = append(parts, line[:at])
		line = strings.TrimPrefix(line[at:], " ")
	}
	return append(parts, line)
}
