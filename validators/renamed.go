package validators

import "strings"

// renamed returns the one of names that a name which nothing has stands for most
// likely, or "": that of [affixedOf], or else the one that is a typo away.
func renamed(name string, names []string) string {
	found := affixedOf(name, names)
	if found == "" && len(name) > 3 {
		found = nearest(name, names)
	}
	return found
}

// affixedOf returns the only one of names that has something before or behind a name
// which nothing has, or the other way round, or "". Transformers write prefixes and
// suffixes, and leave references behind.
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

// affixed says whether a name is another with a prefix, a suffix or both.
func affixed(name, other string) bool {
	if name == "" || len(other) <= len(name) {
		return false
	}
	before, after, found := strings.Cut(other, name)
	return found && (before == "" || strings.ContainsRune("-.", rune(before[len(before)-1]))) &&
		(after == "" || strings.ContainsRune("-.", rune(after[0])))
}
