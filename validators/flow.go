package validators

import (
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// flowYAML returns a value made of maps, slices, strings and numbers as YAML on
// one line.
func flowYAML(value any) string {
	if text, ok := appendFlow(make([]byte, 0, 256), value); ok {
		return string(text)
	}
	const key = "value: " // the style is a member's
	text, err := yaml.Marshal(struct {
		Value any `yaml:"value,flow"`
	}{value})
	if err != nil {
		return err.Error() // maps, slices, strings and numbers always encode
	}
	return strings.TrimSpace(strings.TrimPrefix(string(text), key))
}

// appendFlow is a fast path of flowYAML for requests, at a hundredth of the
// work. It writes values that need no quotes and whose keys sort the same in
// every order, as in most remedies. It returns false where it is not sure, and
// leaves the value to the library.
func appendFlow(b []byte, value any) (_ []byte, ok bool) {
	switch v := value.(type) {
	case string:
		return append(b, v...), isPlain(v)
	case int:
		return strconv.AppendInt(b, int64(v), 10), true
	case bool:
		return strconv.AppendBool(b, v), true
	case int64:
		return strconv.AppendInt(b, v, 10), true
	case int32:
		return strconv.AppendInt(b, int64(v), 10), true
	case map[string]any:
		return appendFlowMap(b, v)
	case map[string]string:
		return appendFlowMap(b, v)
	case []map[string]any:
		return appendFlowList(b, v)
	case []any:
		return appendFlowList(b, v)
	}
	return b, false
}

func appendFlowList[V any](b []byte, list []V) (_ []byte, ok bool) {
	b = append(b, '[')
	for i, item := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, ok = appendFlow(b, item); !ok {
			return b, false
		}
	}
	return append(b, ']'), true
}

func appendFlowMap[V any](b []byte, m map[string]V) (_ []byte, ok bool) {
	b = append(b, '{')
	var few [8]string // on the stack
	keys := few[:0]
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		if i > 0 {
			if !inOrder(keys[i-1], key) {
				return b, false
			}
			b = append(b, ", "...)
		}
		if !isPlain(key) {
			return b, false
		}
		b = append(append(b, key...), ": "...)
		if b, ok = appendFlow(b, m[key]); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// inOrder says whether two different keys, sorted by their bytes, are in the
// library's order too, which compares numbers by value and puts letters last.
func inOrder(a, b string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return isLetter(a[i]) && isLetter(b[i])
		}
	}
	return true // the shorter comes first
}

// isPlain says whether a string needs no quotes: it is a name that begins with
// a letter, and no word with a meaning in YAML.
func isPlain(s string) bool {
	if s == "" || !isLetter(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '-' && c != '.' && c != '/' && c != '_' {
			return false
		}
	}
	if len(s) > len("false") {
		return true
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return false
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
