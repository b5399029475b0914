// Package report holds the results of lint and audit, and writes them for people
// and for programs: one value, and a function for each format.
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

// A Report is the result of lint or audit.
type Report struct {
	APIVersion string `json:"apiVersion" jsonschema:"enum=report.stayput.dev/v1"`
	Kind       string `json:"kind" jsonschema:"enum=Report"`

	// Command is lint or audit.
	Command string `json:"command"`
	// Version is the version of stayput.
	Version string `json:"version"`
	// Time is the time at which the cluster was read, in RFC 3339. It is missing
	// in lint, whose result depends on its input alone.
	Time string `json:"time,omitempty" jsonschema:"format=date-time"`

	// Kubernetes is the version that was reviewed for: 1.34.4, 1.34 for any patch
	// of it, 1.34.4 to 1.35.1 of a cluster that is being upgraded, or unknown.
	Kubernetes string `json:"kubernetes,omitempty"`

	Summary Summary `json:"summary"`

	// Findings are in the order of the files, or of the cluster's objects.
	Findings []Finding `json:"findings"`
	// Exempted are the findings that have no effect, because of an exemption.
	Exempted []Exempted `json:"exempted"`
	// Skipped are the rules that could not be checked, because something that
	// they need is not known.
	Skipped []Skipped `json:"skipped"`
	// Errors list the files and objects that could not be read. The other fields
	// are about everything else.
	Errors []Problem `json:"errors"`
	// Foreign are the documents that contain no Kubernetes object, and were
	// ignored.
	Foreign []Problem `json:"foreign"`

	// Changes say how each object was reviewed. They are there only where an
	// earlier state of the objects was given.
	Changes []Change `json:"changes,omitempty"`

	// Inventory lists StatefulSets, claims and volumes of the cluster. It is
	// there only in audit.
	Inventory *Inventory `json:"inventory,omitempty"`

	// Rules are all rules that findings may be about, also those without a finding.
	Rules []Rule `json:"-"`
	// Reviewed are the objects that were reviewed, in the order of the findings.
	Reviewed iter.Seq[Reviewed] `json:"-"`
	// Pruned says that objects which are no longer in the manifests are deleted.
	Pruned bool `json:"-"`
	// Fixing says that lint --fix writes the fixes. The report then says of each
	// other finding why it was not fixed.
	Fixing bool `json:"-"`
	// FailOn is the lowest level of a finding that makes the run fail.
	FailOn validators.Level `json:"-"`
}

// A Summary counts objects and findings.
type Summary struct {
	// Objects counts the objects that were reviewed.
	Objects int `json:"objects"`
	// Denials counts the findings for which a request would be denied: by
	// Stayput, or by the API server itself where the level is hint.
	Denials int `json:"denials"`
	// Warnings counts the other findings.
	Warnings int `json:"warnings"`
	// Removals counts the findings about objects that are no longer in the
	// manifests. With lint --pruned these findings are counted as denials and
	// warnings instead.
	Removals int `json:"removals,omitempty"`
	// Fixed counts the findings that lint --fix has fixed. No other field counts
	// them.
	Fixed int `json:"fixed,omitempty"`
	// Reviews counts the objects by the way in which they were reviewed: created,
	// updated, unchanged or removed. It is there only where an earlier state of
	// the objects was given.
	Reviews map[string]int `json:"reviews,omitempty"`
	// Others counts the objects that were not reviewed, for their kinds are none
	// of Kubernetes, such as custom resources: by kind.group.
	Others map[string]int `json:"others,omitempty"`
}

// An Object identifies the object that a finding is about.
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

// A Finding is one violation of a rule by an object.
type Finding struct {
	Rule  string `json:"rule"`
	Level string `json:"level" jsonschema:"enum=deny,enum=hint,enum=warn"`
	// Title says in one clause what the rule demands.
	Title  string `json:"title,omitempty"`
	Object Object `json:"object"`
	// Field is the path of the field.
	Field string `json:"field,omitempty"`
	// Message begins with the field and says what is wrong, in the same words as
	// admission.
	Message string `json:"message"`
	// Remedy is the command or the YAML that corrects the object.
	Remedy   string    `json:"remedy,omitempty"`
	Location *Location `json:"location,omitempty"`
	// Review says how the object was reviewed, if an earlier state of it was
	// known: created; updated; standing, if the object had the fault before, or
	// if the rule does not check updates; removed, if the object is no longer in
	// the manifests, so that a tool that prunes would delete it.
	Review string `json:"review,omitempty" jsonschema:"enum=created,enum=updated,enum=standing,enum=removed"`
	// Fix is the remedy as changes of the manifests, if it can be written so.
	Fix *Fix `json:"fix,omitempty"`
	// Fingerprint identifies the finding from run to run, also when it moves to
	// another line.
	Fingerprint string `json:"fingerprint"`
}

