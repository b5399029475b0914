package validators

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// A Finding is one way in which an object departs from a rule.
type Finding struct {
	Rule   *Rule
	Level  Level
	Remedy Remedy
	Loses  []string // names of the volumes that would be destroyed
	*field.Error

	// Recreates says that the remedy deletes the object and creates it again.
	Recreates bool

	// Fix is the remedy as data, or nil where no manifest would have it. It is
	// what Remedy begins with where manifests are reviewed.
	Fix *Fix

	briefs  []brief // used where Remedy is too long, the best first
	keep    Remedy  // the remedy that does not delete the object, where Recreates
	through string  // the owner that Remedy ends with, as throughOwner returns it; or ""
}

// A Remedy says how to mend what a finding is about. It is a list of
// alternatives: the first, which is of use by itself, then each other one with
// the words that join it to those before, such as ", or " or "; or, to lose
// them, ". A remedy that is too long for a warning loses alternatives from its
// end; no alternative is ever cut. Empty ones do not count.
type Remedy []string

// String returns all alternatives, on one line.
func (r Remedy) String() string { return strings.Join(r, "") }

// and returns the remedy with words after its last alternative.
func (r Remedy) and(words string) Remedy {
	if len(r) == 0 {
		return Remedy{words}
	}
	r = slices.Clone(r)
	r[len(r)-1] += words
	return r
}

// fitting returns as many alternatives from the head of the remedy, but not
// all, as fit into room runes, or "".
func (r Remedy) fitting(room int) string {
	for n := len(r) - 1; n > 0; n-- {
		if part := cluster.OneLine(r[:n].String()); utf8.RuneCountInString(part) <= room {
			return part
		}
	}
	return ""
}

// A brief is a shorter remedy.
type brief struct {
	text string
	more bool // the command that prints the rest follows it
}

// briefly returns briefs that stand for themselves.
func briefly(texts ...string) (briefs []brief) {
	for _, text := range texts {
		briefs = append(briefs, brief{text, false})
	}
	return briefs
}

// of returns the text for a finding by a rule.
func (b brief) of(r *Rule) string {
	if b.more {
		return b.text + orElse + printRule + r.Name
	}
	return b.text
}

// String returns the whole finding on one line:
// <rule>: <path>: <what is wrong>; <what it would cost>; fix: <remedy>.
func (f Finding) String() string { return f.what() + f.fix() }

// what returns the finding on one line, without its remedy.
func (f Finding) what() string { return cluster.OneLine(f.Rule.Name + ": " + f.Error.Error()) }

// fix returns the end of String: the remedy.
func (f Finding) fix() string {
	if len(f.Remedy) == 0 {
		return ""
	}
	return cluster.OneLine("; fix: " + f.Remedy.String())
}

// printRule begins the command that prints what a rule says.
const printRule = "stayput rules "

// Short returns the finding in at most limit runes. If it does not fit, the
// remedy is shortened first: to the part that is of use by itself, with the
// command that prints the rest.
func (f Finding) Short(limit int) string {
	what, fix := f.what(), f.fix()
	long := utf8.RuneCountInString(what)
	for briefs := f.briefs; ; briefs = briefs[1:] {
		if long+utf8.RuneCountInString(fix) <= limit {
			return what + fix
		}
		if len(briefs) == 0 {
			break
		}
		fix = cluster.OneLine("; fix: " + briefs[0].of(f.Rule))
	}
	more := printRule + f.Rule.Name
	if brief := f.Remedy.fitting(limit - long - utf8.RuneCountInString("; fix: "+orElse+more)); brief != "" {
		return what + "; fix: " + brief + orElse + more
	}
	more = "; fix: " + more
	if room := limit - utf8.RuneCountInString(more); long > room {
		what = string([]rune(what)[:max(room-1, 0)]) + "…"
	}
	return what + more
}

// orElse separates a part of a remedy from the command that prints the rest.
const orElse = ", or: "

// applyAgain is the end of a remedy that deletes an object.
const applyAgain = "kubectl apply -f <file>"

// InPlace returns the finding with the remedy that does not delete the object.
// It is for objects that could not be created again because their creation
// would be refused.
func (f Finding) InPlace() Finding {
	if f.Recreates {
		f.Remedy, f.briefs, f.Recreates = f.keep, nil, false
	}
	return f
}

// stablePaths returns a function that replaces the indexes of a path by the
// names of the list items, so that the path of an item does not depend on its
// position: a.b[0].c becomes a.b[name=x].c. The object is converted once for
// all paths.
func stablePaths(obj cluster.Object) func(path string) string {
	fields := sync.OnceValue(func() map[string]any {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return nil // paths stay as they are
		}
		return fields
	})
	return func(path string) string {
		if !strings.Contains(path, "[") {
			return path
		}
		return stablePath(fields(), path)
	}
}

func stablePath(fields map[string]any, path string) string {
	var at any = fields
	var out strings.Builder
	for _, elem := range cluster.SplitPath(path) {
		switch node := at.(type) {
		case map[string]any:
			at = node[elem]
		case []any:
			i, err := strconv.Atoi(elem)
			if err != nil || i < 0 || i >= len(node) {
				return path
			}
			at = node[i]
			if name := nameOf(at); name != "" {
				elem = "name=" + name
			}
		}
		fmt.Fprintf(&out, "[%s]", elem)
	}
	return out.String()
}

// nameOf returns the name of a list item, which a claim template has in its
// metadata.
func nameOf(item any) string {
	m, _ := item.(map[string]any)
	if name, _ := m["name"].(string); name != "" {
		return name
	}
	meta, _ := m["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	return name
}
