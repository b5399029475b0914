package validators

import "strings"

// renamed returns the one of names that name, which does not exist, most likely
// stands for, or "": the result of [affixedOf], or else the one that is a typo
// away.
func renamed(name string, names []string) string {
	found := affixedOf(name, names)
	if found == "" && len(name) > 3 {
		found = nearest(name, names)
	}
	return found
}

// affixedOf returns the only one of names that equals name but for a prefix or a
// suffix of either, or "". Transformers add these to objects and miss
// references.
func affixedOf(name string, names []string) string {
	found := ""
	for _, other := range names {
		switch {
		case !affixed(name, other) && !affixed(other, name):
		case found != "" && found != other:
			return ""
		default:
			found = other
		}
	}
	return found
}

// affixed says whether a name is another plus a prefix, a suffix or both.
func affixed(name, other string) bool {
	if name == "" || len(other) <= len(name) {
		return false
	}
	before, after, found := strings.Cut(other, name)
	return found && (before == "" || strings.ContainsRune("-.", rune(before[len(before)-1]))) &&
		(after == "" || strings.ContainsRune("-.", rune(after[0])))
}
