package validators

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// A Mode says how strictly the rules are applied in a namespace.
type Mode string

const (
	ModeOff     Mode = "off"     // rules and mutators do nothing
	ModeWarn    Mode = "warn"    // denials become warnings
	ModeEnforce Mode = "enforce" // denials deny
)

// Modes lists all modes.
func Modes() []Mode { return []Mode{ModeOff, ModeWarn, ModeEnforce} }

// A Policy says which rules apply, how strictly, and to whom.
type Policy struct {
	// Rules are the rules that run; make them with [Select].
	Rules []*Rule

	// OfManifests are those of [OfManifests] that lint applies.
	OfManifests []*Rule

	// Mode is the mode of namespaces that choose none. Empty means
	// [ModeEnforce].
	Mode Mode

	// AllowedModes are the modes that a Namespace's label may choose.
	AllowedModes []Mode

	// Exemptions are those of the configuration. Annotations add others.
	Exemptions []Exemption

	// ForbidExemptions are the rules from which no annotation may exempt.
	ForbidExemptions []string

	// DeletionCallers are users that are warned but never denied a deletion.
	DeletionCallers []Caller
}

// A Verdict is the result of a Policy for the findings about one object.
type Verdict struct {
	Mode      Mode         // empty if no finding needed it
	Findings  []Finding    // gravest first
	Exempted  []Exempted   // findings that an exemption removed
	Undecided []*Undecided // rules whose lookups failed, if their level matters here
	Notes     []Note       // warnings about the policy itself
}

// Denied says whether any finding denies.
func (v Verdict) Denied() bool { return slices.ContainsFunc(v.Findings, denies) }

// Review reviews an object with the policy's rules. Obj is nil for a deletion;
// old is nil unless the object existed. An error means that the namespace, and
// so the mode, could not be read.
//
// There are no findings about an object that is being deleted already, or about
// one in a terminating namespace, unless the update takes a finalizer off it, and
// none about one that Kubernetes' own controllers and nodes update or delete:
// they finish what somebody else began. What they
// create can only be warned about. For an update that changes nothing that a
// rule may read, the Verdict is empty in any mode, and nothing is looked up.
func (p *Policy) Review(v *cluster.View, old, obj cluster.Object) (Verdict, error) {
	free := unheld(old, obj)
	if old != nil && old.GetDeletionTimestamp() != nil && !free {
		return Verdict{Mode: ModeOff}, nil
	}
	if old != nil && v.Request.ByController() {
		return Verdict{Mode: ModeOff}, nil
	}
	change := updated(old, obj)
	if change.nothing() && !free {
		return Verdict{}, nil
	}
	ns, err := namespaceOf(v, subject(old, obj))
	if err != nil {
		return Verdict{}, err
	}
	if terminating(ns) && !free {
		return Verdict{Mode: ModeOff}, nil
	}
	if p.modeOf(ns) == ModeOff {
		return Verdict{Mode: ModeOff}, nil
	}
	if ns != nil && p.modeOf(ns) == ModeEnforce && ns != subject(old, obj) {
		cluster.Foresee[corev1.Namespace](v, "", ns.Name)
	}
	rules := p.Rules
	if cluster.ForeignController(subject(old, obj)) != nil {
		rules = speaking(rules, v.Request, old, obj)
	}
	// Where no denial will stand, none is looked at again.
	pass := &Pass{Cluster: v, change: change, lowered: p.modeOf(ns) == ModeWarn}
	found, undecided := review(pass, rules, old, obj)
	undecided = slices.DeleteFunc(undecided, func(u *Undecided) bool { return errors.Is(u, cluster.ErrUnwatched) })
	verdict := p.judge(v.Request, ns, old, obj, found, undecided)
	live := v.Live()
	if live == nil || !verdict.Denied() {
		return verdict, nil
	}
	// Since the cache was filled, the namespace may have begun to terminate, or
	// have got another mode or an exemption.
	if ns, err = namespaceOf(live, subject(old, obj)); err != nil {
		return Verdict{}, fmt.Errorf("look again before denying: %w", err)
	}
	if terminating(ns) && !free {
		return Verdict{Mode: ModeOff}, nil
	}
	return p.judge(v.Request, ns, old, obj, found, undecided), nil
}

// judge applies to findings the mode of a namespace, the exemptions and the
// policy for objects that operators own.
func (p *Policy) judge(req cluster.Request, ns *corev1.Namespace, old, obj cluster.Object, found []Finding,
	undecided []*Undecided) Verdict {
	verdict := Verdict{Mode: p.modeOf(ns)}
	if verdict.Mode == ModeOff {
		return verdict
	}
	about := subject(old, obj)
	p.exempt(&verdict, req, ns, about, found, undecided)
	if owner := cluster.ForeignController(about); owner != nil {
		verdict.ownedBy(owner, req)
	}
	everything := func(*Rule) bool { return true }
	if p.neverDenied(req, old, obj) {
		verdict.lower(everything)
	}
	verdict.letThrough(req, about, obj == nil)
	if verdict.Mode == ModeWarn {
		verdict.lower(everything)
	}
	slices.SortStableFunc(verdict.Findings, byLevel)
	return verdict
}

// ModeFor returns the mode in which obj is reviewed and mutated.
func (p *Policy) ModeFor(v *cluster.View, obj cluster.Object) (Mode, error) {
	ns, err := namespaceOf(v, obj)
	if err != nil {
		return "", err
	}
	return p.modeOf(ns), nil
}

// Weakened returns the mode that a Namespace's label has chosen, if it is
// weaker than the configuration's.
func (p *Policy) Weakened(ns *corev1.Namespace) (Mode, bool) {
	mode := p.modeOf(ns)
	return mode, slices.Index(Modes(), mode) < slices.Index(Modes(), p.modeOf(nil))
}

func (p *Policy) modeOf(ns *corev1.Namespace) Mode {
	if ns != nil {
		if m := Mode(ns.Labels[cluster.LabelMode]); slices.Contains(p.AllowedModes, m) {
			return m
		}
	}
	if p.Mode == "" {
		return ModeEnforce
	}
	return p.Mode
}

// neverDenied says whether a denial is impossible because of the caller: the
// user that deletes, or the controller that creates.
func (p *Policy) neverDenied(req cluster.Request, old, obj cluster.Object) bool {
	if old == nil && req.ByController() {
		return true
	}
	return obj == nil && p.mayDelete(req.User.Username, old)
}

// lower turns denials by some rules into warnings, and changes nothing else.
func (v *Verdict) lower(by func(*Rule) bool) {
	for i := range v.Findings {
		if f := &v.Findings[i]; by(f.Rule) {
			f.Level = min(f.Level, Warn)
		}
	}
	for i, u := range v.Undecided {
		if u.Rule.Level == Deny && by(u.Rule) {
			r := *u.Rule
			r.Level = Warn
			v.Undecided[i] = &Undecided{&r, u.Err}
		}
	}
}

// namespaceOf returns the Namespace that obj is or belongs to, or nil if there
// is none or it is not known here.
func namespaceOf(v *cluster.View, obj cluster.Object) (*corev1.Namespace, error) {
	if ns, ok := obj.(*corev1.Namespace); ok {
		return ns, nil
	}
	name := placeOf(obj)
	if name == "" {
		return nil, nil
	}
	ns, err := cluster.Get[corev1.Namespace](v, "", name)
	if errors.Is(err, cluster.ErrUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get Namespace %s: %w", name, err)
	}
	return ns, nil
}

func terminating(ns *corev1.Namespace) bool {
	return ns != nil && (ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating)
}
