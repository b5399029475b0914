package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fatih/color"
	"github.com/rivo/uniseg"

	"stayput.dev/cluster"
)

// TextOptions control how Text writes a report.
type TextOptions struct {
	Coloured bool
	// Verbose lists the rules that were skipped, one by one.
	Verbose bool
}

// Text writes the report for people: each finding with the line of the manifest
// and the remedy, and a summary.
func (r *Report) Text(w io.Writer, opts TextOptions) error {
	buf := bufio.NewWriter(w)
	t := &textWriter{Writer: buf, p: newPalette(opts.Coloured), fixing: r.Fixing}
	for i := range r.Findings {
		t.finding(&r.Findings[i])
	}
	for _, e := range r.Exempted {
		fmt.Fprintf(t, "%s%s %s; exempted by %s: %s\n", t.where(&e.Finding), t.p.quiet("exempted:"),
			clean(e.Rule+": "+e.Message), e.By, clean(e.Reason))
	}
	if opts.Verbose {
		for _, c := range r.Changes {
			fmt.Fprintf(t, "%s %s\n", t.p.quiet(c.Review+":"), clean(c.Object.String()))
		}
	}
	t.skipped(r, opts.Verbose)
	if kinds := r.otherKinds(); kinds != "" {
		fmt.Fprintf(t, "%s %s; no rule is about these kinds\n", t.p.quiet("not reviewed:"), kinds)
	}
	for _, e := range r.Errors {
		fmt.Fprintf(t, "%s %s\n", t.p.deny("error:"), clean(e.String()))
	}
	if r.Inventory != nil {
		t.inventory(r.Inventory)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintf(t, "%s\n", t.p.quiet("more: stayput rules RULE explains a rule; --format html=report.html writes a page"))
	}
	if r.Kubernetes != "" {
		fmt.Fprintf(t, "%s Kubernetes %s\n", t.p.quiet("reviewed for:"), r.Kubernetes)
	}
	fmt.Fprintln(t, t.p.strong(r.Sentence()))
	return buf.Flush()
}

// skipped writes which rules could not be checked and what they need, on one
// line, because there may be many.
func (t *textWriter) skipped(r *Report, verbose bool) {
	if len(r.Skipped) == 0 {
		return
	}
	label := t.p.quiet("skipped:")
	if verbose {
		for _, s := range r.Skipped {
			fmt.Fprintf(t, "%s %s for %s: %s\n", label, s.Rule, count(s.Objects, "object"), clean(s.Reason))
		}
	} else {
		fmt.Fprintf(t, "%s %s, for want of: %s; --verbose lists them\n", label, count(r.skippedRules(), "rule"),
			clean(r.unknown()))
	}
	if r.Command == "lint" {
		fmt.Fprintln(t, t.p.quiet("         --against-cluster asks the cluster, --complete takes these manifests for all "+
			"that there is"))
	}
}

// unknown lists the reasons for which rules were skipped, each once.
func (r *Report) unknown() string {
	var kinds []string
	for _, s := range r.Skipped {
		kinds = append(kinds, strings.TrimSuffix(s.Reason, ": "+cluster.ErrUnknown.Error()))
	}
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), ", ")
}

type textWriter struct {
	io.Writer
	p      palette
	fixing bool
}

func (t *textWriter) where(f *Finding) string {
	if l := f.Location; l != nil {
		at := l.columnText() + ":"
		if l.Rendered || l.Line == 0 { // the line alone does not identify the object
			at += " " + clean(f.Object.String()) + ":"
		}
		return t.p.strong(at) + " "
	}
	return t.p.strong(clean(f.Object.String())+":") + " "
}

