package validators

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// A Rule is one convention: its name, its reasons and its checks.
type Rule struct {
	// Name identifies the rule in messages, configuration, metrics and docs:
	// kebab-case, subject first.
	Name string

	// Doc explains the rule. Its first line is a title, a lower-case clause
	// that says what must hold; the rest says why, and how to comply.
	Doc string

	// Versions are what versions of Kubernetes decide about the rule. The rule
	// may ask about these alone: see [Pass.has].
	Versions []*cluster.Feature

	// Refusal, of a rule of level [Hint], is that by which the API server itself
	// refuses what the rule is about; nil if all versions do. Where no API server
	// has it, the rule denies, at the validating webhook.
	Refusal *cluster.Feature

	// Exempt says when it is right to exempt an object from the rule: a clause
	// that ends "exempt it where ...", or begins with "never: " and why.
	Exempt string

	// Level is the highest level of a finding. The configuration may lower it,
	// or raise it unless NeverDeny.
	Level Level

	// Loses is what is lost, first of all, where the rule is not kept. The
	// documentation groups rules by it.
	Loses Loss

	// NeverDeny says that a denial could block a controller or an ordinary
	// teardown.
	NeverDeny bool

	// SavesData says that a denial keeps a disk from being destroyed. It is not
	// lowered because the object has an owner or because its Pods live on, but
	// only if nothing can be destroyed.
	SavesData bool

	// Chosen says that a person asks for the denial, by a label on the object,
	// until that person takes the label off. It is not lowered because the
	// object has an owner, and its remedy is for every caller.
	Chosen bool

	// Style says that the rule is about how well a workload runs, not whether
	// it runs. For objects of a foreign controller, it is reported once, at
	// creation, and never upon updates.
	Style bool

	// Companion says that the rule is about an object that must exist beside
	// this one. An operator creates that a second later, so the rule is silent
	// when an object of an operator is created.
	Companion bool

	// Runs says whether the remnants of a workload that was deleted without its
	// Pods and is created again show already what the rule denies to its
	// creation; if so, the rule only warns. Nil means that any remnant shows
	// it, or, for a rule that saves data, that none does.
	Runs shown

	// Awaits is called before such a denial stands. It may wait, and returns
	// the cluster as it is afterwards, which the rule then reads; or nil.
	Awaits func(v *cluster.View, obj cluster.Object, left *remnants) (*cluster.View, error)

	// Reads lists the kinds that the checks look up. Informers, RBAC and the
	// documentation are derived from it.
	Reads []cluster.Object

	// Checks are the functions of the rule. They may be about several kinds.
	Checks []Check
}

// Title returns the first line of Doc: a clause that says what must hold.
func (r *Rule) Title() string {
	title, _, _ := strings.Cut(r.Doc, "\n")
	return title
}

// Explanation returns the paragraphs of Doc after the title, and Versions after
// them where there are any. Blank lines separate the paragraphs.
func (r *Rule) Explanation() string {
	_, why, _ := strings.Cut(r.Doc, "\n\n")
	if text := r.VersionText(); text != "" {
		why += "\n\n" + text
	}
	return why
}

// A Loss is what somebody loses where a rule is not kept.
type Loss int

const (
	LosesName Loss = iota + 1 // a Pod is not found by its name, or another is
	LosesData                 // a disk is destroyed, is written by several, or lacks what was not saved
	LosesTime                 // something waits, fails to start, or stands still
)

// Losses are all kinds of loss, in the order in which the documentation has them.
var Losses = []Loss{LosesName, LosesData, LosesTime}

// String returns name, data or time.
func (l Loss) String() string { return [...]string{"", "name", "data", "time"}[l] }

// A Level is what a finding does to a request.
type Level int

const (
	Off  Level = iota // the rule does not run
	Hint              // a warning beside the API server's own refusal
	Warn              // a warning
	Deny              // the request is refused
)

var levels = [...]string{Off: "off", Hint: "hint", Warn: "warn", Deny: "deny"}

