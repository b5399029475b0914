package validators

import (
	"fmt"
	"slices"
	"strings"

	"stayput.dev/cluster"
)

// Occasions says when the rule runs, as in "a StatefulSet is created or
// updated", with each kind once.
func (r *Rule) Occasions() (list []string) {
	words := map[Event][]string{
		Stored: {
			"created",
			"updated",
		},
		Created:  {"created"},
		Arriving: {"created"},
		Updated:  {"updated"},
		Freed:    {"freed of a finalizer while it is being deleted"},
		Deleted:  {"deleted"},
	}
	var order []string
	when := map[string][]string{}
	for _, c := range r.Checks {
		if when[c.Kind.Kind] == nil {
			order = append(order, c.Kind.Kind)
		}
		for _, word := range words[c.When] {
			if !slices.Contains(when[c.Kind.Kind], word) {
				when[c.Kind.Kind] = append(when[c.Kind.Kind], word)
			}
		}
	}
	for _, kind := range order {
		list = append(list, fmt.Sprintf("a %s is %s", kind, strings.Join(when[kind], " or ")))
	}
	return list
}

// Concerns lists the paths that an update must change for the rule to run on
// the new state: those that the checks of each kind read. It is empty if they
// read the whole object or check no state.
func (r *Rule) Concerns() (list []string) {
	var order []string
	paths := map[string][]string{}
	for _, c := range r.Checks {
		if c.When != Stored && c.When != Updated || !c.narrow() {
			continue
		}
		if paths[c.Kind.Kind] == nil {
			order = append(order, c.Kind.Kind)
		}
		for _, read := range c.Reads() {
			if path := read.String(); !slices.Contains(paths[c.Kind.Kind], path) {
				paths[c.Kind.Kind] = append(paths[c.Kind.Kind], path)
			}
		}
	}
	for _, kind := range order {
		list = append(list, fmt.Sprintf("of a %s: `%s`", kind, strings.Join(paths[kind], "`, `")))
	}
	return list
}

// OnlyAtAdmission says whether the rule checks only updates and deletions,
// which manifests cannot show.
func (r *Rule) OnlyAtAdmission() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.When == Created || c.When == Stored })
}

// ExemptCommand returns the command, or the field of a manifest, that exempts an
// object from the rule.
func (r *Rule) ExemptCommand() string {
	if len(r.Checks) == 0 { // it is in a manifest alone
		return "metadata: {annotations: {" + cluster.ExemptPrefix + r.Name + ": why}}"
	}
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
