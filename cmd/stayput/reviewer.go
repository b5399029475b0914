package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/config"
	"stayput.dev/manifest"
	"stayput.dev/mutators"
	"stayput.dev/report"
	"stayput.dev/validators"
)

// A reviewer reviews objects as admission does, and reports.
type reviewer struct {
	config.Settings
	progress *progress
	rendered map[string]bool
	fixer    *fixer // nil where there are no files to mend

	stand  map[string]bool // the causes of findings that stand
	yields map[int]string  // the causes of those that go where another stands, by their place in the report
}

// A subject is an object to review. If its manifest is known, the object is the
// manifest after admission.
type subject struct {
	cluster.Object
	manifest *manifest.Manifest
	warnings []mutators.Warning
	failed   error // why it cannot be said what admission makes of it

	old     cluster.Object // what it was before, or nil
	stands  string         // what is said of a fault that it had before
	compare bool           // an earlier state was looked for
	removed bool           // the object is no longer there
	changes int            // of the findings about it, how many are about what happens to it
}

// mark says in a finding about the subject how it was reviewed.
func (s *subject) mark(f report.Finding, place int) report.Finding {
	switch {
	case !s.compare:
	case s.removed:
		f.Review = report.Removed
		f.Message += "; if your tool prunes"
	case s.old == nil:
		f.Review = report.Created
	case place >= s.changes:
		f.Review = report.Standing
		f.Message += "; " + s.stands
	default:
		f.Review = report.Updated
	}
	return f
}

// how returns how the subject is reviewed.
func (s *subject) how() string {
	switch {
	case s.removed:
		return report.Removed
	case s.old == nil:
		return report.Created
	case validators.Unchanged(s.old, s.Object):
		return report.Unchanged
	}
	return report.Updated
}

// An outcome is what is said about one object.
type outcome struct {
	findings []report.Finding
	exempted []report.Exempted
	skipped  []report.Skipped
	problems []report.Problem
	stand    []string       // causes, see reviewer
	yields   map[int]string // by their place in findings
}

// What is found without a rule.
const (
	exemptions = "exemption"
	weakerMode = "mode"
)

// withoutRule says what these are.
var withoutRule = []report.Rule{
	{Name: fractionalSize, Level: "warn", Title: "a size is a whole number of bytes",
		Doc: "0.1Gi is 107374182400 thousandths of a byte, and kept so: nobody reads that, and a claim template keeps it " +
			"for good. " +
			"The API server warns of it itself."},
	{Name: mergedPorts, Level: "hint", Title: "ports of a headless Service differ in number",
		Doc: "A Service may have one number twice, for TCP and UDP. Client-side kubectl apply tells ports apart by number " +
			"alone: a change " +
			"made with it later loses one of the two, and says that the Service is configured. Server-side apply does not."},
	{Name: keptReference, Level: "warn", Title: "a reference follows what it names when kustomize renames it",
		Doc: "kustomize renames objects (namePrefix, nameSuffix, namespace) and the references to them that it knows. The " +
			"others keep " +
			"the old name: the nameReference of a configuration makes it follow them. Only lint -k looks at that."},
	{Name: madeTime, Level: "warn", Title: "a date is the text that its author wrote",
		Doc: "Without quotes kustomize takes a date for a time of day, midnight, which kubectl does not. Only lint -k " +
			"looks at that."},
	{Name: exemptions, Level: "warn", Title: "an exemption has an effect",
		Doc: "An exemption needs a reason, and a rule that may be exempted from."},
	{Name: weakerMode, Level: "warn", Title: "a namespace has the mode of the configuration",
		Doc: "The label stayput.dev/mode of a Namespace may choose a weaker one, if the configuration allows it. Only " +
			"audit says so."},
}

// only says which command finds what the other does not look at.
var only = map[string]string{weakerMode: "audit", fractionalSize: "lint", mergedPorts: "lint", keptReference: "lint",
	madeTime: "lint"}