// String returns off, hint, warn or deny.
func (l Level) String() string { return levels[l] }

// MarshalText implements [encoding.TextMarshaler].
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText lets a Level be written in configuration and flags.
func (l *Level) UnmarshalText(text []byte) error {
	i := slices.Index(levels[:], string(text))
	if i < 0 {
		return fmt.Errorf("level %q: must be one of %q", text, levels)
	}
	*l = Level(i)
	return nil
}

// A Check is a function over one kind. Its type is erased, so that rules about
// different kinds fit in one list. Make one with [On], [OnCreate], [OnArrival],
// [OnUpdate], [OnFree] or [OnDelete].
type Check struct {
	Kind schema.GroupVersionKind
	When Event

	reads  func() []Read
	object reflect.Type // struct type of the kind
	run    func(p *Pass, old, obj cluster.Object) error
}

// newCheck returns a check of objects of type T that reads them whole.
func newCheck[T cluster.Object](when Event, run func(p *Pass, old, obj cluster.Object) error) Check {
	object := reflect.TypeFor[T]().Elem()
	return Check{Kind: cluster.KindOf[T](), When: when, reads: func() []Read { return shapeOf(object).whole },
		object: object, run: run}
}

// An Event is what must happen to an object for a [Check] to run.
type Event int

const (
	Stored   Event = iota // created, updated, or found by audit or lint
	Created               // created, or found by audit or lint
	Arriving              // created by a request; not found by audit or lint
	Updated               // changed from one state to another
	Freed                 // no longer held by a finalizer, while it is being deleted
	Deleted
)

// On checks a state: of an object that is created, that is updated in a field
// that the check reads, or that audit or lint finds.
func On[T cluster.Object](f func(p *Pass, obj T) error) Check {
	return newCheck[T](Stored, func(p *Pass, _, obj cluster.Object) error {
		return f(p, obj.(T))
	})
}

// OnCreate checks a state that need not be reported upon updates: of an object
// that is created, or that audit or lint finds.
func OnCreate[T cluster.Object](f func(p *Pass, obj T) error) Check {
	return newCheck[T](Created, func(p *Pass, _, obj cluster.Object) error {
		return f(p, obj.(T))
	})
}

// OnArrival checks the effects of a request that creates an object. It does not
// run for objects in audit or manifests.
func OnArrival[T cluster.Object](f func(p *Pass, obj T) error) Check {
	return newCheck[T](Arriving, func(p *Pass, _, obj cluster.Object) error {
		if obj.GetResourceVersion() != "" || p.Cluster.Manifests() {
			return nil // an existing object has had its effects, and a file is not sent yet
		}
		return f(p, obj.(T))
	})
}

// OnUpdate checks the change from one state to another.
func OnUpdate[T cluster.Object](f func(p *Pass, old, obj T) error) Check {
	return newCheck[T](Updated, func(p *Pass, old, obj cluster.Object) error {
		return f(p, old.(T), obj.(T))
	})
}

// OnFree checks an update that takes a finalizer off an object which is being
// deleted, and which may be gone right afterwards. No other check sees an object
// that is being deleted.
func OnFree[T cluster.Object](f func(p *Pass, old, obj T) error) Check {
	return newCheck[T](Freed, func(p *Pass, old, obj cluster.Object) error {
		return f(p, old.(T), obj.(T))
	})
}

// OnDelete checks an object that is about to be deleted.
func OnDelete[T cluster.Object](f func(p *Pass, obj T) error) Check {
	return newCheck[T](Deleted, func(p *Pass, _, obj cluster.Object) error {
		return f(p, obj.(T))
	})
}

// A Pass is the review of one object by one rule.
type Pass struct {
	// Cluster answers lookups, and knows the caller.
	Cluster *cluster.View

	rule     *Rule
	level    Level   // of what the rule reports
	change   *change // what the update changed; nil if this is no update
	lowered  bool    // none of its denials will stand: none is looked at again
	repeats  bool    // a denial is looked at again, if lookups were made since
	since    int     // the number of lookups of the view when the rule began
	findings []Finding
	presumes bool // that a kind which is not known is empty: findings only warn

	first   []corev1.PersistentVolumeClaim // see firstClaim
	firstOf *appsv1.StatefulSet
}

