package validators

import "strings"

// cut returns the first n bytes of a name that is longer than that, such that
// it still ends as names must.
func cut(name string, n int) string {
	if len(name) <= n {
		return name
	}
	return strings.TrimRight(name[:n], "-.")
}
