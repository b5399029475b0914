package manifest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestSplit has the lines on which kubectl refuses something, or leaves it out,
// and those of the objects that are read all the same. What kubectl does is
// tried with kubectl in e2e.
func TestSplit(t *testing.T) {
	object := func(name string) string { return "{apiVersion: v1, kind: ConfigMap, metadata: {name: " + name + "}}\n" }
	json := func(name string) string {
		return `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "` + name + `"}}` + "\n"
	}
	ja, jb := json("a"), json("b")
	for name, c := range map[string]struct{ text, want string }{
		"nothing to say": {"# a comment\n---\n" + object("a") + "---\n" + object("b"), "a:3 b:5"},
		"behind an end": {"kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n...\n# a comment\n" + object("b"),
			"a:1 left out:6"},
		"behind a brace": {"---\n" + ja + jb + "---\n" + object("c"), "a:2 c:5 left out:3"},
		"directives behind an end": {object("a") + "...\n%YAML 1.2\n%TAG ! tag:example.com,2026:\n---\n" + object("b"),
			"a:1 b:6"},
		"a directive": {"\n%YAML 1.2\n---\n" + object("a"), "a:4 a %YAML:2"},
		"on the marker's line": {object("a") + "--- " + object("b") + "---\n" + object("c"),
			"a:1 b:2 c:4 begins on the line:2"},
		"a ruler":           {object("a") + "-----\n" + object("b"), "a:1 b:3 \"--\":2"},
		"after two of JSON": {ja + jb + "---\n" + object("c"), "a:1 b:2 c:4 2 JSON objects:3"},
		"after one of JSON": {ja + "---\n" + object("b"), "a:1 b:3"},
	} {
		t.Run(name, func(t *testing.T) {
			s := ReadStream("f.yaml", []byte(c.text))
			var got []string
			for _, m := range s.Manifests {
				got = append(got, fmt.Sprintf("%s:%d", m.GetName(), m.Line("")))
			}
			for _, err := range s.Errors {
				for _, what := range []string{"left out", "a %YAML", "begins on the line", `"--"`, "2 JSON objects"} {
					if errors.Is(err.Err, ErrLeftOut) && what == "left out" || strings.Contains(err.Error(), what) {
						got = append(got, fmt.Sprintf("%s:%d", what, err.Line))
					}
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("ReadStream(%q) has %q, want %q; errors %v", c.text, strings.Join(got, " "), c.want, s.Errors)
			}
		})
	}
}
