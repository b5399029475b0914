package splice_test

import (
	"errors"
	"strings"
	"testing"

	"stayput.dev/manifest/splice"
)

// TestSet has what each text becomes: - and + stand before the lines that
// differ.
func TestSet(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		path  string
		value any
		want  string
	}{
		"a scalar":             {"a:\n  b: 0 # none\nc: 1\n", "a b", 30, "a:\n  b: 30 # none\nc: 1\n"},
		"in single quotes":     {"a: 'x # y'  # z\n", "a", "it's", "a: 'it''s'  # z\n"},
		"in double quotes":     {"a: \"x\\\" # y\"\nb: 1\n", "a", "z", "a: \"z\"\nb: 1\n"},
		"a text like a number": {"a: x\n", "a", "10", "a: \"10\"\n"},
		"a text like a switch": {"a: x\n", "a", "true", "a: \"true\"\n"},
		"a switch":             {"a: false\n", "a", true, "a: true\n"},
		"the same":             {"a: {b: 1}\n", "a b", 1, "a: {b: 1}\n"},
		"an item of a list":    {"a:\n- X # only\nb: 1\n", "a 0", "K", "a:\n- K # only\nb: 1\n"},
		"a list in brackets":   {"a: [X, Z]\n", "a 0", "K", "a: [K, Z]\n"},
		"behind wide characters": {"a: {\"ключ\": \"значение\", b: 1}\n", "a b", 2,
			"a: {\"ключ\": \"значение\", b: 2}\n"},

		"a key behind scalars": {"# head\nspec:\n  one: 1 # first\n  two: 'b'\n\n  # deep\n  deep:\n    x: 1\nend: 1\n",
			"spec new", true,
			"# head\nspec:\n  one: 1 # first\n  two: 'b'\n  new: true\n\n  # deep\n  deep:\n    x: 1\nend: 1\n"},
		"a key at the end": {"spec:\n  deep:\n    x: 1\n\n# of the end\nend: 1\n", "spec new", "v",
			"spec:\n  deep:\n    x: 1\n  new: v\n\n# of the end\nend: 1\n"},
		"behind a list as deep as its key": {"spec:\n  list:\n  - a\n  -\n    b: 1\nend: 1\n", "spec new", 1,
			"spec:\n  list:\n  - a\n  -\n    b: 1\n  new: 1\nend: 1\n"},
		"behind a block of text": {"spec:\n  text: |\n    # no comment\n    x\n\nend: 1\n", "spec new", 1,
			"spec:\n  text: |\n    # no comment\n    x\n  new: 1\n\nend: 1\n"},
		"in an item of a list": {"list:\n  - name: a # A\n    deep: {x: 1}\n  - name: b\n", "list 0 new", 1,
			"list:\n  - name: a # A\n    new: 1\n    deep: {x: 1}\n  - name: b\n"},
		"at the end without a line's end": {"a:\n  b: 1", "a c", 2, "a:\n  b: 1\n  c: 2"},
		"with the line's ends of Windows": {"a:\r\n  b: 1\r\nd: 1\r\n", "a c", 2,
			"a:\r\n  b: 1\r\n  c: 2\r\nd: 1\r\n"},
		"mappings that are missing": {"spec:\n  a: 1\n", "spec b c", "d",
			"spec:\n  a: 1\n  b:\n    c: d\n"},
		"a whole value": {"spec:\n  a: 1\n", "spec b", map[string]any{"d": []any{1, "x"}, "c": map[string]any{"e": true}},
			"spec:\n  a: 1\n  b:\n    c:\n      e: true\n    d:\n      - 1\n      - x\n"},
		"a key without a value": {"metadata:\n  annotations: # none yet\n  name: x\n", "metadata annotations a/b", "c",
			"metadata:\n  annotations: # none yet\n    a/b: c\n  name: x\n"},
		"a key without a value, of a scalar": {"a:\n  b: # none yet\n  c: 1\n", "a b", 5,
			"a:\n  b: 5 # none yet\n  c: 1\n"},
		"null": {"a: null\nb: 1\n", "a b", "c", "a: {b: c}\nb: 1\n"},

		"into braces": {"a: {b: 1, c: [x, {y: z}]} # end\n", "a d", 2,
			"a: {b: 1, c: [x, {y: z}], d: 2} # end\n"},
		"into empty braces": {"a: {}\nb: 1\n", "a d", 2, "a: {d: 2}\nb: 1\n"},
		"into wide braces":  {"a: { b: 1 }\n", "a d e", 2, "a: { b: 1, d: {e: 2} }\n"},
		"behind a comma":    {"a: {b: 1, }\n", "a d", 2, "a: {b: 1, d: 2 }\n"},
		"behind odd words":  {"a: {b: it's }, c: \"}\"}\n", "c", "x", "error: not certain"},
		"beside quotes": {"a: {b: it's, c: '}', \"d\": \"\\\"}\", e: u://x}\n", "a f", 2,
			"a: {b: it's, c: '}', \"d\": \"\\\"}\", e: u://x, f: 2}\n"},
		"into braces over lines": {"a: {\n  b: 1, # one\n  c: 2\n}\n", "a d", 3,
			"a: {\n  b: 1, # one\n  c: 2,\n  d: 3\n}\n"},
		"into braces with a comment at the end": {"a: {\n  b: 1 # one\n}\n", "a d", 3,
			"a: {\n  d: 3,\n  b: 1 # one\n}\n"},

		"JSON": {"{\n  \"a\": {\n    \"b\": 1\n  },\n  \"c\": []\n}\n", "a d e", "f",
			"{\n  \"a\": {\n    \"b\": 1,\n    \"d\": {\n      \"e\": \"f\"\n    }\n  },\n  \"c\": []\n}\n"},
		"JSON, a scalar":    {"{\"a\": {\"b\": 1}}", "a b", 30, "{\"a\": {\"b\": 30}}"},
		"JSON, on one line": {"{\"a\": {\"b\": 1}}", "a c", true, "{\"a\": {\"b\": 1, \"c\": true}}"},
		"JSON, tight":       {"{\"a\":{\"b\":1}}", "a c", "d", "{\"a\":{\"b\":1,\"c\":\"d\"}}"},
		"JSON, empty":       {"{\"a\": {}}", "a c", "d", "{\"a\": {\"c\":\"d\"}}"},
		"JSON with tabs": {"{\n\t\"a\": {\n\t\t\"b\": \"<\"\n\t}\n}\n", "a c", "<",
			"{\n\t\"a\": {\n\t\t\"b\": \"<\",\n\t\t\"c\": \"<\"\n\t}\n}\n"},
		"JSON with null":     {"{\"a\": null}", "a b", 1, "{\"a\": {\"b\":1}}"},
		"JSON in a document": {"---\n{\"a\": {\"b\": 1}}\n", "a c", 2, "---\n{\"a\": {\"b\": 1, c: 2}}\n"},

		"an alias":        {"x: &x {a: 1}\ny: *x\n", "y b", 1, "error: anchor"},
		"an anchor":       {"x: &x {a: 1}\ny: *x\n", "x b", 1, "error: anchor"},
		"an anchor above": {"x: &x\n  a:\n    b: 1\ny: *x\n", "x a b", 2, "error: anchor"},
		"an anchor elsewhere": {"x: &x {a: 1}\ny: *x\nz:\n  a: 1\n", "z b", 1,
			"x: &x {a: 1}\ny: *x\nz:\n  a: 1\n  b: 1\n"},
		"a merge key":         {"x: &x {a: 1}\nz:\n  <<: *x\n  b: 1\n", "z c", 2, "error: anchor"},
		"what a merge brings": {"x: &x {a: 1}\nz:\n  <<: *x\n  b: 1\n", "z a", 2, "error: anchor"},
		"beside a merge key": {"x: &x {a: 1}\nz:\n  <<: *x\n  b: 1\n", "z b", 2,
			"x: &x {a: 1}\nz:\n  <<: *x\n  b: 2\n"},
		"a tag":                  {"a: !!str 5\n", "a", "6", "error: shape"},
		"a block of text":        {"a: |\n  x\n", "a", "y", "error: shape"},
		"a mapping for a scalar": {"a: {b: 1}\n", "a", 1, "error: shape"},
		"a scalar for a mapping": {"a: 1\n", "a b", 1, "error: shape"},
		"a list for another":     {"a: [1]\n", "a", []any{2}, "error: shape"},
		"an item too many":       {"a: [1]\n", "a 1", 2, "error: shape"},
		"text kept to its end":   {"a:\n  b: |+\n    x\n\nc: 1\n", "a d", 2, "error: not certain"},
		"a scalar over lines":    {"a: x\n  y\nb: 1\n", "a", "z", "error: not certain"},
		"a key that is repeated": {"a: 1\na: 2\n", "a", 3, "error: not certain"},
		"behind one over lines":  {"s:\n  a: x\n    y\nb: 1\n", "s m", 3, "s:\n  a: x\n    y\n  m: 3\nb: 1\n"},
		"a closing brace as deep": {"s:\n  a: {\n    b: 1\n  }\nb: 1\n", "s m", 3,
			"s:\n  a: {\n    b: 1\n  }\n  m: 3\nb: 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := edited(t, c.text)(splice.Set([]byte(c.text), strings.Fields(c.path), c.value)); got != c.want {
				t.Errorf("Set(%q, %q) makes\n%s\nwant\n%s", c.text, c.path, got, c.want)
			}
		})
	}
}

