package manifest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestToJSON: the examples, and what YAML has besides, come to the same bytes as
// with sigs.k8s.io/yaml, and to the same errors.
func TestToJSON(t *testing.T) {
	texts := []string{
		"", "a", "a: ~\nb: [1, -2, 1.5, 1e3, 0x10, 0o7, 010, 18446744073709551615, yes, 2001-01-01, .inf]",
		"1: a\ntrue: b\n1.5: c", "a: \"<&>\\u2028\\ud800é\\t\\\\\"\nb: !!binary gIGC", "a: 1\na: 2", "a: [",
		"x: &x {b: 1}\ny: {<<: *x, c: 2}", "? [a]\n: b", "{a: {b: {}}, c: []}", "a: |\n  one\n  two\n",
	}
	read := 0
	err := filepath.WalkDir("../examples", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		for doc := range strings.SplitSeq(string(data), "\n---\n") {
			texts = append(texts, doc)
		}
		read++
		return err
	})
	if err != nil || read < 100 {
		t.Fatal(read, err)
	}
	for _, text := range texts {
		want, wantErr := yaml.YAMLToJSONStrict([]byte(text))
		got, gotErr := toJSON([]byte(text))
		if diff := cmp.Diff(string(want), string(got)); diff != "" || (wantErr == nil) != (gotErr == nil) ||
			wantErr != nil && wantErr.Error() != gotErr.Error() {
			t.Errorf("%q: errors %v, %v\n%s", text, wantErr, gotErr, diff)
		}
	}
}

// TestReadFast: nearly all that the examples hold is read the fast way, and is what
// the slow one reads.
func TestReadFast(t *testing.T) {
	fast, all := 0, 0
	err := filepath.WalkDir("../examples", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		docs, _, err := split(data)
		for _, doc := range docs {
			text, err := toJSON(doc.text)
			if err != nil || doc.empty() {
				continue
			}
			all++
			var one, other Stream
			if !one.readFast(path, doc, text) {
				continue
			}
			fast++
			var h header
			if err := yaml.Unmarshal(text, &h); err != nil {
				return err
			}
			if err := other.object(path, doc, -1, text, h, false); err != nil {
				return err
			}
			if diff := cmp.Diff(other.Manifests[0].Object, one.Manifests[0].Object); diff != "" ||
				one.Manifests[0].Unplaced != other.Manifests[0].Unplaced || len(other.Manifests[0].Unknown) > 0 {
				t.Errorf("%s:%d: slow and fast differ: %v\n%s", path, doc.line, other.Manifests[0].Unknown, diff)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if fast < all*4/5 || all < 300 {
		t.Errorf("%d of %d objects are read fast", fast, all)
	}
}
