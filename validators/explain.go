package validators

import (
	"fmt"
	"slices"
	"strings"

	"stayput.dev/cluster"
)

// Occasions says when the rule runs, each kind once: a StatefulSet is created
// or updated.
func (r *Rule) Occasions() (list []string) {
	words := map[Event]string{Stored: "created or updated", Created: "created", Arriving: "created", Updated: "updated", Deleted: "deleted"}
	var order []string
	when := map[string][]string{}
	for _, c := range r.Checks {
		if when[c.Kind.Kind] == nil {
			order = append(order, c.Kind.Kind)
		}
		if word := words[c.When]; !slices.Contains(when[c.Kind.Kind], word) {
			when[c.Kind.Kind] = append(when[c.Kind.Kind], word)
		}
	}
	for _, kind := range order {
		list = append(list, fmt.Sprintf("a %s is %s", kind, strings.Join(when[kind], " or ")))
	}
	return list
}

// OnlyAtAdmission says whether the rule is about updates and deletions alone,
// which manifests do not show.
func (r *Rule) OnlyAtAdmission() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.When == Created || c.When == Stored })
}

// ExemptCommand returns the command that exempts an object from the rule.
func (r *Rule) ExemptCommand() string {
	kind := r.Checks[0].Kind
	what := strings.ToLower(kind.Kind) + " NAME"
	if slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Kind != kind }) {
		what = "KIND NAME"
	}
	if slices.ContainsFunc(r.Checks, func(c Check) bool { return cluster.Namespaced(c.Kind.GroupKind()) }) {
		what += " -n NAMESPACE"
	}
	return fmt.Sprintf("kubectl annotate %s %s%s='why'", what, cluster.ExemptPrefix, r.Name)
}
