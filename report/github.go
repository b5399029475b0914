package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// GitHub writes workflow commands, which GitHub shows as annotations on the
// lines of a pull request.
func (r *Report) GitHub(w io.Writer) error {
	buf := bufio.NewWriter(w)
	for i := range r.Findings {
		f := &r.Findings[i]
		command := "warning"
		if f.Denies() {
			command = "error"
		}
		message := clean(f.Object.String() + ": " + f.Message)
		if f.Remedy != "" {
			message += "\nfix: " + clean(f.Remedy)
		}
		if f.Location != nil && f.Location.Template != "" {
			message += "\nfrom: " + clean(f.Location.Template)
		}
		annotate(buf, command, f.Location, f.Rule, message)
	}
	for _, p := range r.Errors {
		annotate(buf, "error", &Location{File: p.File, Line: p.Line}, "unreadable", p.Message)
	}
	for _, s := range r.Skipped {
		annotate(buf, "notice", nil, s.Rule+" skipped", fmt.Sprintf("for %s: %s", count(s.Objects, "object"), s.Reason))
	}
	for kind, n := range r.others() {
		annotate(buf, "notice", nil, "not reviewed", count(n, "object")+" of kind "+kind)
	}
	sentence := r.Sentence()
	if r.Kubernetes != "" {
		sentence += "; reviewed for Kubernetes " + r.Kubernetes
	}
	annotate(buf, "notice", nil, "stayput "+r.Command, sentence)
	return buf.Flush()
}

// A workflow command ends at the end of the line, and each of its properties ends
// at a comma or a colon.
var (
	escapeMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func annotate(w io.Writer, command string, at *Location, title, message string) {
	var properties []string
	add := func(key, value string) { properties = append(properties, key+"="+escapeProperty.Replace(clean(value))) }
	if at != nil && at.File != "" {
		add("file", at.File)
		if at.Line > 0 && !at.Rendered {
			add("line", fmt.Sprint(at.Line))
		}
		if at.Column > 0 && !at.Rendered {
			add("col", fmt.Sprint(at.Column))
			add("endColumn", fmt.Sprint(at.EndColumn))
		}
	}
	add("title", title)
	var lines []string
	for line := range strings.SplitSeq(message, "\n") {
		lines = append(lines, clean(line))
	}
	fmt.Fprintf(w, "::%s %s::%s\n", command, strings.Join(properties, ","),
		escapeMessage.Replace(strings.Join(lines, "\n")))
}