// newReport returns a report that knows what findings may be called.
func newReport(s config.Settings, command string, failOn validators.Level) *report.Report {
	r := &report.Report{Command: command, Version: cli.Version(), FailOn: failOn}
	rules := s.Policy.Rules
	if command == "lint" {
		rules = slices.Concat(rules, s.Policy.OfManifests)
	}
	for _, rule := range rules {
		r.Rules = append(r.Rules, report.Rule{Name: rule.Name, Level: rule.Level.String(), Title: rule.Title(),
			Doc: rule.Title() + "\n\n" + rule.Explanation()})
	}
	for _, m := range s.Mutators {
		r.Rules = append(r.Rules, report.Rule{Name: m.Name, Level: "warn", Title: m.Title(), Doc: m.Doc})
	}
	for _, without := range withoutRule {
		if only := only[without.Name]; only == "" || only == command {
			r.Rules = append(r.Rules, without)
		}
	}
	return r
}

// reviewed returns the reviewed objects for a report. Each iteration computes
// them again.
func reviewed[T any](items []T, of func(T) report.Reviewed) iter.Seq[report.Reviewed] {
	return func(yield func(report.Reviewed) bool) {
		for _, item := range items {
			if !yield(of(item)) {
				return
			}
		}
	}
}

// batch is how many subjects are reviewed before the report takes what is said
// about them.
const batch = 1000