// edited returns what an edit makes of a text, or why there is none.
func edited(t *testing.T, text string) func(splice.Edit, error) string {
	return func(e splice.Edit, err error) string {
		t.Helper()
		switch {
		case errors.Is(err, splice.ErrAnchor):
			return "error: anchor"
		case errors.Is(err, splice.ErrShape):
			return "error: shape"
		case errors.Is(err, splice.ErrPlace):
			return "error: not certain"
		case errors.Is(err, splice.ErrTaken):
			return "error: taken"
		case err != nil:
			t.Fatal(err)
		}
		return string(e.Of([]byte(text)))
	}
}

func TestRemove(t *testing.T) {
	for name, c := range map[string]struct{ text, path, want string }{
		"a line": {"a:\n  b: 1\n  # of c\n  c: 2 # two\n  d: 3\n", "a c",
			"a:\n  b: 1\n  # of c\n  # two\n  d: 3\n"},
		"the first":                {"a:\n  b: 1\n  c: 2\n", "a b", "a:\n  c: 2\n"},
		"at the end":               {"a:\n  b: 1\n  c: 2\n\n# of d\nd: 1\n", "a c", "a:\n  b: 1\n\n# of d\nd: 1\n"},
		"without a line's end":     {"a:\n  b: 1\n  c: 2", "a c", "a:\n  b: 1\n"},
		"of Windows":               {"a:\r\n  b: 1\r\n  c: 2\r\nd: 1\r\n", "a b", "a:\r\n  c: 2\r\nd: 1\r\n"},
		"a mapping":                {"a:\n  b:\n    x: 1\n    y: 2\n  c: 2\n", "a b", "a:\n  c: 2\n"},
		"a mapping with a comment": {"a:\n  b:\n    x: 1 # deep\n  c: 2\n", "a b", "error: not certain"},
		"a list as deep":           {"a:\n  b:\n  - 1\n  - 2\n  c: 2\n", "a b", "a:\n  c: 2\n"},
		"a block of text":          {"a:\n  b: |\n    x\n\n  c: 2\n", "a b", "a:\n\n  c: 2\n"},
		"a scalar over lines":      {"a:\n  b: x\n    y\n  c: 2\n", "a b", "a:\n  c: 2\n"},
		"the first of an item":     {"l:\n- name: a\n  b: 1\n- name: b\n", "l 0 name", "l:\n- b: 1\n- name: b\n"},
		"the first of an item, with a comment": {"l:\n- name: a # A\n  b: 1\n- name: b\n", "l 0 name",
			"l:\n- # A\n  b: 1\n- name: b\n"},
		"a text with a mark":                     {"a:\n  b: 'x # y'\n  c: 2\n", "a b", "error: not certain"},
		"the first of an item, before a comment": {"l:\n- name: a\n  # of b\n  b: 1\n", "l 0 name", "error: not certain"},
		"another of an item": {"l:\n- name: a\n  b: 1 # x\n- name: b\n", "l 0 b",
			"l:\n- name: a\n  # x\n- name: b\n"},
		"what is not there":       {"a: {b: 1}\n", "a c", "a: {b: 1}\n"},
		"below what is not there": {"a: {b: 1}\n", "x y", "a: {b: 1}\n"},
		"below null":              {"a:\nb: 1\n", "a y", "a:\nb: 1\n"},

		"in braces":           {"a: {b: 1, c: {x: 1}, d: 3} # end\n", "a c", "a: {b: 1, d: 3} # end\n"},
		"first in braces":     {"a: {b: 1, c: 2}\n", "a b", "a: {c: 2}\n"},
		"last in braces":      {"a: { b: 1, c: '}' }\n", "a c", "a: { b: 1 }\n"},
		"before a last comma": {"a: {b: 1, c: 2, }\n", "a c", "a: {b: 1 }\n"},
		"braces over lines":   {"a: {\n  b: 1,\n  c: 2\n}\n", "a c", "a: {\n  b: 1\n}\n"},
		"beside a comment":    {"a: {\n  b: 1, # one\n  c: 2\n}\n", "a b", "error: not certain"},

		"JSON": {"{\n\t\"a\": \"#\",\n\t\"b\": {\"x\": 1},\n\t\"c\": 2\n}\n", "b",
			"{\n\t\"a\": \"#\",\n\t\"c\": 2\n}\n"},
		"JSON, last": {"{\"a\":1,\"b\":2}", "b", "{\"a\":1}"},

		"the only one":           {"a:\n  b: 1\n", "a b", "error: shape"},
		"the only one in braces": {"a: {b: 1}\n", "a b", "error: shape"},
		"an item":                {"a: [1, 2]\n", "a 0", "error: shape"},
		"below a scalar":         {"a: 1\n", "a b", "error: shape"},
		"an alias":               {"x: &x {a: 1, b: 2}\nw: *x\n", "w a", "error: anchor"},
		"an anchor":              {"x: &x {a: 1, b: 2}\ny: *x\n", "x a", "error: anchor"},
		"an anchor that is used": {"x: &x 1\ny: *x\n", "x", "error: not certain"},
		"an anchor of its own":   {"x: &x 1\ny: 2\n", "x", "y: 2\n"},
		"what a merge brings":    {"x: &x {a: 1}\nz:\n  <<: *x\n  b: 1\n", "z a", "error: anchor"},
		"beside a merge key":     {"x: &x {a: 1}\nz:\n  <<: *x\n  b: 1\n", "z b", "x: &x {a: 1}\nz:\n  <<: *x\n"},
		"over a merge key":       {"x: &x {a: 1, b: 1}\nz:\n  <<: *x\n  a: 2\n", "z a", "error: not certain"},
		"a key that is repeated": {"a: 1\na: 2\nb: 1\n", "a", "error: not certain"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := edited(t, c.text)(splice.Remove([]byte(c.text), strings.Fields(c.path))); got != c.want {
				t.Errorf("Remove(%q, %q) makes\n%s\nwant\n%s", c.text, c.path, got, c.want)
			}
		})
	}
}

