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

// NamesMember says whether a text may hold the name of a Pod of a StatefulSet, as
// db-0.peers. It is quick, and sure only when it says no.
func NamesMember(text string) bool {
	for from := 0; ; {
		i := strings.IndexByte(text[from:], '.')
		if i < 0 {
			return false
		}
		dot := from + i
		from = dot + 1
		set := strings.TrimRight(text[:dot], "0123456789")
		if len(set) < dot && len(set) > 1 && set[len(set)-1] == '-' && from < len(text) && 'a' <= text[from] &&
			text[from] <= 'z' {
			return true
		}
	}
}

// MemberLines returns the lines of a file that may hold names of Pods of
// StatefulSets, without those that are comments in most files of configuration.
func MemberLines(text string) string {
	if !NamesMember(text) {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		start := strings.TrimLeft(line, " \t")
		if NamesMember(line) && !strings.HasPrefix(start, "#") && !strings.HasPrefix(start, ";") &&
			!strings.HasPrefix(start, "//") {
			b.WriteString(line)
		}
	}
	return b.String()
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
