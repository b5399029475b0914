package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Markdown writes the report as Markdown, for a comment or the summary of a job.
func (r *Report) Markdown(w io.Writer) error {
	buf := bufio.NewWriter(w)
	fmt.Fprintf(buf, "## stayput %s\n\n%s\n", r.Command, escapeMarkdown(r.Sentence()))
	if r.Kubernetes != "" {
		fmt.Fprintf(buf, "\nReviewed for Kubernetes %s.\n", escapeMarkdown(r.Kubernetes))
	}
	if len(r.Findings) > 0 {
		fmt.Fprint(buf, "\n| Level | Where | Finding | Fix |\n|---|---|---|---|\n")
		for i := range r.Findings {
			f := &r.Findings[i]
			where := codeSpan(f.Object.String())
			if f.Location != nil {
				where += "<br>" + codeSpan(f.Location.lineText())
				if from := f.Location.Template; from != "" {
					where += "<br>from " + codeSpan(from)
				}
			}
			fmt.Fprintf(buf, "| %s | %s | **%s** %s | %s |\n", f.Level, where, f.Rule, escapeMarkdown(f.Message),
				codeSpan(f.Remedy))
		}
	}
	section := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(buf, "\n<details><summary>%s</summary>\n\n", title)
		for _, line := range lines {
			fmt.Fprintf(buf, "- %s\n", line)
		}
		fmt.Fprint(buf, "\n</details>\n")
	}
	var errs, exempted, skipped []string
	for _, p := range r.Errors {
		errs = append(errs, escapeMarkdown(p.String()))
	}
	for _, e := range r.Exempted {
		exempted = append(exempted, fmt.Sprintf("%s **%s** by %s: %s", codeSpan(e.Object.String()), e.Rule, e.By,
			escapeMarkdown(e.Reason)))
	}
	for _, s := range r.Skipped {
		skipped = append(skipped, fmt.Sprintf("**%s** for %s: %s", s.Rule, count(s.Objects, "object"),
			escapeMarkdown(s.Reason)))
	}
	section(count(len(errs), "error"), errs)
	section(fmt.Sprintf("%d exempted", len(exempted)), exempted)
	section(count(len(skipped), "rule")+" skipped", skipped)
	var others []string
	for kind, n := range r.others() {
		others = append(others, fmt.Sprintf("%d %s", n, codeSpan(kind)))
	}
	section(count(sum(r.Summary.Others), "object")+" not reviewed, of kinds that no rule is about", others)
	if inv := r.Inventory; inv != nil {
		inv.markdown(buf)
		unneeded := inv.unneeded()
		lines := unneededLines(unneeded)
		for i := range lines {
			lines[i] = escapeMarkdown(lines[i])
		}
		section(unneededTitle(unneeded), lines)
	}
	return buf.Flush()
}

func (inv *Inventory) markdown(w io.Writer) {
	fmt.Fprintf(w, "\n### Inventory\n\n%s, %s, %s of %s\n", count(len(inv.StatefulSets), "StatefulSet"),
		count(len(inv.Claims), "claim"), count(len(inv.Volumes), "volume"), inv.Total())
	if len(inv.Owners) > 0 {
		fmt.Fprint(w, "\n| Custom resource | If deleted | Fix |\n|---|---|---|\n")
		for i := range inv.Owners {
			o := &inv.Owners[i]
			fmt.Fprintf(w, "| %s | %s | %s |\n", codeSpan(o.String()), escapeMarkdown(o.Sentence()), codeSpan(o.Remedy))
		}
	}
	for _, why := range inv.UnreadOwners {
		fmt.Fprintf(w, "\nOwners that could not be read: %s\n", escapeMarkdown(why))
	}
	if len(inv.Claims) == 0 {
		return
	}
	fmt.Fprint(w, "\n| Claim | StatefulSet | Size | Class | If deleted | Needed |\n|---|---|---|---|---|---|\n")
	for _, c := range inv.Claims {
		needed := "yes"
		if !c.Needed {
			needed = strings.TrimSuffix("no, "+c.sinceUnused(), ", ")
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", codeSpan(c.Namespace+"/"+c.Name), codeSpan(c.StatefulSet),
			c.Capacity, codeSpan(c.Class), c.Fate, needed)
	}
}

// escapeMarkdown escapes text of a manifest, so that it contains no markup, no
// mention of a user, and cannot end a cell of a table.
func escapeMarkdown(s string) string {
	return markdownEscapes.Replace(clean(s))
}

var markdownEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "&#64;", "|", `\|`, "`", "\\`",
	"*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "#", `\#`, "~", `\~`, "!", `\!`, "\\", `\\`)

// codeSpan returns text between more backticks than it contains in a row.
func codeSpan(s string) string {
	if s = clean(s); strings.TrimSpace(s) == "" {
		return ""
	}
	ticks := "`"
	for strings.Contains(s, ticks) {
		ticks += "`"
	}
	if len(ticks) > 1 {
		s = " " + s + " "
	}
	return ticks + strings.ReplaceAll(s, "|", `\|`) + ticks
}
