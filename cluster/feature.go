package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// A Feature is something that some releases of Kubernetes do and others do not.
type Feature struct {
	// With and Without say what is so where it is there, and where it is not:
	// clauses, lower case.
	With, Without string

	// On are the releases that have it by default, oldest first.
	On []Span

	// Gate is the feature gate by which an administrator may have it otherwise,
	// or "" if the release alone decides.
	Gate string

	// Gated is the first release that has the gate, and Locked the first in which
	// it cannot be closed; zero if all those known let it be closed.
	Gated, Locked Version
}

// A Span is a range of releases. Before is the first one after it, or zero if it
// goes on.
type Span struct{ From, Before Version }

func (s Span) has(v Version) bool {
	return v.Compare(s.From) >= 0 && (s.Before == Version{} || v.Compare(s.Before) < 0)
}

// Presence says whether the API servers of a cluster have a feature.
type Presence int

const (
	Unsure       Presence = iota // some may have it and others not
	Absent                       // none can have it
	OffByDefault                 // none has it unless its gate was opened
	OnByDefault                  // all have it unless its gate was closed
	Always                       // all have it
)

// Likely says whether all have the feature where no gate was touched. No denial
// may rest on it: a gate may have been.
func (p Presence) Likely() bool { return p == OnByDefault || p == Always }

// Unlikely says whether none has the feature where no gate was touched. No denial
// may rest on it.
func (p Presence) Unlikely() bool { return p == Absent || p == OffByDefault }

// In says whether the API servers of these releases have the feature.
func (f *Feature) In(v Versions) Presence {
	if !v.Known() {
		return Unsure
	}
	// Between two of these releases nothing changes.
	oldest := f.of(v.Oldest)
	least, most := oldest, oldest
	add := func(at Version) {
		if at.Compare(v.Oldest) > 0 && at.Compare(v.Newest) <= 0 {
			is := f.of(at)
			least, most = min(least, is), max(most, is)
		}
	}
	add(f.Gated)
	add(f.Locked)
	for _, s := range f.On {
		add(s.From)
		add(s.Before)
	}
	switch {
	case least == most:
		return least
	case least >= OnByDefault:
		return OnByDefault
	case most <= OffByDefault:
		return OffByDefault
	}
	return Unsure
}

// of says it of one release.
func (f *Feature) of(v Version) Presence {
	on := slices.ContainsFunc(f.On, func(s Span) bool { return s.has(v) })
	switch {
	case on && (f.Gate == "" || f.Locked != Version{} && v.Compare(f.Locked) >= 0):
		return Always
	case on:
		return OnByDefault
	case f.Gate == "" || v.Compare(f.Gated) < 0:
		return Absent
	}
	return OffByDefault
}

// Since returns the first release from which on the feature is there by default.
func (f *Feature) Since() Version { return f.On[len(f.On)-1].From }

// Releases returns the releases that have the feature by default, as in 1.35.0
// to 1.35.3 and since 1.37.
func (f *Feature) Releases() string {
	var parts []string
	for _, s := range f.On {
		if (s.Before == Version{}) {
			parts = append(parts, fmt.Sprintf("since 1.%d", s.From.Minor))
		} else {
			parts = append(parts, fmt.Sprintf("in %s to %s", s.From, Version{s.Before.Minor, s.Before.Patch - 1}))
		}
	}
	return strings.Join(parts, " and ")
}

// History says what the feature gate did when, or that there is none.
func (f *Feature) History() string {
	if f.Gate == "" {
		return "no feature gate"
	}
	history := []string{fmt.Sprintf("exists since 1.%d", f.Gated.Minor)}
	for _, s := range f.On {
		text := fmt.Sprintf("on since 1.%d", s.From.Minor)
		if (s.Before != Version{}) {
			text = fmt.Sprintf("on in %s to %s", s.From, Version{s.Before.Minor, s.Before.Patch - 1})
		}
		history = append(history, text)
	}
	if (f.Locked != Version{}) {
		history = append(history, fmt.Sprintf("locked since 1.%d", f.Locked.Minor))
	}
	return "gate " + f.Gate + ": " + strings.Join(history, ", ")
}

// String returns a sentence: where the feature is there, and what then is so.
func (f *Feature) String() string {
	otherwise := "before"
	if len(f.On) > 1 {
		otherwise = "elsewhere"
	}
	text := fmt.Sprintf("%s %s; %s, %s", strings.Replace(f.Releases(), "since", "since Kubernetes", 1), f.With, otherwise,
		f.Without)
	if f.Gate != "" {
		text += " (" + f.History() + ")"
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
