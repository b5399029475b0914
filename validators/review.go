package validators

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
)

// An Undecided is the error of a rule whose lookup failed.
type Undecided struct {
	Rule *Rule
	Err  error
}

// Error returns the rule's name and its error.
func (u *Undecided) Error() string { return u.Rule.Name + ": " + u.Err.Error() }

// Unwrap returns the rule's error.
func (u *Undecided) Unwrap() error { return u.Err }

// Review runs the rules for an object. Obj is nil for a deletion; old is nil
// unless the object existed. The gravest findings come first. Findings are
// returned for the rules that could decide, an [Undecided] for each of the
// others.
//
// If the source does not know a kind ([cluster.ErrUnknown], which only lint's
// returns), the findings that the rule made before that lookup are kept: more
// knowledge would not refute them. If a lookup failed, the rule's findings are
// dropped, because incomplete knowledge of the cluster is no ground for a
// denial, and asking again may succeed.
//
// For an update, a check runs only if the update changed one of its
// [Check.Reads] or the exemption from its rule. A danger that another object's
// change caused was reported there, and audit reports it. A finding of these
// checks that the old object already had only warns: a convention must not stop
// anybody from scaling a StatefulSet that is older than it. Nor is a workload
// refused that is created again around Pods which run already: see [Rule.Runs].
// Before a rule denies by what it read in a cache, it looks again at the API
// server.
func Review(v *cluster.View, rules []*Rule, old, obj cluster.Object) ([]Finding, []*Undecided) {
	change := updated(old, obj)
	if change.nothing() && !unheld(old, obj) {
		return nil, nil
	}
	return review(&Pass{Cluster: v, change: change}, rules, old, obj)
}

// Unchanged says whether this is an update that changes nothing that a rule may
// read: no label, no annotation and nothing else that an author writes. Either
// object may be nil.
func Unchanged(old, obj cluster.Object) bool { return updated(old, obj).nothing() }

// Written returns the paths of the fields of an object that [Unchanged] compares,
// as metadata.labels and spec.
func Written(obj cluster.Object) []string {
	whole := shapeOf(reflect.TypeOf(obj).Elem()).whole
	paths := make([]string, len(whole))
	for i, read := range whole {
		paths[i] = read.Path
	}
	return paths
}

// updated returns what an update changed, or nil if this is no update.
func updated(old, obj cluster.Object) *change {
	if old == nil || obj == nil {
		return nil
	}
	return changeOf(old, obj)
}

// unheld says whether an update takes a finalizer off an object that is being
// deleted. Either object may be nil.
func unheld(old, obj cluster.Object) bool {
	if old == nil || obj == nil || old.GetDeletionTimestamp() == nil {
		return false
	}
	kept := obj.GetFinalizers()
	return slices.ContainsFunc(old.GetFinalizers(), func(f string) bool { return !slices.Contains(kept, f) })
}

// review is [Review] in a new pass, except of updates that changed nothing.
func review(p *Pass, rules []*Rule, old, obj cluster.Object) ([]Finding, []*Undecided) {
	kind, err := cluster.GVK(subject(old, obj))
	if err != nil {
		return nil, nil // no rule is about kinds that the scheme does not know
	}
	var findings []Finding
	var undecided []*Undecided
	of := structOf(subject(old, obj))
	for _, r := range rules {
		if !r.about(of, old, obj) {
			continue
		}
		found, err := r.review(p, kind, old, obj)
		if err != nil {
			undecided = append(undecided, &Undecided{r, err})
		}
		findings = append(findings, found...)
	}
	slices.SortStableFunc(findings, byLevel)
	return findings, undecided
}

// byLevel puts the gravest finding first.
func byLevel(a, b Finding) int { return int(b.Level - a.Level) }

// subject returns the object that a request is about.
func subject(old, obj cluster.Object) cluster.Object {
	if obj == nil {
		return old
	}
	return obj
}