// review reviews n subjects, several at a time, and adds to the report in their
// order.
func (rv *reviewer) review(ctx context.Context, environment cluster.Environment, n int, at func(int) (subject, error),
	r *report.Report) error {
	done := rv.progress.begin("reviewing", n)
	defer done()
	for from := 0; from < n; from += batch {
		outcomes := make([]outcome, min(batch, n-from))
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(runtime.GOMAXPROCS(0))
		for i := range outcomes {
			group.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				s, err := at(from + i)
				if err != nil {
					return err
				}
				outcomes[i] = rv.one(environment.View(ctx, cluster.Request{}), s)
				rv.progress.step()
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i := range outcomes {
			rv.add(&outcomes[i], r)
		}
	}
	if len(rv.yields) > 0 {
		r.Drop(func(i int) bool { return rv.stand[rv.yields[i]] })
	}
	r.Summary.Objects += n
	return nil
}

// add adds what is said about one object to the report.
func (rv *reviewer) add(o *outcome, r *report.Report) {
	if rv.stand == nil {
		rv.stand, rv.yields = map[string]bool{}, map[int]string{}
	}
	for _, cause := range o.stand {
		rv.stand[cause] = true
	}
	for i := range o.findings {
		if cause := o.yields[i]; cause != "" {
			rv.yields[len(r.Findings)] = cause
		}
		r.Add(o.findings[i])
	}
	r.Exempted = append(r.Exempted, o.exempted...)
	for _, s := range o.skipped {
		r.Skip(s.Rule, s.Reason)
	}
	r.Errors = append(r.Errors, o.problems...)
}

// one reviews one subject.
func (rv *reviewer) one(v *cluster.View, s subject) (o outcome) {
	if s.manifest != nil {
		if err := rv.written(v, &s, &o); err != nil {
			return rv.failed(o, s, err)
		}
		for _, remark := range append(slices.Clip(s.manifest.Remarks), remarksOf(s.manifest.Object)...) {
			f := rv.note(s, remark.Name, remark.Field, remark.Text)
			f.Remedy = remark.Remedy
			if remark.Name == mergedPorts { // it becomes true when the Service is changed
				f.Level = validators.Hint.String()
			}
			o.findings = append(o.findings, f)
		}
	}
	if s.failed != nil {
		return rv.failed(o, s, s.failed)
	}
	verdict, err := rv.verdict(v, &s)
	if err != nil {
		return rv.failed(o, s, err)
	}
	for i, f := range verdict.Findings {
		switch cause, yields := f.Cause(s.Object); {
		case cause == "":
		case !yields:
			o.stand = append(o.stand, cause)
		default:
			if o.yields == nil {
				o.yields = map[int]string{}
			}
			o.yields[len(o.findings)] = cause
		}
		o.findings = append(o.findings, s.mark(rv.finding(s, f), i))
	}
	for _, e := range verdict.Exempted {
		if cause, yields := e.Cause(s.Object); cause != "" && !yields {
			o.stand = append(o.stand, cause)
		}
		o.exempted = append(o.exempted, report.Exempted{Finding: rv.finding(s, e.Finding), By: e.By, Reason: e.Reason})
	}
	if ns, ok := s.Object.(*corev1.Namespace); ok && s.manifest == nil && !s.removed {
		if mode, weaker := rv.Policy.Weakened(ns); weaker {
			what := map[validators.Mode]string{validators.ModeWarn: "nothing in it is denied",
				validators.ModeOff: "nothing in it is reviewed or mutated"}[mode]
			o.exempted = append(o.exempted, report.Exempted{
				Finding: rv.note(s, weakerMode, "metadata.labels["+cluster.LabelMode+"]", what),
				By:      "the namespace", Reason: "labelled " + cluster.LabelMode + "=" + string(mode),
			})
		}
	}
	for _, w := range s.warnings {
		o.findings = append(o.findings, rv.note(s, w.Mutator, "", w.Text))
	}
	for _, note := range verdict.Notes {
		o.findings = append(o.findings, rv.note(s, exemptions, "metadata.annotations", note.String()))
	}
	for _, u := range verdict.Undecided {
		if !errors.Is(u, cluster.ErrUnknown) {
			o = rv.failed(o, s, u)
			continue
		}
		o.skipped = append(o.skipped, report.Skipped{Rule: u.Rule.Name, Reason: unknownKind(u)})
	}
	return o
}

// verdict reviews a subject: as what happens to it, and, if it was there before,
// as what it is. What only the second finds was there before, or is of no
// interest in an update: such findings warn.
func (rv *reviewer) verdict(v *cluster.View, s *subject) (validators.Verdict, error) {
	if s.removed {
		return rv.Policy.Review(v, s.old, nil)
	}
	verdict, err := rv.Policy.Review(v, s.old, s.Object)
	if s.old == nil || err != nil {
		return verdict, err
	}
	is := s.Object
	if is.GetResourceVersion() == "" { // an object that exists has one
		is = is.DeepCopyObject().(cluster.Object)
		is.SetResourceVersion("0")
	}
	stands, err := rv.Policy.Review(v, nil, is)
	if err != nil {
		return verdict, err
	}
	s.changes = len(verdict.Findings)
	for _, f := range stands.Findings {
		if !slices.ContainsFunc(verdict.Findings[:s.changes], func(said validators.Finding) bool {
			return sameFault(said, f)
		}) {
			f.Level = min(f.Level, validators.Warn)
			verdict.Findings = append(verdict.Findings, f)
		}
	}
	verdict.Exempted = appendNew(verdict.Exempted, stands.Exempted, func(a, b validators.Exempted) bool {
		return sameFault(a.Finding, b.Finding)
	})
	verdict.Undecided = appendNew(verdict.Undecided, stands.Undecided, func(a, b *validators.Undecided) bool {
		return a.Rule.Name == b.Rule.Name
	})
	verdict.Notes = appendNew(verdict.Notes, stands.Notes, func(a, b validators.Note) bool { return a == b })
	return verdict, nil
}

// sameFault says whether two findings are of one rule about one field.
func sameFault(a, b validators.Finding) bool { return a.Rule.Name == b.Rule.Name && a.Field == b.Field }

// appendNew appends to a list the items that it does not have.
func appendNew[T any](list, more []T, same func(a, b T) bool) []T {
	for _, item := range more {
		if !slices.ContainsFunc(list, func(has T) bool { return same(has, item) }) {
			list = append(list, item)
		}
	}
	return list
}

// An earlier fills in what a subject was before, and what it becomes.
type earlier func(ctx context.Context, environment cluster.Environment, s *subject) error

// admitted adds manifests to the snapshot as admission would change them, so
// that a rule which looks one up sees the same object as in a cluster: a class
// that retains its volumes, for example, although the author did not say so.
func (rv *reviewer) admitted(ctx context.Context, environment cluster.Environment, snapshot *cluster.Snapshot,
	manifests []manifest.Manifest, before earlier) ([]subject, error) {
	add := func(m *manifest.Manifest, obj cluster.Object) error {
		admitted := *m
		admitted.Object = obj
		if err := admitted.AddTo(snapshot); err != nil {
			return fmt.Errorf("%s:%d: %w", m.File, m.Line(""), err)
		}
		return nil
	}
	for i := range manifests {
		if err := add(&manifests[i], manifests[i].Object); err != nil {
			return nil, err
		}
	}
	subjects := make([]subject, len(manifests))
	for i := range manifests {
		m := &manifests[i]
		s := subject{Object: m.Object, manifest: m}
		if before != nil {
			if err := before(ctx, environment, &s); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", m.File, m.Line(""), err)
			}
		}
		if obj, warnings, err := rv.mutated(environment.View(ctx, cluster.Request{}), s.old, s.Object); err != nil {
			s.failed = err
		} else {
			s.Object, s.warnings = obj, warnings
		}
		if s.old != nil { // only now, for a mutator asks what the author left out
			s.Object = manifest.Defaulted(s.Object)
		}
		subjects[i] = s
	}
	for i, s := range subjects {
		m := &manifests[i]
		if cluster.KeyOf(s.Object) != cluster.KeyOf(m.Object) {
			continue // a Pod that was given a name: it is there without one
		}
		if err := add(m, s.Object); err != nil {
			return nil, err
		}
	}
	return subjects, nil
}

