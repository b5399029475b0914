package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// page returns the whole document. Package gomponents escapes text and the values
// of attributes, and names from manifests are nowhere else. html/template would do
// the same, but uses reflection, because of which the linker keeps every method of
// every type: the program was half as large again.
func (v *htmlView) page() g.Node {
	policy := fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'",
		hash(style), hash(script))
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(g.Attr("http-equiv", "Content-Security-Policy"), h.Content(policy)),
			h.Meta(h.Name("referrer"), h.Content("no-referrer")),
			h.TitleEl(g.Textf("stayput %s: %d denials, %d warnings", v.Command, v.Summary.Denials, v.Summary.Warnings)),
			h.StyleEl(g.Raw(style)),
		),
		h.Body(
			h.Header(h.H1(g.Text("stayput "+v.Command)), h.P(h.Class("by"), g.Text(v.Sentence()),
				g.If(v.Time != "", g.Group{g.Text(" · "), h.Time(g.Text(v.Time))}))),
			h.Main(
				v.cards(),
				panel("Could not be read", v.Errors, func(e Problem) g.Node { return h.Code(g.Text(e.String())) }),
				h.H2(g.Text("At a glance")),
				h.Div(h.Class("charts"), v.namespaceChart(), v.ruleChart()),
				v.survivors(),
				v.unneeded(),
				v.owners(),
				h.H2(g.Text("Findings")), v.findingList(),
				panel("Exempted", v.Exempted, func(e Exempted) g.Node {
					return g.Textf("%s: %s, by %s: %s", e.Object, e.Rule, e.By,
						e.Reason)
				}),
				panel("Skipped", v.Skipped, func(s Skipped) g.Node {
					return g.Textf("%s, for %d: %s", s.Rule, s.Objects,
						s.Reason)
				}),
				panel("Not reviewed", v.otherList(), func(line string) g.Node { return g.Text(line) }),
				h.Footer(g.Text("stayput "+v.Version), g.If(v.Kubernetes != "",
					g.Text(", reviewed for Kubernetes "+v.Kubernetes))),
			),
			h.Script(g.Raw(script)),
		),
	))
}

// otherList says what was not reviewed, a line for each kind.
func (v *htmlView) otherList() (lines []string) {
	for kind, n := range v.others() {
		lines = append(lines, fmt.Sprintf("%d %s", n, clean(kind)))
	}
	return lines
}

// panel returns a panel of lines, or nothing if there are none.
func panel[T any](title string, items []T, line func(T) g.Node) g.Node {
	if len(items) == 0 {
		return nil
	}
	return g.Group{h.H2(g.Text(title)),
		h.Div(h.Class("panel"), h.Ul(g.Map(items, func(i T) g.Node { return h.Li(line(i)) })))}
}

// inTurn makes each element when it is written, because there may be a hundred
// thousand findings and claims.
func inTurn[T any](items []T, element func(*T) g.Node) g.Node {
	return g.NodeFunc(func(w io.Writer) error {
		for i := range items {
			if err := element(&items[i]).Render(w); err != nil {
				return err
			}
		}
		return nil
	})
}

func (v *htmlView) cards() g.Node {
	card := func(class, figure, of string) g.Node {
		return h.Div(h.Class("card"+class), h.B(g.Text(figure)), h.Span(g.Text(of)))
	}
	cards := g.Group{
		card(" deny", strconv.Itoa(v.Summary.Denials), "denials"),
		card(" warn", strconv.Itoa(v.Summary.Warnings), "warnings"),
		card("", strconv.Itoa(v.Summary.Objects), "objects reviewed"),
	}
	if i := v.Inventory; i != nil {
		risk := " safe"
		if v.AtRisk > 0 {
			risk = " deny"
		}
		cards = append(cards,
			card("", strconv.Itoa(len(i.StatefulSets)), "StatefulSets"),
			card("", i.Total(), fmt.Sprintf("in %d volumes", len(i.Volumes))),
			card(risk, size(v.AtRisk), "destroyed with its claims"),
		)
	}
	return h.Div(h.Class("cards"), cards)
}