// Denies says whether Stayput or the API server itself would deny the request.
func (f Finding) Denies() bool { return f.Level != validators.Warn.String() }

// An Exempted is a finding that has no effect, because of an exemption.
type Exempted struct {
	Finding
	// By says where the exemption is: on the object, on the namespace or in the
	// configuration.
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// A Skipped is a rule that could not be checked.
type Skipped struct {
	Rule string `json:"rule"`
	// Reason says what is not known.
	Reason string `json:"reason"`
	// Objects counts the objects for which the rule was skipped.
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

// A Rule is a rule that findings can be about, or a check of lint itself that is
// reported in the same way.
type Rule struct {
	Name, Level, Title, Doc string
}

// The ways in which an object is reviewed.
const (
	Created   = "created"
	Updated   = "updated"
	Unchanged = "unchanged"
	Standing  = "standing" // only of a finding: the object had the fault before
	Removed   = "removed"
)

// A Change says how an object was reviewed.
type Change struct {
	Object Object `json:"object"`
	Review string `json:"review" jsonschema:"enum=created,enum=updated,enum=unchanged,enum=removed"`
}

// Changed records how an object was reviewed.
func (r *Report) Changed(o Object, how string) {
	if r.Summary.Reviews == nil {
		r.Summary.Reviews = map[string]int{}
	}
	r.Summary.Reviews[how]++
	r.Changes = append(r.Changes, Change{o, how})
}

// A Reviewed is an object that was reviewed, and the file that contains it.
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

// Drop removes the findings for whose indexes holds returns true, and counts
// the others again.
func (r *Report) Drop(holds func(i int) bool) {
	all := r.Findings
	r.Findings, r.Summary.Denials, r.Summary.Warnings, r.Summary.Removals = nil, 0, 0, 0
	for i := range all {
		if !holds(i) {
			r.Add(all[i])
		}
	}
}

// Skip records that a rule could not be checked for an object.
func (r *Report) Skip(rule, reason string) {
	for i := range r.Skipped {
		if s := &r.Skipped[i]; s.Rule == rule && s.Reason == reason {
			s.Objects++
			return
		}
	}
	r.Skipped = append(r.Skipped, Skipped{rule, reason, 1})
}

// Finish sorts the skipped rules, and replaces nil lists by empty ones, so that
// no list in the JSON document is null.
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

// Fails says whether any finding makes the run fail.
func (r *Report) Fails() bool {
	return r.Summary.Denials > 0 || r.Summary.Warnings > 0 && r.FailOn == validators.Warn
}

// fails says whether a finding makes the run fail.
func (r *Report) fails(f Finding) bool {
	return (f.Denies() || r.FailOn == validators.Warn) && (f.Review != Removed || r.Pruned)
}

// rule returns the rule of a name, or one of level warn if it is not known.
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

// others says of each kind that is not reviewed how many objects there are: Kind.group,
// then the number.
func (r *Report) others() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, kind := range slices.Sorted(maps.Keys(r.Summary.Others)) {
			if !yield(kind, r.Summary.Others[kind]) {
				return
			}
		}
	}
}

// otherKinds says it on one line: 2 Cluster.postgresql.cnpg.io, 1 Rollout.argoproj.io.
func (r *Report) otherKinds() string {
	var all []string
	for kind, n := range r.others() {
		all = append(all, fmt.Sprintf("%d %s", n, clean(kind)))
	}
	return strings.Join(all, ", ")
}

// reviews returns the number of objects for each way of review.
func (r *Report) reviews() string {
	var counts []string
	for _, how := range []string{Created, Updated, Unchanged, Removed} {
		if n := r.Summary.Reviews[how]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, how))
		}
	}
	return strings.Join(counts, ", ")
}

// skippedRules counts the rules that were skipped. A rule may be in the list
// several times, for different reasons.
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
// line or be invalid in XML: the author of a manifest chooses names and values.
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