func (t *textWriter) finding(f *Finding) {
	level := t.p.deny
	if !f.Denies() {
		level = t.p.warn
	}
	fmt.Fprintf(t, "%s%s %s %s\n", t.where(f), level(f.Level+":"), t.p.strong(f.Rule+":"), clean(f.Message))
	if l := f.Location; l != nil && l.Text != "" {
		before, field, after := l.marked()
		number := fmt.Sprint(l.Line)
		fmt.Fprintf(t, "  %s %s%s%s\n", t.p.quiet(number+" |"), before, level(field), after)
		fmt.Fprintf(t, "  %s %s%s\n", t.p.quiet(strings.Repeat(" ", len(number))+" |"), blank(before),
			level(strings.Repeat("^", max(uniseg.StringWidth(field), 1))))
	}
	if l := f.Location; l != nil && l.Template != "" {
		fmt.Fprintf(t, "  %s %s\n", t.p.quiet("from:"), clean(l.Template))
	}
	if f.Remedy != "" {
		fmt.Fprintf(t, "  %s %s\n", t.p.fix("fix:"), clean(f.Remedy))
	}
	if t.fixing && f.Fix != nil && f.Fix.Unwritten != "" {
		fmt.Fprintf(t, "  %s %s\n", t.p.quiet("not written:"), clean(f.Fix.Unwritten))
	}
	fmt.Fprintln(t)
}

// blank returns white space as wide as s.
func blank(s string) string {
	var b strings.Builder
	for part := range strings.SplitAfterSeq(s, "\t") {
		rest, tab := strings.CutSuffix(part, "\t")
		b.WriteString(strings.Repeat(" ", uniseg.StringWidth(rest)))
		if tab {
			b.WriteByte('\t')
		}
	}
	return b.String()
}

// A palette colours text, or does not.
type palette struct {
	deny, warn, fix, quiet, strong func(string) string
}

func newPalette(coloured bool) palette {
	paint := func(attributes ...color.Attribute) func(string) string {
		c := color.New(attributes...)
		if coloured {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
		return func(s string) string { return c.Sprint(s) }
	}
	return palette{
		deny: paint(color.FgRed, color.Bold), warn: paint(color.FgYellow, color.Bold),
		fix: paint(color.FgGreen), quiet: paint(color.Faint), strong: paint(color.Bold),
	}
}

// inventory writes the most important parts of the inventory; JSON and HTML
// contain all of it.
func (t *textWriter) inventory(inv *Inventory) {
	fmt.Fprintf(t, "%s %s, %s, %s of %s\n", t.p.strong("inventory:"), count(len(inv.StatefulSets), "StatefulSet"),
		count(len(inv.Claims), "claim"), count(len(inv.Volumes), "volume"), inv.Total())
	section := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(t, "%s\n", t.p.strong(title+":"))
		for _, line := range lines {
			fmt.Fprintf(t, "  %s\n", clean(line))
		}
	}
	section("destroyed if the claim were deleted",
		claimLines(inv.Claims, func(c Claim) bool { return c.Fate == Destroyed }))
	section("forgotten if the claim were deleted, for the volume is being deleted, and goes with it",
		claimLines(inv.Claims, func(c Claim) bool { return c.Fate == Forgotten }))
	section("custom resources, and what their deletion takes with it", ownerLines(inv.Owners))
	section("owners that could not be read, so that what is said of them may lack something", inv.UnreadOwners)
	unneeded := inv.unneeded()
	section(unneededTitle(unneeded), unneededLines(unneeded))
	var released, names []string
	for _, v := range inv.Volumes {
		if v.Phase == "Released" {
			released = append(released, fmt.Sprintf("%s %s, was %s", v.Name, v.Capacity, v.Claim))
		}
	}
	section("Released volumes", released)
	for _, s := range inv.StatefulSets {
		if s.Unresolved != "" {
			names = append(names, fmt.Sprintf("%s/%s: %s", s.Namespace, s.Name, s.Unresolved))
		}
	}
	section("names that do not resolve", names)
}

func ownerLines(owners []Owner) (lines []string) {
	for i := range owners {
		o := &owners[i]
		lines = append(lines, o.String()+": "+o.Sentence())
		if o.Remedy != "" {
			lines = append(lines, "  fix: "+o.Remedy)
		}
	}
	return lines
}

func claimLines(claims []Claim, keep func(Claim) bool) (lines []string) {
	for _, c := range claims {
		if keep(c) {
			lines = append(lines, fmt.Sprintf("%s/%s %s", c.Namespace, c.Name, c.Capacity))
		}
	}
	return lines
}