func (v *htmlView) namespaceChart() g.Node {
	if v.Inventory == nil {
		return nil
	}
	return h.Section(h.Class("panel data"), h.Aria("label", "data at risk by namespace"),
		h.H2(g.Text("Data by namespace")),
		bars(v.Namespaces, "No claims.", "deny", "safe", "none"),
		h.P(h.Class("key"), dot(Destroyed), g.Text("destroyed with the claim"), dot(Retained), g.Text("retained"),
			dot("unknown"), g.Text("no volume, or unknown")),
	)
}

func (v *htmlView) ruleChart() g.Node {
	return h.Section(h.Class("panel"), h.Aria("label", "findings by rule"), h.H2(g.Text("Findings by rule")),
		bars(v.ByRule, "Nothing was found.", "deny", "warn"))
}

// bars returns a bar chart. Each bar has one part for each class.
func bars(bars []htmlBar, none string, classes ...string) g.Node {
	if len(bars) == 0 {
		return h.P(g.Text(none))
	}
	percents := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	return g.Map(bars, func(b htmlBar) g.Node {
		from, parts := 0.0, g.Group{}
		if len(classes) == 3 {
			parts = append(parts, g.El("rect", h.Class("track"), g.Attr("width", "100"), g.Attr("height", "14")))
		}
		for i, class := range classes {
			length := [...]float64{b.A, b.B, b.C}[i]
			parts = append(parts, g.El("rect", h.Class(class), g.Attr("x", percents(from)), g.Attr("width", percents(length)),
				g.Attr("height", "14")))
			from += length
		}
		return h.Div(h.Class("bar"), h.Span(g.Text(b.Name)),
			h.SVG(h.Role("img"), g.Attr("viewBox", "0 0 100 14"), g.Attr("preserveAspectRatio", "none"),
				g.El("title", g.Text(b.Name+": "+b.Label)), parts),
			h.Small(g.Text(b.Label)))
	})
}

func dot(fate Fate) g.Node { return h.I(h.Class("dot " + string(fate))) }

// survivors shows for each StatefulSet which data would be left.
func (v *htmlView) survivors() g.Node {
	if v.Inventory == nil {
		return nil
	}
	branches := g.Group{h.P(g.Text("No StatefulSets, claims or Released volumes."))}
	if len(v.Tree) > 0 {
		branches = g.Group{inTurn(v.Tree, func(b *htmlBranch) g.Node {
			return h.Details(g.Attr("open"), h.Summary(g.Text(b.Title)),
				g.If(b.Why != "", h.P(h.Class("why"), g.Text(b.Why))),
				h.Ul(
					inTurn(b.Claims, func(c *Claim) g.Node {
						return h.Li(dot(c.Fate), g.Textf("%s %s ", c.Name, c.Capacity),
							h.Span(h.Class("hop"), after("→ ", c.Volume), after("→ ", c.Class), g.Text("· "+string(c.Fate)),
								g.If(!c.Needed, g.Text(" · not known to be needed")), after(" · ", c.sinceUnused())))
					}),
					inTurn(b.Volumes, func(p *Volume) g.Node {
						return h.Li(dot(Retained), g.Textf("%s %s ", p.Name, p.Capacity),
							h.Span(h.Class("hop"), after("→ ", p.Class), after("· was ", p.Claim)))
					}),
				))
		})}
	}
	return g.Group{h.H2(g.Text("What would survive")), h.Div(h.Class("panel tree"), branches)}
}

// unneeded lists the claims that are not known to be needed.
func (v *htmlView) unneeded() g.Node {
	if v.Inventory == nil {
		return nil
	}
	claims := v.Inventory.unneeded()
	title := unneededTitle(claims)
	return panel(strings.ToUpper(title[:1])+title[1:], unneededLines(claims),
		func(line string) g.Node { return g.Text(clean(line)) })
}

