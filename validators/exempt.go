package validators

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// An Exemption is made in the configuration, for objects that operators make
// and that nobody can annotate. Every field may hold * as a wildcard. An empty
// field matches everything, but Reason must not be empty.
type Exemption struct {
	Rule      string
	Namespace string
	Kind      string
	Name      string
	User      string
	Reason    string // mandatory
}

// Validate returns an error for an exemption without a reason, of a rule that
// does not exist, or with a malformed pattern.
func (e Exemption) Validate(rules []*Rule) error {
	if strings.TrimSpace(e.Reason) == "" {
		return fmt.Errorf("exemption from %q: reason is mandatory", e.Rule)
	}
	if !slices.ContainsFunc(rules, func(r *Rule) bool { return matches(e.Rule, r.Name) }) {
		return fmt.Errorf("exemption: no rule is called %q", e.Rule)
	}
	for _, pattern := range []string{e.Rule, e.Namespace, e.Kind, e.Name, e.User} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("exemption from %q: pattern %q: %w", e.Rule, pattern, err)
		}
	}
	return nil
}

// An Exempted is a finding that an exemption made ineffective, and the reason.
type Exempted struct {
	Finding
	By     string // "the object", "the namespace" or "the configuration"
	Reason string
}

// exempt sorts findings and undecided rules into those that count and those
// that an exemption removes.
func (p *Policy) exempt(verdict *Verdict, req cluster.Request, ns *corev1.Namespace, obj cluster.Object,
	found []Finding, undecided []*Undecided) {
	if len(found) == 0 && len(undecided) == 0 {
		return
	}
	kind := kindName(obj)
	exempted := func(rule string) (by, reason string) {
		for _, source := range []struct {
			by          string
			annotations map[string]string
		}{
			{"the object", obj.GetAnnotations()},
			{"the namespace", namespaceAnnotations(ns)},
		} {
			reason, ok := source.annotations[cluster.ExemptPrefix+rule]
			switch {
			case !ok:
			case slices.Contains(p.ForbidExemptions, rule):
				verdict.note(Note{rule, source.by, "has no effect: the configuration forbids exemptions from this rule"})
			case strings.TrimSpace(reason) == "":
				verdict.note(Note{rule, source.by, "has no effect without a reason; fix: give it the reason as its value"})
			default:
				return source.by, reason
			}
		}
		for _, e := range p.Exemptions {
			if matches(e.Rule, rule) && matches(e.Namespace, obj.GetNamespace()) && matches(e.Kind, kind) &&
				matches(e.Name, obj.GetName()) && matches(e.User, req.User.Username) {
				return "the configuration", e.Reason
			}
		}
		return "", ""
	}
	for _, f := range found {
		if by, reason := exempted(f.Rule.Name); by != "" {
			verdict.Exempted = append(verdict.Exempted, Exempted{f, by, reason})
		} else {
			verdict.Findings = append(verdict.Findings, f)
		}
	}
	for _, u := range undecided {
		if by, _ := exempted(u.Rule.Name); by == "" {
			verdict.Undecided = append(verdict.Undecided, u)
		}
	}
}

// A Note is a warning about the policy itself: that an exemption has no effect,
// or what must be configured to let a request through.
type Note struct {
	Rule string // name of the rule that it is about
	Of   string // "the object" or "the namespace", whose annotation exempts from the rule; or ""
	Text string // what is to be said of the annotation, or else of the rule
}

// String returns the note on one line, without a full stop.
func (n Note) String() string {
	if n.Of == "" {
		return n.Rule + ": " + n.Text
	}
	return "annotation " + cluster.ExemptPrefix + n.Rule + " of " + n.Of + " " + n.Text
}

// note adds a note, unless the verdict has it already.
func (v *Verdict) note(n Note) {
	if !slices.Contains(v.Notes, n) {
		v.Notes = append(v.Notes, n)
	}
}

func namespaceAnnotations(ns *corev1.Namespace) map[string]string {
	if ns == nil {
		return nil
	}
	return ns.Annotations
}

// matches says whether s matches a pattern with * as a wildcard. An empty
// pattern matches everything.
func matches(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	// In names of users and namespaces a slash is no separator.
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00"))
	return ok && err == nil
}
