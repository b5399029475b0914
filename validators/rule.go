package validators

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// A Rule is one convention: what it is called, why it exists, and the check.
type Rule struct {
	// Name identifies the rule in messages, configuration, metrics and docs:
	// kebab-case, subject first.
	Name string

	// Doc explains the rule. Its first line is a title, a lower-case clause
	// that says what must hold; the rest says why, and how to comply.
	Doc string

	// Exempt says when it is right to exempt an object from the rule: a clause
	// that ends "exempt it where ...", or begins with "never: " and why.
	Exempt string

	// Level is the most that a finding can do. The configuration may lower it,
	// or raise it unless NeverDeny.
	Level Level

	// NeverDeny says that a denial could block a controller or an ordinary
	// teardown.
	NeverDeny bool

	// SavesData says that a denial keeps a disk from being destroyed. No owner of
	// the object and no Pod that lives on lowers it; only that nothing can be
	// destroyed does.
	SavesData bool

	// Style says that the rule is about how well a workload runs, not whether it
	// works. What a foreign controller owns is told of it once, at creation, and
	// never upon updates.
	Style bool

	// Companion says that the rule is about what must stand beside the object. An
	// operator makes that a second later: of what it owns, the rule says nothing at
	// creation.
	Companion bool

	// Runs says whether what lives on of a workload, deleted without its Pods and
	// made anew, shows already what the rule denies to its creation, which then
	// only warns. Nil means that it does if anything lives on, and of a rule that
	// saves data, that it never does.
	Runs shown

	// Awaits is asked before such a denial stands. It may wait, and returns the
	// cluster as it is then, or nil; the rule looks again at the former.
	Awaits func(v *cluster.View, obj client.Object, left *remnants) (*cluster.View, error)

	// Reads lists the kinds that the checks look up. Informers, RBAC and the
	// documentation are derived from it.
	Reads []client.Object

	// Checks are the rule itself. It may concern several kinds.
	Checks []Check
}

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

// A Check is a function over one kind with its type erased, so that rules
// about different kinds fit in one list. Make one with [On], [OnCreate],
// [OnArrival], [OnUpdate] or [OnDelete].
type Check struct {
	Kind schema.GroupVersionKind
	When Event

	// Reads are what it looks at in the object itself, besides the name. An
	// update that changes none of it is not shown to the check. [Check.Of] sets
	// them; without it they are the labels, the annotations and the whole spec.
	Reads []Read

	object reflect.Type // the struct of the kind
	run    func(p *Pass, old, obj client.Object) error
}

// newCheck returns a check of objects of type T, which reads them whole.
func newCheck[T client.Object](when Event, run func(p *Pass, old, obj client.Object) error) Check {
	object := reflect.TypeFor[T]().Elem()
	return Check{Kind: cluster.KindOf[T](), When: when, Reads: shapeOf(object).whole, object: object, run: run}
}

// An Event is what must happen to an object for a [Check] to apply.
type Event int

const (
	Stored   Event = iota // created, updated, or simply there
	Created               // created, or simply there
	Arriving              // created by a request: of what is simply there it says nothing
	Updated               // changed from one state to another
	Deleted
)

// On checks a state: an object that is created, updated in what the check reads,
// or that audit and lint come across.
func On[T client.Object](f func(p *Pass, obj T) error) Check {
	return newCheck[T](Stored, func(p *Pass, _, obj client.Object) error {
		return f(p, obj.(T))
	})
}

// OnCreate checks what an update need not repeat: an object that is created,
// or that audit and lint come across.
func OnCreate[T client.Object](f func(p *Pass, obj T) error) Check {
	return newCheck[T](Created, func(p *Pass, _, obj client.Object) error {
		return f(p, obj.(T))
	})
}

// OnArrival checks what a request that creates an object brings about: not what
// audit comes across, nor manifests.
func OnArrival[T client.Object](f func(p *Pass, obj T) error) Check {
	return newCheck[T](Arriving, func(p *Pass, _, obj client.Object) error {
		if obj.GetResourceVersion() != "" || p.Cluster.Manifests() {
			return nil // what is there has done it, and a file is sent to nobody yet
		}
		return f(p, obj.(T))
	})
}

// OnUpdate checks a transition.
func OnUpdate[T client.Object](f func(p *Pass, old, obj T) error) Check {
	return newCheck[T](Updated, func(p *Pass, old, obj client.Object) error {
		return f(p, old.(T), obj.(T))
	})
}

// OnDelete checks an object that is about to go.
func OnDelete[T client.Object](f func(p *Pass, obj T) error) Check {
	return newCheck[T](Deleted, func(p *Pass, _, obj client.Object) error {
		return f(p, obj.(T))
	})
}

// A Pass is one rule looking at one object.
type Pass struct {
	// Cluster answers lookups, and knows who asks.
	Cluster *cluster.View

	rule     *Rule
	change   *change // what the update changed; nil if it is none
	findings []Finding
}

// Report records a finding at the rule's level. The error's detail says what
// is wrong and what it would cost; the remedy is the command or the lines of
// YAML, in flow style, that mend it. Where the two differ by who reads it, the
// remedy is a [Pass.Mend]. No remedy deletes what may hold data.
func (p *Pass) Report(err *field.Error, remedy string) { p.add(p.rule.Level, err, remedy) }

// Warn records a finding that is never more than a warning.
func (p *Pass) Warn(err *field.Error, remedy string) {
	p.add(min(p.rule.Level, Warn), err, remedy)
}

// Briefly gives shorter remedies, the best first, for where that of what was
// reported last does not fit.
func (p *Pass) Briefly(remedies ...string) { p.findings[len(p.findings)-1].briefs = remedies }

// Loses names the volumes whose disks are lost if what was reported last comes to
// pass.
func (p *Pass) Loses(volumes ...string) { p.findings[len(p.findings)-1].Loses = volumes }

// ReportBrief is [Pass.Report] with what is said in place of a remedy that a
// warning has no room for, beside where to find the rest.
func (p *Pass) ReportBrief(err *field.Error, remedy, brief string) {
	p.Report(err, remedy)
	p.Briefly(brief + orElse + printRule + p.rule.Name)
}

// ReportRecreating is [Pass.ReportBrief] of a remedy that deletes the object and
// makes it again. Brief leaves it alone.
func (p *Pass) ReportRecreating(err *field.Error, remedy, brief string) {
	p.ReportBrief(err, remedy, brief)
	p.Recreates(brief)
}

// Recreates says that the remedy of what was reported last deletes the object and
// makes it again, and which remedy leaves it alone.
func (p *Pass) Recreates(keep string) {
	f := &p.findings[len(p.findings)-1]
	f.Recreates, f.keep = true, keep
}

// Mend returns the remedy for whoever reads of the finding: the fields to write
// where manifests are reviewed, or else the commands for what is in a cluster.
func (p *Pass) Mend(manifest, command string) string {
	if p.Cluster.Manifests() {
		return manifest
	}
	return command
}

func (p *Pass) add(level Level, err *field.Error, remedy string) {
	p.findings = append(p.findings, Finding{Rule: p.rule, Level: level, Remedy: remedy, Error: err})
}