// owners shows what is deleted with each custom resource.
func (v *htmlView) owners() g.Node {
	if v.Inventory == nil || len(v.Inventory.Owners)+len(v.Inventory.UnreadOwners) == 0 {
		return nil
	}
	return g.Group{h.H2(g.Text("What goes with a custom resource")), h.Div(h.Class("panel tree"),
		inTurn(v.Inventory.Owners, func(o *Owner) g.Node {
			class := "hop" // nothing to warn of
			if o.Bytes > 0 || o.count(true, Destroyed) > 0 {
				class = "why"
			}
			return h.Details(g.If(class == "why", g.Attr("open")), h.Summary(g.Text(o.String())),
				h.P(h.Class(class), g.Text(o.Sentence())),
				g.If(o.Remedy != "", h.Pre(h.Class("remedy"), g.Text(o.Remedy))),
				h.Ul(inTurn(o.Claims, func(c *OwnedClaim) g.Node {
					fate, what := Retained, "stays"
					if c.Goes {
						fate, what = c.Fate, "deleted · "+string(c.Fate)
					}
					return h.Li(dot(fate), g.Textf("%s %s ", c.Name, c.Capacity), h.Span(h.Class("hop"), after("→ ", c.Volume),
						g.Text("· "+what)))
				})))
		}),
		g.Map(v.Inventory.UnreadOwners,
			func(why string) g.Node { return h.P(h.Class("why"), g.Text("Could not be read: "+why)) }),
	)}
}

// after returns a sign and a name, or nothing if the name is empty.
func after(sign, name string) g.Node {
	return g.If(name != "", g.Text(sign+name+" "))
}

func (v *htmlView) findingList() g.Node {
	if len(v.Findings) == 0 {
		return h.P(g.Text("Nothing was found."))
	}
	option := func(name string) g.Node { return h.Option(g.Text(name)) }
	return g.Group{
		h.Div(h.Class("filters"),
			h.Input(h.ID("text"), h.Type("search"), h.Placeholder("Search"), h.Aria("label", "search findings")),
			h.Select(h.ID("level"), h.Aria("label", "level"), h.Option(h.Value(""), g.Text("every level")),
				g.Map([]string{"deny", "hint", "warn"}, option)),
			h.Select(h.ID("rule"), h.Aria("label", "rule"), h.Option(h.Value(""), g.Text("every rule")),
				g.Map(v.ByRule, func(b htmlBar) g.Node { return option(b.Name) })),
			h.Span(h.ID("shown"), h.Role("status")),
		),
		v.which(true), v.which(false),
	}
}

// which is the findings that deny, or those that do not.
func (v *htmlView) which(denies bool) g.Node {
	return inTurn(v.Findings, func(f *Finding) g.Node {
		if f.Denies() != denies {
			return g.Group{}
		}
		r := v.row(f)
		return h.Details(h.Class("finding "+r.Level), h.Data("level", r.Level), h.Data("rule", r.Rule),
			h.Summary(h.Span(h.Class("level"), g.Text(r.Level)), h.Span(h.Class("object"), g.Text(r.Object)),
				h.Span(h.Class("what"), g.Text(r.Rule+": "+r.Message))),
			h.Div(h.Class("body"),
				r.Location.page(),
				g.If(r.Remedy != "", g.Group{h.P(g.Text("Fix:")), h.Pre(h.Class("remedy"), g.Text(r.Remedy))}),
				h.P(h.Class("doc"), h.Strong(g.Text(r.Why.Title)), g.Text("\n"+r.Why.Text)),
			))
	})
}

func (l *htmlLocation) page() g.Node {
	if l == nil {
		return nil
	}
	from := ""
	if l.From != "" {
		from = ", from " + l.From
	}
	return h.Pre(g.Textf("%s%s\n%s", l.At, from, l.Before), h.Mark(g.Text(l.Marked)), g.Text(l.After))
}
