package manifest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stayput.dev/internal/whole"
	"stayput.dev/manifest/splice"
)

// TestDraft has what files become.
func TestDraft(t *testing.T) {
	object := func(name string) string {
		return "apiVersion: v1\nkind: Service # of " + name + "\nmetadata: {name: " + name + "}\nspec:\n  clusterIP: None\n"
	}
	set := func(d *Draft, m *Manifest) error { return d.Set(m, []string{"spec", "publishNotReadyAddresses"}, true) }
	add := func(d *Draft, m *Manifest) error {
		return d.Add(m, map[string]any{"kind": "Service", "apiVersion": "v1", "metadata": map[string]any{"name": "new"},
			"spec": map[string]any{"selector": map[string]any{"app": "new"}}})
	}
	const made = "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: new\nspec:\n  selector:\n    app: new\n"
	is := func(name string) string { return object(name) + "  publishNotReadyAddresses: true\n" }
	windows := func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
	utf16 := func(text string) string { return "\xff\xfe" + strings.Join(strings.Split(text, ""), "\x00") + "\x00" }
	json := func(name string) string {
		return `{"apiVersion":"v1","kind":"Service","metadata":{"name":"` + name + `"},"spec":{"clusterIP":"None"}}`
	}
	jsonSet := func(name string) string {
		return strings.TrimSuffix(json(name), "}}") + `,"publishNotReadyAddresses":true}}`
	}
	aliased := func(d *Draft, m *Manifest) error { return d.Set(m, []string{"spec", "x", "y"}, true) }
	const list = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n"
	for name, c := range map[string]struct {
		text string
		of   int // which manifest
		do   func(*Draft, *Manifest) error
		want string
	}{
		"the second": {"# head\n---\n" + object("a") + "---\n# of b\n" + object("b") + "---\n" + object("c"), 1, set,
			"# head\n---\n" + object("a") + "---\n# of b\n" + is("b") + "---\n" + object("c")},
		"behind a mark": {byteOrderMark + object("a"), 0, set, byteOrderMark + is("a")},
		"of Windows":    {windows(object("a")), 0, set, windows(is("a"))},
		"in a List": {list + "- {kind: Service, metadata: {name: b}, apiVersion: v1, spec: {}}\n", 1, set,
			list + "- {kind: Service, metadata: {name: b}, apiVersion: v1, spec: {publishNotReadyAddresses: true}}\n"},
		"in JSON":         {json("a") + "\n" + json("b"), 1, set, json("a") + "\n" + jsonSet("b")},
		"behind JSON":     {json("a") + "\n---\n" + object("b"), 1, set, json("a") + "\n---\n" + is("b")},
		"one more":        {object("a") + "---\n" + object("b"), 0, add, object("a") + made + "---\n" + object("b")},
		"one at the end":  {"---\n" + strings.TrimSpace(object("b")), 0, add, "---\n" + object("b") + made},
		"one of Windows":  {windows(object("a")), 0, add, windows(object("a") + made)},
		"one to JSON":     {json("a"), 0, add, "error: " + errJSON.Error()},
		"one at an end":   {object("a") + "...\nx: y\n", 0, add, "error: " + errStream.Error()},
		"a template":      {object("a") + "# {{ x }}\n", 0, set, "error: " + errMarks.Error()},
		"of ytt":          {"#@ x = 1\n" + object("a"), 0, set, "error: " + errMarks.Error()},
		"of Helm":         {"---\n# Source: a/templates/b.yaml\n" + object("a"), 0, set, "error: " + errMade.Error()},
		"of kustomize":    {object("a") + "# " + originAnnotation + ": |\n", 0, set, "error: " + errBuilt.Error()},
		"encrypted":       {object("a") + "sops:\n  mac: x\n", 0, set, "error: " + errEncrypted.Error()},
		"UTF-16":          {utf16(object("a")), 0, set, "error: " + errEncoding.Error()},
		"an alias inside": {object("a") + "  x: &x {}\nmore: *x\n", 0, aliased, "error: " + splice.ErrAnchor.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			s := ReadStream("f.yaml", []byte(c.text))
			m := &s.Manifests[c.of]
			d := m.Draft()
			err := cmp.Or(d.Guarded(), c.do(d, m))
			after, failed := d.After()
			if failed != nil && err == nil {
				t.Fatal(failed)
			}
			got := string(after)
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != c.want {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
			if failed != nil {
				return
			}
			r := Replaced(d.Before(), after)
			if again := replaced(string(d.Before()), r); again != string(after) {
				t.Errorf("%+v makes\n%q", r, again)
			}
		})
	}
}

// replaced makes a replacement as its reader would, who knows lines and columns.
func replaced(text string, r Replacement) string {
	at := func(line, column int) int {
		i := 0
		for range line - 1 {
			i += strings.IndexByte(text[i:], '\n') + 1
		}
		if i == 0 && strings.HasPrefix(text, byteOrderMark) {
			i = len(byteOrderMark)
		}
		return i + len(string([]rune(text[i:])[:column-1]))
	}
	return text[:at(r.Line, r.Column)] + r.Text + text[at(r.EndLine, r.EndColumn):]
}

// blocks begin texts of several lines.
var blocks = regexp.MustCompile(`(?m)[:-] [|>]-?$`)

// TestDraftOfExamples gives each value in the manifests of examples/ another, and
// each mapping one more key: all of it can be done, at one place, and the
// document has that value and no other change.
func TestDraftOfExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/*/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatal(len(files), err)
	}
	tried, done := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := ReadStream(file, data)
		for i := range s.Manifests {
			m := &s.Manifests[i]
			text, err := m.JSON()
			if err != nil {
				t.Fatal(err)
			}
			var is any
			if err := json.Unmarshal(text, &is); err != nil {
				t.Fatal(err)
			}
			anchored := bytes.Contains(m.doc.text, []byte(": &"))
			try := func(path []string, value any) {
				if tried++; tried%11 != 0 && !whole.Wanted() { // one that is prime to what repeats
					return
				}
				d := m.Draft()
				switch err := d.Set(m, path, value); {
				case errors.Is(err, splice.ErrAnchor) && anchored:
					return
				case errors.Is(err, splice.ErrShape) && blocks.Match(m.doc.text):
					return
				case err != nil:
					t.Errorf("%s: %v: %v", file, path, err)
					return
				}
				after, err := d.After()
				if err != nil {
					t.Errorf("%s: %v: %v", file, path, err)
					return
				}
				done++
				if n := bytes.Count(after, []byte("\n")) - bytes.Count(data, []byte("\n")); n < 0 || n > 1 {
					t.Errorf("%s: %v: %d more lines", file, path, n)
				}
			}
			var walk func(node any, path []string)
			walk = func(node any, path []string) {
				path = path[:len(path):len(path)]
				switch node := node.(type) {
				case map[string]any:
					try(append(path, "oneMore"), "x")
					for _, k := range slices.Sorted(maps.Keys(node)) { // the same ones are tried each time
						walk(node[k], append(path, k))
					}
				case []any:
					for i, v := range node {
						walk(v, append(path, strconv.Itoa(i)))
					}
				case string:
					try(path, node+"-x")
				case bool:
					try(path, !node)
				case float64:
					try(path, node+1)
				default:
					t.Errorf("%s: %v: %v", file, path, reflect.TypeOf(node))
				}
			}
			walk(is, nil)
		}
	}
	if done < 700 {
		t.Errorf("only %d edits", done)
	}
}
