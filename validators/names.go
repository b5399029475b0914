package validators

import "strings"

// cut returns the first n bytes of a longer name, less any at the end with
// which a name must not end.
func cut(name string, n int) string {
	if len(name) <= n {
		return name
	}
	return strings.TrimRight(name[:n], "-.")
}
