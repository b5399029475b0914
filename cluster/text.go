package cluster

import (
	"fmt"
	"strings"
	"unicode"
)

// OneLine replaces the characters for which the API server would drop a
// warning: control characters and invalid UTF-8. Source:
// k8s.io/apimachinery@v0.37.1 pkg/util/net/http.go:660-672.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

// Few is [FewOf] at most five names.
func Few(names []string) string { return FewOf(names, 5) }

// FewOf joins at most so many names for a message, and says that there are more.
func FewOf(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