// mutated returns an object as admission would make it, and what the mutators say
// of it. Where one would have to look at what is not known, it is taken as
// written.
func (rv *reviewer) mutated(v *cluster.View, old, obj cluster.Object) (cluster.Object, []mutators.Warning, error) {
	mode, err := rv.Policy.ModeFor(v, obj)
	if err != nil || mode == validators.ModeOff {
		return obj, nil, err
	}
	made, err := mutators.Apply(v, rv.Mutators, old, obj)
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		return obj, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return made.Object, made.Warnings, nil
}

func (rv *reviewer) failed(o outcome, s subject, err error) outcome {
	p := report.Problem{Message: fmt.Sprintf("review %s: %v", objectOf(s.Object), err)}
	if s.manifest != nil {
		p.File = s.manifest.File
		if m, known := s.manifest.Author(""); known {
			p.File, p.Line = m.File, m.Line("")
		}
	}
	o.problems = append(o.problems, p)
	return o
}

func (rv *reviewer) finding(s subject, f validators.Finding) report.Finding {
	return report.Finding{
		Rule: f.Rule.Name, Level: f.Level.String(), Title: f.Rule.Title(), Object: objectOf(s.Object),
		Field: f.Field, Message: f.Error.Error(), Remedy: f.Remedy.String(),
		Location: rv.location(s, f.Field), Fix: rv.fixer.of(&s, &f), Fingerprint: f.Fingerprint(s.Object),
	}
}

// note is a finding of no rule.
func (rv *reviewer) note(s subject, rule, field, text string) report.Finding {
	o := objectOf(s.Object)
	return report.Finding{
		Rule: rule, Level: validators.Warn.String(), Object: o, Field: field, Message: text, Location: rv.location(s, field),
		Fingerprint: validators.Fingerprint(rule, o.APIVersion, o.Kind, o.Namespace, o.Name, field, text),
	}
}

