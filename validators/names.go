package validators

import (
	"fmt"
	"strings"
)

// few joins names for a message, which stops at five of them.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// cut returns the first n bytes of a name that is longer than that, such that
// it still ends as names must.
func cut(name string, n int) string {
	if len(name) <= n {
		return name
	}
	return strings.TrimRight(name[:n], "-.")
}
