package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stayput.dev/validators"
)

func TestPagesAreCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	for file, page := range pages {
		want, err := page(root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not current: make generate (-want +got):\n%s", file, diff)
		}
	}
}

// TestREADMEHasEveryRule holds the table of the README to the rules.
func TestREADMEHasEveryRule(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range validators.All {
		title, _, _ := strings.Cut(r.Doc, "\n")
		if row := fmt.Sprintf("| [`%s`](docs/rules.md#%[1]s) | %s | %s |\n", r.Name, r.Level, title); !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks %s", row)
		}
	}
}

func TestDiff(t *testing.T) {
	got := diff("a\nb\nc", "a\nB\nc\nd")
	if want := "  a\n- b\n+ B\n  c\n+ d"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