// written adds what is found in the text of a manifest.
func (rv *reviewer) written(v *cluster.View, s *subject, o *outcome) error {
	found, err := s.written(v.Kubernetes())
	if err != nil {
		return err
	}
	verdict, err := rv.Policy.Written(v, s.Object, found)
	if err != nil {
		return err
	}
	for _, f := range verdict.Findings {
		o.findings = append(o.findings, rv.finding(*s, f))
	}
	for _, e := range verdict.Exempted {
		o.exempted = append(o.exempted, report.Exempted{Finding: rv.finding(*s, e.Finding), By: e.By, Reason: e.Reason})
	}
	for _, note := range verdict.Notes {
		o.findings = append(o.findings, rv.note(*s, exemptions, "metadata.annotations", note.String()))
	}
	return nil
}

// unread adds what is found in the text of custom resources, which no rule reads.
func (rv *reviewer) unread(v *cluster.View, custom []manifest.Manifest, r *report.Report) error {
	for i := range custom {
		s, o := subject{Object: custom[i].Object, manifest: &custom[i]}, outcome{}
		if err := rv.written(v, &s, &o); err != nil {
			return err
		}
		rv.add(&o, r)
	}
	return nil
}

func (rv *reviewer) location(s subject, field string) *report.Location {
	if s.manifest == nil {
		return nil
	}
	if e := s.manifest.Edited(field); e != nil {
		column := len(e.Source) - len(strings.TrimLeft(e.Source, " -")) + 1
		l := &report.Location{
			File:      e.File,
			Line:      e.Line,
			Column:    column,
			EndColumn: max(utf8.RuneCountInString(e.Source), column) + 1,
		}
		l.Excerpt(e.Source)
		return l
	}
	m, known := s.manifest.Author(field)
	if !known {
		return &report.Location{File: m.File, Template: m.Template()}
	}
	p := m.Position(field)
	for _, err := range m.Unknown { // the last one counts
		if twice := (*manifest.RepeatedError)(nil); errors.As(err, &twice) && twice.Field == field {
			p = twice.Last
		}
	}
	l := &report.Location{File: m.File, Line: p.Line, Column: p.Column, EndColumn: p.EndColumn,
		Rendered: rv.rendered[m.File], Template: m.Template()}
	l.Excerpt(m.Source(p.Line))
	return l
}

// unknownKind returns what is not known of an error that says so, without what
// was looked for: one line is to stand for many objects.
func unknownKind(err error) string {
	//nolint:errorlint // each layer is looked at by itself, down to the one that is ErrUnknown
	for inner := errors.Unwrap(err); inner != nil && inner != cluster.ErrUnknown; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

func objectOf(obj cluster.Object) report.Object {
	gvk, _ := cluster.GVK(obj)
	return report.Object{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: obj.GetNamespace(),
		Name: obj.GetName()}
}

// fieldOf returns the path in a strict decoding error: unknown field "a.b".
func fieldOf(err error) string {
	_, rest, _ := strings.Cut(err.Error(), `"`)
	path, _, _ := strings.Cut(rest, `"`)
	return path
}

// byLocation sorts what came from files in the order of their lines.
func byLocation(r *report.Report) {
	order := map[string]int{}
	for o := range r.Reviewed {
		if _, ok := order[o.File]; !ok {
			order[o.File] = len(order)
		}
	}
	for _, f := range r.Findings { // a file may have custom resources alone
		if l := f.Location; l != nil {
			if _, ok := order[l.File]; !ok {
				order[l.File] = len(order)
			}
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b report.Finding) int {
		if a.Location == nil || b.Location == nil {
			return 0
		}
		if a.Location.File != b.Location.File {
			return order[a.Location.File] - order[b.Location.File]
		}
		return a.Location.Line - b.Location.Line
	})
}

// What is found in a build, without a rule.
const (
	keptReference = "kustomize-reference"
	madeTime      = "kustomize-date"
)