// Provisional says whether a finding that denies is dropped, and found again with lookups
// at the API server. A rule whose remedy takes much work can leave it out then.
func (p *Pass) Provisional() bool {
	return p.repeats && p.level == Deny && p.Cluster.Reads() > p.since
}

// Report records a finding at the rule's level, or as a denial: see
// [Rule.Refusal]. The error's detail says what is wrong and what it would cost;
// the remedy, whose alternatives are given one by one as in a [Remedy], is the
// command or the lines of YAML, in flow style, that mend it. Where the remedy in
// a manifest differs from that in a cluster, use [Pass.Mend]. No remedy deletes what may hold data.
func (p *Pass) Report(err *field.Error, remedy ...string) { p.add(p.level, err, remedy) }

// Warn records a finding that is never more than a warning. It takes what
// [Pass.Report] takes.
func (p *Pass) Warn(err *field.Error, remedy ...string) {
	p.add(min(p.level, Warn), err, remedy)
}

// Briefly gives shorter remedies, the best first, for use where that of the
// last report does not fit.
func (p *Pass) Briefly(remedies ...string) { p.last().briefs = briefly(remedies...) }

// Fix says that the remedy of the last report was made from a fix, and begins
// with its text where manifests are reviewed.
func (p *Pass) Fix(f *Fix) { p.last().Fix = f }

// ReportFix is [Pass.Report] of a remedy that is a fix, with its alternatives.
func (p *Pass) ReportFix(err *field.Error, f *Fix, or ...string) {
	p.Report(err, append([]string{f.Text()}, or...)...)
	p.Fix(f)
}

// ReportMend is [Pass.ReportFix] where manifests are reviewed, and [Pass.Report] of the
// command for a cluster elsewhere. Only the one of both that is read is made.
func (p *Pass) ReportMend(err *field.Error, fix func() *Fix, command func() string) {
	if p.Cluster.Manifests() {
		p.ReportFix(err, fix())
		return
	}
	p.Report(err, command())
}

// Through says that the remedy of the last report ends with an owner of the
// object, through which it must be applied: see [throughOwner].
func (p *Pass) Through(owner *metav1.OwnerReference) { p.last().through = throughOwner(owner) }

func (p *Pass) last() *Finding { return &p.findings[len(p.findings)-1] }

// Loses names the volumes whose disks would be destroyed by the request of the
// last report.
func (p *Pass) Loses(volumes ...string) { p.last().Loses = volumes }

// ReportBrief is [Pass.Report] with a shorter remedy, for a warning that has no
// room for the whole one but names the command that prints it.
func (p *Pass) ReportBrief(err *field.Error, remedy, shorter string) {
	p.Report(err, remedy)
	p.last().briefs = []brief{{shorter, true}}
}

// ReportRecreating is [Pass.ReportBrief] for a remedy that deletes the object
// and creates it again. Brief is a remedy that does not.
func (p *Pass) ReportRecreating(err *field.Error, remedy, brief string) {
	p.ReportBrief(err, remedy, brief)
	p.Recreates(brief)
}

// Recreates says that the remedy of the last report deletes the object and
// creates it again. Keep is a remedy that does not.
func (p *Pass) Recreates(keep string) {
	f := p.last()
	f.Recreates, f.keep = true, Remedy{keep}
}

// Mend returns the remedy that the reader can apply: the fields to write if
// manifests are reviewed, or else the commands for a cluster.
func (p *Pass) Mend(manifest, command string) string {
	if p.Cluster.Manifests() {
		return manifest
	}
	return command
}

func (p *Pass) add(level Level, err *field.Error, remedy Remedy) {
	if p.presumes {
		level = min(level, Warn)
	}
	p.findings = append(p.findings, Finding{Rule: p.rule, Level: level, Remedy: remedy, Error: err})
}