// review runs one rule, and once more with live lookups if it would deny. The
// findings are valid until the same pass runs the next rule.
func (r *Rule) review(p *Pass, kind schema.GroupVersionKind, old, obj cluster.Object) ([]Finding, error) {
	v := p.Cluster
	before := v.Reads()
	p.since, p.repeats = before, !p.lowered && v.Live() != nil
	found, err := r.run(p, old, obj)
	if known(err) != nil || !slices.ContainsFunc(found, denies) {
		return found, err
	}
	if p.lowered {
		return r.letRun(v, kind, old, obj, found)
	}
	if live := v.Live(); live != nil && v.Reads() > before {
		foreseeRemnants(v, old, obj)
		live.LookAhead(before)
		if found, err = r.run(&Pass{Cluster: live, change: p.change}, old, obj); err != nil {
			return nil, fmt.Errorf("look again before denying: %w", err)
		}
	}
	now := v
	if live := v.Live(); live != nil {
		now = live
	}
	running, wrong := r.letRun(now, kind, old, obj, found)
	if wrong != nil {
		return nil, fmt.Errorf("look again before denying: %w", wrong)
	}
	return running, err
}

func denies(f Finding) bool { return f.Level == Deny }

// run runs the checks of a rule and lowers to a warning what the old object
// already had. It returns findings and an error together only if that is
// [cluster.ErrUnknown].
func (r *Rule) run(p *Pass, old, obj cluster.Object) ([]Finding, error) {
	p.rule, p.findings = r, p.findings[:0]
	if p.level = r.levelIn(p); p.level == Off {
		return nil, nil
	}
	of := structOf(subject(old, obj))
	for i := range r.Checks {
		c := &r.Checks[i]
		if !c.is(of, old, obj) || !p.concerned(c) {
			continue
		}
		first := len(p.findings)
		p.presumes = false
		unknown := c.run(p, old, subject(old, obj))
		if known(unknown) != nil {
			return nil, unknown
		}
		if c.When == Stored && p.change != nil && slices.ContainsFunc(p.findings[first:], denies) {
			was := &Pass{Cluster: p.Cluster, rule: r, level: p.level}
			if err := c.run(was, nil, old); known(err) != nil {
				return nil, err
			}
			ratchet(p.findings[first:], obj, was.findings, old)
		}
		if unknown != nil {
			return p.findings, unknown
		}
	}
	return p.findings, nil
}

// levelIn returns the level of a rule in the versions of Kubernetes that the API
// servers have: another one than usual, or none at this webhook, only for a rule
// with a [Rule.Refusal]. Where it is not certain that nobody refuses, the hint is
// right in all versions.
func (r *Rule) levelIn(p *Pass) Level {
	switch taken := r.Refusal != nil && p.has(r.Refusal) == cluster.Absent; {
	case r.Refusal == nil, !taken && r.Level == Hint:
		return r.Level
	case taken && (r.Level != Hint || !p.Cluster.Admission()):
		return Deny
	}
	return Off
}

// ratchet lowers to a warning every denial of obj that old already had. A
// problem that old was only warned about is new if obj is denied it: a hostname
// fixed for one replica, and now for three.
func ratchet(findings []Finding, obj cluster.Object, before []Finding, old cluster.Object) {
	known, was, is := make(map[string]bool, len(before)), stablePaths(old), stablePaths(obj)
	for _, f := range before {
		if f.Level == Deny {
			known[was(f.Field)] = true
		}
	}
	for i := range findings {
		if f := &findings[i]; f.Level == Deny && known[is(f.Field)] {
			f.Level = Warn
		}
	}
}

// concerned says whether a check of the pass's rule must run for this request:
// for an update, if it changed what the check reads, or added or removed an
// exemption.
func (p *Pass) concerned(c *Check) bool {
	return p.change == nil || c.When == Freed || p.change.touches(c.Reads()) || p.change.exempts(p.rule.Name)
}

// about says whether a check of the rule is.
func (r *Rule) about(of reflect.Type, old, obj cluster.Object) bool {
	for i := range r.Checks { // a check is not copied
		if r.Checks[i].is(of, old, obj) {
			return true
		}
	}
	return false
}

// is says whether a check is of objects of a struct type, and of what happens to
// one.
func (c *Check) is(of reflect.Type, old, obj cluster.Object) bool {
	return c.object == of && c.When.is(old, obj)
}

// structOf returns the struct type of an object.
func structOf(obj cluster.Object) reflect.Type { return reflect.TypeOf(obj).Elem() }

func (e Event) is(old, obj cluster.Object) bool {
	switch {
	case obj == nil:
		return e == Deleted
	case old == nil:
		return e == Stored || e == Created || e == Arriving
	case unheld(old, obj):
		return e == Freed
	default:
		return e == Stored || e == Updated
	}
}
