package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"stayput.dev/mutators"
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

// TestREADME holds what the README, in both languages, says about the mutators
// to what there is.
func TestREADME(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, file := range []string{"README.md", "README.ko.md"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mutators.All {
			if !strings.Contains(string(text), "| `"+m.Name+"` |") {
				t.Errorf("%s lacks a row for %s", file, m.Name)
			}
		}
	}
}

// TestDenialIsCurrent holds what the demo has recorded to what the rule says
// now.
func TestDenialIsCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "images", "denial.txt"))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(validators.All, func(r *validators.Rule) bool { return r.Name == "deployment-hostname" })
	data, err := replayOf(root, validators.All[i])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range slices.Concat(data.findings...) {
		if strings.Contains(string(text), "denied the request: "+f.String()+"\n") {
			return
		}
	}
	t.Error("docs/images/denial.txt is not what deployment-hostname says: go run ./e2e/demo --record " +
		"docs/images/denial.txt, make generate")
}

var (
	link    = regexp.MustCompile(`(?:\]\(|src="|srcset=")([^)"#:]*)(?:#([^)"]*))?[)"]`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// TestLinks follows every link between files of the repository.
func TestLinks(t *testing.T) {
	root := filepath.Join("..", "..")
	pages, err := exec.Command("git", "-C", root, "ls-files", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for page := range strings.FieldsSeq(string(pages)) {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target := filepath.Join(root, filepath.Dir(page), m[1])
			if m[1] == "" {
				target = filepath.Join(root, page)
			}
			followed++
			if info, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: there is none", page, m[1])
			} else if m[2] != "" && !info.IsDir() && !anchors(t, target)[m[2]] {
				t.Errorf("%s: %s has no heading #%s", page, m[1], m[2])
			}
		}
	}
	if followed < 100 {
		t.Errorf("only %d links", followed)
	}
}

// anchors returns what the headings of a page are called in links, as GitHub
// makes it of them.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		all[name] = true
	}
	return all
}

func TestDiff(t *testing.T) {
	got := diff("a\nb\nc", "a\nB\nc\nd")
	if want := "  a\n- b\n+ B\n  c\n+ d"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPrintNoise reviews a directory that has an input, and says of others that
// they were not reviewed.
func TestPrintNoise(t *testing.T) {
	root := filepath.Join("..", "..")
	dir, empty, missing := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "missing")
	const input = "apiVersion: v1\nkind: Service\nmetadata: {name: db, labels: {stayput.dev/subdomian: peers}}\n"
	if err := os.WriteFile(filepath.Join(dir, "label.yaml"), []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printNoise(&out, root, []string{missing, dir, empty}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"in the repository: ", "not reviewed: " + missing + " does not exist",
		"in " + dir + ": 0 of 0 well-made inputs are hit, and 1 others", "| stayput-annotation | 1 |",
		"not reviewed: " + empty + " holds no manifest"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestNoRuleIsNoisy fails where a rule finds something in more than one in ten of the
// inputs that are well made.
func TestNoRuleIsNoisy(t *testing.T) {
	files, err := inRepository(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	all, good, _, err := noiseOf(files)
	if err != nil {
		t.Fatal(err)
	}
	if good < 100 {
		t.Errorf("%d inputs are well made: too few to judge by", good)
	}
	for _, c := range all {
		if 10*c.wellMade > good {
			t.Errorf("%s finds something in %d of %d well-made inputs: more than one in ten", c.rule, c.wellMade, good)
		}
	}
}
