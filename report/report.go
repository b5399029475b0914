// Package report writes down what the review of many objects came to, for
// people and for programs: one value, and a function for each format.
package report

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode"

	"stayput.dev/validators"
)

// The kind of the JSON document, and the version of its schema. Within a
// version, fields are only ever added.
const (
	APIVersion = "report.stayput.dev/v1"
	Kind       = "Report"
)

// A Report is what lint or audit found.
type Report struct {
	APIVersion string `json:"apiVersion" jsonschema:"enum=report.stayput.dev/v1"`
	Kind       string `json:"kind" jsonschema:"enum=Report"`

	// Command is lint or audit.
	Command string `json:"command"`
	// Version is that of stayput.
	Version string `json:"version"`
	// Time is when the cluster was read, in RFC 3339. Lint, whose result
	// depends on its input alone, has none.
	Time string `json:"time,omitempty" jsonschema:"format=date-time"`

	Summary Summary `json:"summary"`

	// Findings come in the order of the files, or of the cluster's objects.
	Findings []Finding `json:"findings"`
	// Exempted are findings that an exemption takes away.
	Exempted []Exempted `json:"exempted"`
	// Skipped are the rules that could not look, for something is not known.
	Skipped []Skipped `json:"skipped"`
	// Errors say what could not be read. All else is about the rest.
	Errors []Problem `json:"errors"`
	// Foreign are the documents that are no Kubernetes objects, and were left
	// out.
	Foreign []Problem `json:"foreign"`

	// Changes say how each object was reviewed, where an earlier state was given.
	Changes []Change `json:"changes,omitempty"`

	// Inventory is what the cluster has; audit's alone.
	Inventory *Inventory `json:"inventory,omitempty"`

	// Rules are what findings may be called, those without findings included.
	Rules []Rule `json:"-"`
	// Reviewed are the objects, in the order of the findings.
	Reviewed iter.Seq[Reviewed] `json:"-"`
	// Pruned says that what is no longer in the manifests is deleted.
	Pruned bool `json:"-"`
	// Fixing says that what can be mended is, so that of the rest it is said
	// why not.
	Fixing bool `json:"-"`
	// FailOn is the level from which on a finding fails the run.
	FailOn validators.Level `json:"-"`
}

// A Summary counts.
type Summary struct {
	// Objects is how many were reviewed.
	Objects int `json:"objects"`
	// Denials counts the findings that would be denied, by Stayput or, for
	// those of level hint, by the API server itself.
	Denials int `json:"denials"`
	// Warnings counts the other findings.
	Warnings int `json:"warnings"`
	// Removals counts the findings about objects that are no longer in the
	// manifests, unless lint was told that they are deleted.
	Removals int `json:"removals,omitempty"`
	// Fixed counts the findings that lint --fix has mended. They are in no
	// other count.
	Fixed int `json:"fixed,omitempty"`
	// Reviews counts the objects by how they were reviewed, where an earlier
	// state was given: created, updated, unchanged or removed.
	Reviews map[string]int `json:"reviews,omitempty"`
	// Others counts the objects of kinds that no convention is about, by
	// kind.group.
	Others map[string]int `json:"others,omitempty"`
}

// An Object is what a finding is about.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

// String returns Kind namespace/name.
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// A Finding is one way in which an object departs from a rule.
type Finding struct {
	Rule  string `json:"rule"`
	Level string `json:"level" jsonschema:"enum=deny,enum=hint,enum=warn"`
	// Title says what must hold.
	Title  string `json:"title,omitempty"`
	Object Object `json:"object"`
	// Field is the path of the field.
	Field string `json:"field,omitempty"`
	// Message begins with the field and says what is wrong, as admission does.
	Message string `json:"message"`
	// Remedy is the command or the YAML that mends it.
	Remedy   string    `json:"remedy,omitempty"`
	Location *Location `json:"location,omitempty"`
	// Review says how the object was reviewed, where an earlier state of it was
	// known: created; updated; standing, of a fault that it had before, or that
	// no update is reviewed for; removed, if the tool that applies prunes.
	Review string `json:"review,omitempty" jsonschema:"enum=created,enum=updated,enum=standing,enum=removed"`
	// Fix is the remedy as changes of files, if it is one.
	Fix *Fix `json:"fix,omitempty"`
	// Fingerprint stays while the finding does, whatever line it moves to.
	Fingerprint string `json:"fingerprint"`
}

// Denies says whether admission would deny, Stayput's or the API server's own.
func (f Finding) Denies() bool { return f.Level != validators.Warn.String() }

// An Exempted is a finding without consequences.
type Exempted struct {
	Finding
	// By is the object, the namespace or the configuration.
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// A Skipped is a rule that could not look.
type Skipped struct {
	Rule string `json:"rule"`
	// Reason says what is not known.
	Reason string `json:"reason"`
	// Objects is how many it was skipped for.
	Objects int `json:"objects"`
}

// A Problem is something that could not be read.
type Problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Message string `json:"message"`
}

// String returns file:line: message.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Message
	case p.Line == 0:
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// A Rule is what findings can be about: a rule, or one of the few things that
// are said without one.
type Rule struct {
	Name, Level, Title, Doc string
}

