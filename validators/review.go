package validators

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"stayput.dev/cluster"
)

// An Undecided is the error of a rule that could not look.
type Undecided struct {
	Rule *Rule
	Err  error
}

// Error returns the rule's name and what it was doing.
func (u *Undecided) Error() string { return u.Rule.Name + ": " + u.Err.Error() }

// Unwrap returns the rule's error.
func (u *Undecided) Unwrap() error { return u.Err }

// Review runs the rules that concern an object. Obj is nil for a deletion, old
// is nil unless the object existed. The findings come gravest first; those of
// the rules that could be decided stand beside the [Undecided] of the others.
//
// Where the source does not know a kind ([cluster.ErrUnknown], which only lint's
// does), what a rule had found before it asked stands too: knowing more would
// not take it back. Of a lookup that failed nothing stands, for half a look at
// the cluster is no ground for a denial, and asking again may answer.
//
// An update speaks of what it changed alone: a check is run if one of its
// [Check.Reads] is another than it was, or the exemption from its rule. What
// another object's change has made dangerous was said there, and is in audit.
// Of those checks, a finding that the old object already had only warns: nobody
// should be stopped from scaling a StatefulSet by a convention younger than it.
// Nor is what runs already refused where it is made anew around its Pods: see
// [Rule.Runs]. Before it denies, a rule that looked anything up in a cache looks
// again at the API server.
func Review(v *cluster.View, rules []*Rule, old, obj client.Object) ([]Finding, []*Undecided) {
	change := updated(old, obj)
	if change.nothing() {
		return nil, nil
	}
	return review(v, rules, change, old, obj)
}

// Unchanged says whether this is an update that changes nothing that a rule may
// ask about: neither labels nor annotations nor what else an author writes. Either
// may be nil.
func Unchanged(old, obj client.Object) bool { return updated(old, obj).nothing() }

// updated returns what an update changed, or nil of what is no update.
func updated(old, obj client.Object) *change {
	if old == nil || obj == nil {
		return nil
	}
	return changeOf(old, obj)
}

// review is [Review] of what is no update, or one that has changed something.
func review(v *cluster.View, rules []*Rule, change *change, old, obj client.Object) ([]Finding, []*Undecided) {
	kind, err := apiutil.GVKForObject(subject(old, obj), scheme.Scheme)
	if err != nil {
		return nil, nil // no rule concerns what the scheme does not know
	}
	var findings []Finding
	var undecided []*Undecided
	p := &Pass{Cluster: v, change: change}
	for _, r := range rules {
		if !r.concerns(kind, old, obj) {
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
func subject(old, obj client.Object) client.Object {
	if obj == nil {
		return old
	}
	return obj
}

// review runs one rule, over the live cluster once more if it would deny. The
// findings are good until the next rule is run with the same pass.
func (r *Rule) review(p *Pass, kind schema.GroupVersionKind, old, obj client.Object) ([]Finding, error) {
	v := p.Cluster
	before := v.Reads()
	found, err := r.run(p, kind, old, obj)
	if known(err) != nil || !slices.ContainsFunc(found, denies) {
		return found, err
	}
	if live := v.Live(); live != nil && v.Reads() > before {
		if found, err = r.run(&Pass{Cluster: live, change: p.change}, kind, old, obj); err != nil {
			return nil, fmt.Errorf("look again before denying: %w", err)
		}
	}
	running, wrong := r.letRun(v, kind, old, obj, found)
	if wrong != nil {
		return nil, fmt.Errorf("look again before denying: %w", wrong)
	}
	return running, err
}

func denies(f Finding) bool { return f.Level == Deny }

// run runs the checks of a rule and lets pass, with a warning, what the old
// object already had. Findings come with an error only if that is
// [cluster.ErrUnknown].
func (r *Rule) run(p *Pass, kind schema.GroupVersionKind, old, obj client.Object) ([]Finding, error) {
	p.rule, p.findings = r, p.findings[:0]
	for _, c := range r.Checks {
		if c.Kind != kind || !c.When.is(old, obj) || !p.concerned(&c) {
			continue
		}
		first := len(p.findings)
		if err := c.run(p, old, subject(old, obj)); err != nil {
			if errors.Is(err, cluster.ErrUnknown) && (old == nil || obj == nil) { // no ratchet needed
				return p.findings, err
			}
			return nil, err
		}
		if c.When != Stored || p.change == nil || !slices.ContainsFunc(p.findings[first:], denies) {
			continue
		}
		was := &Pass{Cluster: p.Cluster, rule: r}
		if err := c.run(was, nil, old); err != nil {
			return nil, err
		}
		ratchet(p.findings[first:], obj, was.findings, old)
	}
	return p.findings, nil
}

// ratchet lowers to a warning every denial of obj that stands among those of
// old. What old was only warned about, a hostname fixed for one replica, is news
// where obj is denied it, for three.
func ratchet(findings []Finding, obj client.Object, before []Finding, old client.Object) {
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

// concerned says whether what happens is something to a check of the pass's rule:
// of an update, whether it changed what the check reads, or lifted or wrote an
// exemption.
func (p *Pass) concerned(c *Check) bool {
	return p.change == nil || p.change.touches(c.Reads) || p.change.exempts(p.rule.Name)
}

func (r *Rule) concerns(kind schema.GroupVersionKind, old, obj client.Object) bool {
	return slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Kind == kind && c.When.is(old, obj) })
}

func (e Event) is(old, obj client.Object) bool {
	switch {
	case obj == nil:
		return e == Deleted
	case old == nil:
		return e == Stored || e == Created || e == Arriving
	default:
		return e == Stored || e == Updated
	}
}