func TestMove(t *testing.T) {
	for name, c := range map[string]struct{ text, from, to, want string }{
		"with quotes and comment": {"m:\n  l:\n    a: b\n    k: 'it' # why\n  n: x\ns: {t: 1}\n", "m l k", "m n2 k",
			"m:\n  l:\n    a: b\n  n: x\n  n2:\n    k: 'it' # why\ns: {t: 1}\n"},
		"behind others": {"m:\n  a:\n    k: \"1\" # one\n    o: p\n  l:\n    x: y\n", "m a k", "m l k",
			"m:\n  a:\n    o: p\n  l:\n    x: y\n    k: \"1\" # one\n"},
		"into braces, without the comment": {"m:\n  a:\n    k: \"1\" # one\n    o: p\n  l: {x: y}\n", "m a k", "m l k",
			"m:\n  a:\n    # one\n    o: p\n  l: {x: y, k: \"1\"}\n"},
		"out of braces": {"m: {a: {k: '1', o: p}, l: {x: y}} # all\n", "m a k", "m l k",
			"m: {a: {o: p}, l: {x: y, k: '1'}} # all\n"},
		"the only one": {"m:\n  a:\n    k: 1 # one\n  l:\n    x: y\n", "m a k", "m l k",
			"m:\n  l:\n    x: y\n    k: 1 # one\n"},
		"the only one in braces": {"m: {a: {k: 1}, l: {x: y}}\n", "m a k", "m l k", "m: {l: {x: y, k: 1}}\n"},
		"the only one, below a comment": {"m:\n  a:\n    # why\n    k: 1\n  l:\n    x: y\n", "m a k", "m l k",
			"error: not certain"},
		"to the end of a file": {"m:\n  a:\n    k: 1 # one\n    o: p\n  l:\n    x: y", "m a k", "m l k",
			"m:\n  a:\n    o: p\n  l:\n    x: y\n    k: 1 # one"},
		"of Windows": {"m:\r\n  a:\r\n    k: 1 # one\r\n    o: p\r\n", "m a k", "m l k",
			"m:\r\n  a:\r\n    o: p\r\n  l:\r\n    k: 1 # one\r\n"},
		"another name for it": {"m:\n  a: {x: y, k: '1'} # one\n", "m a k", "m a q",
			"m:\n  a: {x: y, q: '1'} # one\n"},
		"it is there already": {"m: {a: {k: '1', o: p}, l: {k: \"1\"}}\n", "m a k", "m l k",
			"m: {a: {o: p}, l: {k: \"1\"}}\n"},
		"another is there": {"m: {a: {k: '1', o: p}, l: {k: 2}}\n", "m a k", "m l k", "error: taken"},
		"a text that is a number": {"m:\n  a:\n    k: \"1\"\n    o: p\n", "m a k", "m l k",
			"m:\n  a:\n    o: p\n  l:\n    k: \"1\"\n"},
		"into an item": {"k: v # why\nl:\n- metadata: {name: a}\n", "k", "l 0 metadata labels k",
			"# why\nl:\n- metadata: {name: a, labels: {k: v}}\n"},
		"JSON": {"{\"a\": {\"k\": \"1\", \"o\": 2}, \"l\": {\"x\": 3}}", "a k", "l k",
			"{\"a\": {\"o\": 2}, \"l\": {\"x\": 3, \"k\": \"1\"}}"},
		"a mapping":    {"m: {a: {k: {}, o: 1}}\n", "m a k", "m l k", "error: shape"},
		"a merge":      {"x: &x {k: 1}\nm: {a: {<<: *x, o: 1}}\n", "m a k", "m l k", "error: anchor"},
		"an anchor":    {"x: &x {k: 1, o: 1}\nm: *x\n", "x k", "x l k", "error: anchor"},
		"what is used": {"m: {a: {k: &k 1, o: 1}, b: *k}\n", "m a k", "m l k", "error: not certain"},
		"several lines": {"m:\n  a:\n    k: |\n      x\n      y\n    o: p\n", "m a k", "m l k",
			"m:\n  a:\n    o: p\n  l:\n    k: |\n      x\n      y\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := splice.Move([]byte(c.text), strings.Fields(c.from), strings.Fields(c.to))
			text := edited(t, string(got))(splice.Edit{}, err)
			if text != c.want {
				t.Errorf("Move(%q, %q, %q) makes\n%s\nwant\n%s", c.text, c.from, c.to, text, c.want)
			}
		})
	}
}
