package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
)

//go:embed html/page.css
var style string

//go:embed html/page.js
var script string

// HTML writes the report as one self-contained page, which fetches nothing. Names
// of a manifest are escaped, and the content security policy permits only the
// page's own style and script, by their hashes, so that no name can become code.
func (r *Report) HTML(w io.Writer) error {
	v := &htmlView{Report: r}
	v.rules()
	if r.Inventory != nil {
		v.namespaces()
		v.tree()
	}
	buf := bufio.NewWriter(w)
	if err := v.page().Render(buf); err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	return buf.Flush()
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// An htmlView holds the contents of the page.
type htmlView struct {
	*Report

	ByRule     []htmlBar
	Namespaces []htmlBar
	Tree       []htmlBranch
	AtRisk     int64
}

// An htmlBar is a bar in up to three parts; their lengths are percentages.
type htmlBar struct {
	Name, Label string
	A, B, C     float64
	weight      int64
}

// An htmlRow is a finding as the page shows it.
type htmlRow struct {
	Level, Rule, Object, Message, Remedy string
	Location                             *htmlLocation
	Why                                  htmlWhy
}

type htmlLocation struct {
	At, From              string
	Before, Marked, After string
}

type htmlWhy struct{ Title, Text string }

// An htmlBranch is a StatefulSet with its claims, or all claims without a
// StatefulSet, or all volumes without a claim.
type htmlBranch struct {
	Title, Why string
	Claims     []Claim
	Volumes    []Volume
}

func (v *htmlView) row(f *Finding) htmlRow {
	rule := v.rule(f.Rule)
	row := htmlRow{Level: f.Level, Rule: f.Rule, Object: clean(f.Object.String()), Message: clean(f.Message),
		Remedy: clean(f.Remedy)}
	row.Why = htmlWhy{rule.Title, strings.TrimSpace(strings.TrimPrefix(rule.Doc, rule.Title))}
	if l := f.Location; l != nil {
		row.Location = &htmlLocation{At: l.lineText(), From: clean(l.Template)}
		row.Location.Before, row.Location.Marked, row.Location.After = l.marked()
	}
	return row
}

// rules counts the findings of each rule.
func (v *htmlView) rules() {
	type tally struct{ deny, warn int64 }
	tallies := map[string]*tally{}
	most := int64(1)
	for i := range v.Findings {
		f := &v.Findings[i]
		t := tallies[f.Rule]
		if t == nil {
			t = &tally{}
			tallies[f.Rule] = t
		}
		if f.Denies() {
			t.deny++
		} else {
			t.warn++
		}
		most = max(most, t.deny+t.warn)
	}
	for name, t := range tallies {
		v.ByRule = append(v.ByRule, htmlBar{
			Name: name, Label: fmt.Sprint(t.deny + t.warn), A: percent(t.deny, most), B: percent(t.warn, most),
			weight: t.deny<<32 + t.warn,
		})
	}
	sortBars(v.ByRule)
}

func percent(n, of int64) float64 { return float64(n*1000/max(of, 1)) / 10 }

func sortBars(bars []htmlBar) {
	slices.SortFunc(bars, func(a, b htmlBar) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(a.Name, b.Name))
	})
}

// namespaces adds up the claims of each namespace by their fate.
func (v *htmlView) namespaces() {
	type tally struct{ lost, kept, other int64 }
	tallies := map[string]*tally{}
	for _, c := range v.Inventory.Claims {
		t := tallies[c.Namespace]
		if t == nil {
			t = &tally{}
			tallies[c.Namespace] = t
		}
		switch c.Fate {
		case Destroyed:
			t.lost += c.Bytes
			v.AtRisk += c.Bytes
		case Retained:
			t.kept += c.Bytes
		default:
			t.other += c.Bytes
		}
	}
	most := int64(1)
	for _, t := range tallies {
		most = max(most, t.lost+t.kept+t.other)
	}
	unit := max(most/1000, 1) // so that percents do not overflow
	for name, t := range tallies {
		label := size(t.lost + t.kept + t.other)
		if t.lost > 0 {
			label = size(t.lost) + " of " + label + " at risk"
		}
		v.Namespaces = append(v.Namespaces, htmlBar{
			Name: clean(name), Label: label, weight: t.lost,
			A: percent(t.lost/unit, most/unit), B: percent(t.kept/unit, most/unit), C: percent(t.other/unit, most/unit),
		})
	}
	sortBars(v.Namespaces)
}

func (v *htmlView) tree() {
	of := map[string][]Claim{}
	for _, c := range v.Inventory.Claims {
		key := ""
		if c.StatefulSet != "" {
			key = c.Namespace + "/" + c.StatefulSet
		} else {
			c.Name = c.Namespace + "/" + c.Name
		}
		of[key] = append(of[key], c)
	}
	for _, s := range v.Inventory.StatefulSets {
		key := s.Namespace + "/" + s.Name
		v.Tree = append(v.Tree, htmlBranch{Title: clean(fmt.Sprintf("StatefulSet %s, %s", key, count(s.Replicas, "replica"))),
			Why: clean(s.Unresolved), Claims: of[key]})
	}
	if rest := of[""]; len(rest) > 0 {
		v.Tree = append(v.Tree, htmlBranch{Title: "Claims of no StatefulSet", Claims: rest})
	}
	released := htmlBranch{Title: "Released volumes"}
	for _, vol := range v.Inventory.Volumes {
		if vol.Phase == "Released" {
			released.Volumes = append(released.Volumes, vol)
		}
	}
	if len(released.Volumes) > 0 {
		v.Tree = append(v.Tree, released)
	}
}
