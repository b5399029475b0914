package validators

import (
	"fmt"
	"slices"
)

// Select returns rules with their levels replaced by the given ones, without
// those that are off. It returns an error for a name that is no rule's, and for
// a level that the rule cannot have: hints are only for what the API server
// itself refuses, and some rules never deny.
func Select(rules []*Rule, levels map[string]Level) ([]*Rule, error) {
	for name := range levels {
		if !slices.ContainsFunc(rules, func(r *Rule) bool { return r.Name == name }) {
			return nil, fmt.Errorf("no rule is called %q", name)
		}
	}
	var selected []*Rule
	for _, r := range rules {
		if level, ok := levels[r.Name]; ok {
			if err := r.mayBe(level); err != nil {
				return nil, err
			}
			c := *r
			c.Level, r = level, &c
		}
		if r.Level != Off {
			selected = append(selected, r)
		}
	}
	return selected, nil
}

func (r *Rule) mayBe(level Level) error {
	switch {
	case level == Off:
		return nil
	case (level == Hint) != (r.Level == Hint):
		if r.Level == Hint {
			return fmt.Errorf("rule %s: level %q: must be %q or %q, for the API server itself refuses what it is about", r.Name,
				level, Off, Hint)
		}
		return fmt.Errorf("rule %s: level %q: only for what the API server itself refuses", r.Name, level)
	case level == Deny && r.NeverDeny:
		return fmt.Errorf("rule %s: level %q: it never denies, for a denial could block a controller or an ordinary teardown",
			r.Name, level)
	}
	return nil
}

// Hints returns the rules of level [Hint]. The mutating endpoint runs them,
// because the API server refuses the object before it calls the validating one.
func Hints(rules []*Rule) []*Rule {
	return filter(rules, func(r *Rule) bool { return r.Level == Hint })
}

// WithoutHints returns the rules that the validating endpoint runs. Of level
// [Hint] these are the ones that deny where the API server does not refuse.
func WithoutHints(rules []*Rule) []*Rule {
	kept := filter(rules, func(r *Rule) bool { return r.Level != Hint || r.Refusal != nil })
	for i, r := range kept {
		if r.Level == Hint {
			c := *r
			c.Level, kept[i] = Deny, &c
		}
	}
	return kept
}

func filter(rules []*Rule, keep func(*Rule) bool) []*Rule {
	var kept []*Rule
	for _, r := range rules {
		if keep(r) {
			kept = append(kept, r)
		}
	}
	return kept
}
