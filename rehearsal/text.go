package rehearsal

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Finish puts what came in any order into one, and writes the configuration.
func (r *Rehearsal) Finish() {
	for _, list := range [][]*Denial{r.Denied, r.MadeAnew} {
		slices.SortStableFunc(list, func(a, b *Denial) int {
			return cmp.Or(strings.Compare(a.User, b.User), cmp.Compare(b.Times, a.Times), strings.Compare(a.Rule, b.Rule),
				strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Verb+a.Kind, b.Verb+b.Kind))
		})
	}
	slices.SortStableFunc(r.Left, func(a, b *Left) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Verb, b.Verb), strings.Compare(a.Why, b.Why))
	})
	r.Configuration = r.entries.yaml()
}

// Denies says whether anything would be denied.
func (r *Rehearsal) Denies() bool {
	return len(r.Denied)+len(r.MadeAnew) > 0 || slices.ContainsFunc(r.Trials, func(t *Trial) bool {
		return slices.ContainsFunc(t.Steps, func(s Step) bool { return len(s.Denied) > 0 })
	})
}

// JSON writes the rehearsal for programs.
func (r *Rehearsal) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text writes the rehearsal for people.
func (r *Rehearsal) Text(w io.Writer) error {
	buf := bufio.NewWriter(w)
	denials(buf, "denied, had enforce been on:", r.Denied)
	denials(buf, "denied, if the present objects were made anew:", r.MadeAnew)
	for _, t := range r.Trials {
		t.text(buf)
	}
	if len(r.Left) > 0 {
		fmt.Fprintln(buf, "not replayed, or roughly:")
		for _, l := range r.Left {
			fmt.Fprintf(buf, "  %d x %s %s: %s\n", l.Times, l.Verb, l.Kind, clean(l.Why))
		}
	}
	if r.Configuration != "" {
		fmt.Fprintf(buf, "configuration that lets them through, for a platform engineer to judge:\n\n%s\n", r.Configuration)
	}
	fmt.Fprintln(buf, r.Sentence())
	return buf.Flush()
}

func denials(w io.Writer, title string, list []*Denial) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	user := "\x00"
	for _, f := range list {
		if f.User != user {
			user = f.User
			fmt.Fprintf(w, "  %s\n", clean(cmp.Or(user, "nobody that the log knows")))
		}
		fmt.Fprintf(w, "    %d x %s\n      %s\n", f.Times, clean(f.what()), clean(f.Message))
	}
}

// what says what was asked, of what and where.
func (f *Denial) what() string {
	in, more := "", ""
	if f.Namespace != "" {
		in = " in " + f.Namespace
	}
	if f.Times > len(f.Objects) {
		more = ", ..."
	}
	return fmt.Sprintf("%s %s%s (%s%s)", f.Verb, f.Kind, in, strings.Join(f.Objects, ", "), more)
}

// clean replaces characters that could move the cursor of a terminal, because
// names come from the caller.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// Markdown writes the rehearsal for a ticket or a page.
func (r *Rehearsal) Markdown(w io.Writer) error {
	buf := bufio.NewWriter(w)
	fmt.Fprintf(buf, "## stayput rehearse\n\n%s\n", cell(r.Sentence()))
	table := func(title string, list []*Denial) {
		if len(list) == 0 {
			return
		}
		fmt.Fprintf(buf, "\n### %s\n\n| who | times | what | told |\n|---|---|---|---|\n", title)
		for _, f := range list {
			fmt.Fprintf(buf, "| %s | %d | %s | %s |\n", cell(cmp.Or(f.User, "nobody that the log knows")), f.Times,
				cell(f.what()), cell(f.Message))
		}
	}
	table("Denied, had enforce been on", r.Denied)
	table("Denied, if the present objects were made anew", r.MadeAnew)
	if len(r.Trials) > 0 {
		fmt.Fprint(buf, "\n### Tried\n\n| what | as | in enforce | the API server |\n|---|---|---|---|\n")
	}
	for _, t := range r.Trials {
		if t.As == "" {
			fmt.Fprintf(buf, "| %s | | nobody knows the account of its operator | |\n", cell(t.Owner))
		}
		for _, s := range t.Steps {
			fmt.Fprintf(buf, "| %s %s | %s | %s | %s |\n", s.Verb, cell(s.Object), cell(t.As),
				cell(cmp.Or(strings.Join(s.Denied, " "), "let through")), cell(cmp.Or(s.Server, "let through")))
		}
	}
	if len(r.Left) > 0 {
		fmt.Fprint(buf, "\n### Not replayed, or roughly\n\n| times | what | why |\n|---|---|---|\n")
		for _, l := range r.Left {
			fmt.Fprintf(buf, "| %d | %s %s | %s |\n", l.Times, l.Verb, l.Kind, cell(l.Why))
		}
	}
	if r.Configuration != "" {
		fmt.Fprintf(buf, "\n### Configuration that lets them through\n\nFor a platform engineer to judge.\n\n")
		for line := range strings.Lines(r.Configuration) { // indented, so that nothing in it ends it
			fmt.Fprintf(buf, "    %s\n", clean(strings.TrimSuffix(line, "\n")))
		}
	}
	return buf.Flush()
}

// cell returns text that means nothing to Markdown, in one line of a table.
func cell(s string) string {
	var b strings.Builder
	for _, c := range clean(s) {
		if strings.ContainsRune("\\`*_{}[]<>()#+!|~&@", c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}
