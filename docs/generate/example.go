package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/validators"
)

// shown is what the testdata of a rule shows about it.
type shown struct {
	good     *example // nil if there is none
	bad      *example
	messages []string // about the bad one
}

// An example is a step of the testdata as a reader should see it.
type example struct {
	caption  string // the comments above the object
	how      string // what happens to it, if it is not created
	language string
	text     string
}

// String returns the example as Markdown, to follow on the word good or bad.
func (e *example) String() string {
	s := e.how + "."
	if e.caption != "" {
		s = e.how + ": " + prose(e.caption)
	}
	return fmt.Sprintf("%s\n\n```%s\n%s\n```", s, e.language, e.text)
}

// A replay is what a rule says of each step of its testdata.
type replay struct {
	*clustertest.Testdata
	findings [][]validators.Finding // by step
}

// replayOf replays the testdata of a rule as its test does.
func replayOf(root string, r *validators.Rule) (replay, error) {
	if r.Level == validators.Off {
		raised := *r // as the configuration must raise it
		raised.Level = validators.Warn
		r = &raised
	}
	data, err := clustertest.Load(testdata(root, r))
	if err != nil {
		return replay{}, err
	}
	snap, err := data.Snapshot()
	if err != nil {
		return replay{}, err
	}
	all := replay{Testdata: data}
	for _, s := range data.Steps {
		environment := cluster.Environment{Source: snap, Retain: s.Retain, Manifests: s.Manifests, Kubernetes: s.Kubernetes}
		view := environment.View(context.Background(), s.Request)
		findings, undecided := validators.Review(view, []*validators.Rule{r}, s.Old, s.Obj)
		if len(undecided) > 0 {
			return replay{}, undecided[0]
		}
		all.findings = append(all.findings, findings)
	}
	return all, nil
}

func testdata(root string, r *validators.Rule) string {
	return filepath.Join(root, "validators", "testdata", r.Name+".yaml")
}

// show chooses from the testdata of a rule the first step with a finding, and
// the first without one that most resembles it.
func show(root string, r *validators.Rule) (shown, error) {
	raw, err := os.ReadFile(testdata(root, r))
	if err != nil {
		return shown{}, err
	}
	data, err := replayOf(root, r)
	if err != nil {
		return shown{}, err
	}
	texts := split(string(raw))
	bad, good := slices.IndexFunc(data.findings, func(f []validators.Finding) bool { return len(f) > 0 }), -1
	if bad < 0 {
		return shown{}, fmt.Errorf("%s: the rule never fires", data.File)
	}
	var messages []string
	for _, f := range data.findings[bad] {
		messages = append(messages, f.Level.String()+": "+f.String())
	}
	best := -1
	for i, s := range data.Steps {
		if likeness := resembles(s, data.Steps[bad], texts); len(data.findings[i]) == 0 && likeness > best {
			good, best = i, likeness
		}
	}
	result := shown{bad: makeExample(data.Steps, bad, texts), messages: messages}
	if good >= 0 {
		result.good = makeExample(data.Steps, good, texts)
	}
	return result, nil
}

// resembles says how good a counterpart a step is: of the same kind, or -1,
// with the same thing happening to it, by the same hand, and explained.
func resembles(s, bad clustertest.Step, texts []document) (likeness int) {
	if kindOf(s.Object) != kindOf(bad.Object) {
		return -1
	}
	if event(s) == event(bad) {
		likeness += 4
	}
	if s.Request.User.Username == bad.Request.User.Username && s.Retain == bad.Retain &&
		s.Request.Orphan == bad.Request.Orphan {
		likeness += 2
	}
	if documentOf(s, texts).caption != "" {
		likeness++
	}
	return likeness
}

func event(s clustertest.Step) validators.Event {
	switch {
	case s.Obj == nil:
		return validators.Deleted
	case s.Old != nil:
		return validators.Updated
	default:
		return validators.Created
	}
}

func makeExample(steps []clustertest.Step, i int, texts []document) *example {
	s := steps[i]
	doc := documentOf(s, texts)
	e := &example{caption: doc.caption, language: "yaml", text: doc.text}
	switch event(s) {
	case validators.Deleted:
		e.how = ", when this is deleted"
		if s.Request.Orphan {
			e.how += " with --cascade=orphan"
		}
	case validators.Updated:
		e.how = ", when this is updated"
		before := steps[slices.IndexFunc(steps, func(b clustertest.Step) bool { return b.Obj == s.Old })]
		e.language, e.text = "diff", diff(documentOf(before, texts).text, doc.text)
	}
	if user := s.Request.User.Username; user != "" {
		e.how += " by " + user
	}
	if s.Retain != "" {
		e.how += fmt.Sprintf(", where the configuration says retain: %s", s.Retain)
	}
	if s.Manifests {
		e.how += ", in lint"
	}
	if s.Since != 0 {
		e.how += fmt.Sprintf(", from Kubernetes 1.%d on", s.Since)
	}
	return e
}

// A document is the text of one document of a stream.
type document struct {
	first   int // line, from 1
	caption string
	text    string
}

var (
	want      = regexp.MustCompile(`\s*# want .*$`)
	directive = regexp.MustCompile(`^# (delete|orphan|as .*|retain [a-z]+|since 1\.[0-9]+|manifests|kubernetes .+)$`)
)

// split cuts a stream into its documents, without what speaks to tests only.
func split(stream string) (docs []document) {
	line := 1
	for _, part := range strings.Split(stream, "\n---\n") {
		d := document{first: line}
		var caption, text []string
		for _, l := range strings.Split(strings.Trim(part, "\n"), "\n") {
			l = want.ReplaceAllString(l, "")
			comment, isComment := strings.CutPrefix(l, "# ")
			switch {
			case len(text) == 0 && directive.MatchString(l):
			case len(text) == 0 && isComment:
				caption = append(caption, comment)
			default:
				text = append(text, l)
			}
		}
		d.caption, d.text = strings.Join(caption, " "), strings.Join(text, "\n")
		docs = append(docs, d)
		line += strings.Count(part, "\n") + 2
	}
	return docs
}

// documentOf returns the document in which a step stands.
func documentOf(s clustertest.Step, docs []document) document {
	i, _ := slices.BinarySearchFunc(docs, s.Line("")+1, func(d document, line int) int { return d.first - line })
	return docs[i-1]
}

// diff returns the lines of two texts, marked with what has been removed and
// added, by their longest common subsequence.
func diff(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	common := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return strings.Join(out, "\n")
}