// How an object is reviewed.
const (
	Created   = "created"
	Updated   = "updated"
	Unchanged = "unchanged"
	Standing  = "standing" // of a finding: the object has the fault already
	Removed   = "removed"
)

// A Change is how an object was reviewed.
type Change struct {
	Object Object `json:"object"`
	Review string `json:"review" jsonschema:"enum=created,enum=updated,enum=unchanged,enum=removed"`
}

// Changed notes how an object was reviewed.
func (r *Report) Changed(o Object, how string) {
	if r.Summary.Reviews == nil {
		r.Summary.Reviews = map[string]int{}
	}
	r.Summary.Reviews[how]++
	r.Changes = append(r.Changes, Change{o, how})
}

// A Reviewed is an object that was reviewed, and the file that it is in.
type Reviewed struct {
	Object Object
	File   string
}

// Add adds a finding, and counts it.
func (r *Report) Add(f Finding) {
	r.Findings = append(r.Findings, f)
	switch {
	case f.Review == Removed && !r.Pruned:
		r.Summary.Removals++
	case f.Denies():
		r.Summary.Denials++
	default:
		r.Summary.Warnings++
	}
}

// Drop takes out the findings for whose places it holds, and counts anew.
func (r *Report) Drop(holds func(i int) bool) {
	all := r.Findings
	r.Findings, r.Summary.Denials, r.Summary.Warnings, r.Summary.Removals = nil, 0, 0, 0
	for i := range all {
		if !holds(i) {
			r.Add(all[i])
		}
	}
}

// Skip notes that a rule could not look at an object.
func (r *Report) Skip(rule, reason string) {
	for i := range r.Skipped {
		if s := &r.Skipped[i]; s.Rule == rule && s.Reason == reason {
			s.Objects++
			return
		}
	}
	r.Skipped = append(r.Skipped, Skipped{rule, reason, 1})
}

// Finish puts what came in any order into one, and fills in what is never to
// be null.
func (r *Report) Finish() {
	r.APIVersion, r.Kind = APIVersion, Kind
	slices.SortFunc(r.Skipped, func(a, b Skipped) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Reason, b.Reason))
	})
	notNull(&r.Findings)
	notNull(&r.Exempted)
	notNull(&r.Skipped)
	notNull(&r.Errors)
	notNull(&r.Foreign)
}

func notNull[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

// Fails says whether there are findings at or above the level that fails.
func (r *Report) Fails() bool {
	return r.Summary.Denials > 0 || r.Summary.Warnings > 0 && r.FailOn == validators.Warn
}

// fails is Fails for one finding.
func (r *Report) fails(f Finding) bool {
	return (f.Denies() || r.FailOn == validators.Warn) && (f.Review != Removed || r.Pruned)
}

// rule returns what is known about a name.
func (r *Report) rule(name string) Rule {
	for _, rule := range r.Rules {
		if rule.Name == name {
			return rule
		}
	}
	return Rule{Name: name, Level: "warn", Title: name}
}

// Sentence returns the summary on one line.
func (r *Report) Sentence() string {
	s := fmt.Sprintf("%s: %s, %s", count(r.Summary.Objects, "object"), count(r.Summary.Denials, "denial"),
		count(r.Summary.Warnings, "warning"))
	if n := r.Summary.Removals; n > 0 {
		s += fmt.Sprintf(", %d if your tool prunes", n)
	}
	if n := r.Summary.Fixed; n > 0 {
		s += fmt.Sprintf(", %d fixed", n)
	}
	if n := len(r.Exempted); n > 0 {
		s += fmt.Sprintf(", %d exempted", n)
	}
	if len(r.Summary.Reviews) > 0 {
		s += "; " + r.reviews()
	}
	if n := r.skippedRules(); n > 0 {
		s += fmt.Sprintf("; %s skipped", count(n, "rule"))
	}
	if n := sum(r.Summary.Others); n > 0 {
		s += fmt.Sprintf("; %s of other kinds skipped", count(n, "object"))
	}
	if n := len(r.Foreign); n > 0 {
		s += fmt.Sprintf("; %s without a Kubernetes object skipped", count(n, "document"))
	}
	if n := len(r.Errors); n > 0 {
		s += fmt.Sprintf("; %s", count(n, "error"))
	}
	return s
}

// reviews says how many objects were reviewed in which way.
func (r *Report) reviews() string {
	var counts []string
	for _, how := range []string{Created, Updated, Unchanged, Removed} {
		if n := r.Summary.Reviews[how]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, how))
		}
	}
	return strings.Join(counts, ", ")
}

// skippedRules counts rules that were skipped. Several kinds may be missing for
// each.
func (r *Report) skippedRules() int {
	rules := map[string]bool{}
	for _, s := range r.Skipped {
		rules[s.Rule] = true
	}
	return len(rules)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func sum(counts map[string]int) (n int) {
	for c := range maps.Values(counts) {
		n += c
	}
	return n
}

// clean replaces characters that could move the cursor of a terminal, break a
// line or be invalid in XML, because names and values come from the manifest's
// author.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029', r == '\ufffe', r == '\uffff':
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
