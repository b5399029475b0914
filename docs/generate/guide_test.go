package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"stayput.dev/internal/whole"
)

// block is a block of code in a page: its language, and the path in the line
// before it, if that is a file to be written.
var block = regexp.MustCompile("(?ms)^(?:`([^`\n]+)`:\n\n)?```([a-z]+)\n(.*?)^```$")

// TestWritingARule follows docs/writing-a-rule.md in a copy of the tree: it
// writes the files, applies the diffs and runs the commands, in order.
func TestWritingARule(t *testing.T) {
	whole.Only(t, "minutes: it runs the tests of whole packages in a copy of the tree")
	root := filepath.Join("..", "..")
	guide, err := os.ReadFile(filepath.Join(root, "docs", "writing-a-rule.md"))
	if err != nil {
		t.Fatal(err)
	}
	tree := copyTree(t, root)
	seen := map[string]int{}
	for _, m := range block.FindAllStringSubmatch(string(guide), -1) {
		file, language, text := m[1], m[2], m[3]
		seen[language]++
		switch {
		case file != "":
			if err := os.WriteFile(filepath.Join(tree, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		case language == "diff":
			execute(t, tree, text, "git", "apply", "--recount", "--unidiff-zero", "-")
		case language == "sh":
			out := execute(t, tree, "", "sh", "-ec", text)
			if strings.Contains(text, "go run ./cmd/stayput") && !strings.Contains(out, "statefulset-revision-history") {
				t.Errorf("%s\nsays nothing about the rule:\n%s", text, out)
			}
		default:
			t.Errorf("a block that nobody follows:\n%s", m[0])
		}
	}
	// The packages that know of all rules, whole. In the copy this test would never
	// end, and there are no committed files whose links could be followed.
	execute(t, tree, "", "go", "test", "./validators", "./examples")
	execute(t, tree, "", "go", "test", "-skip", "TestWritingARule|TestLinks", "./docs/generate")
	if seen["sh"] < 3 || seen["diff"] < 3 || seen["go"] < 1 || seen["yaml"] < 3 {
		t.Errorf("only these blocks were found: %v", seen)
	}
}

// copyTree copies what git knows of, and what it would, into a repository of its
// own.
func copyTree(t *testing.T, root string) string {
	t.Helper()
	tree := t.TempDir()
	for file := range strings.SplitSeq(strings.Trim(execute(t, root, "", "git", "ls-files", "-z", "--cached", "--others",
		"--exclude-standard"), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, file))
		if os.IsNotExist(err) {
			continue // deleted, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, file), data, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, tree, "", "git", "init", "-q")
	return tree
}

// execute runs a command, which must succeed, and returns what it prints.
func execute(t *testing.T, dir, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out.String(), complaint.String())
	}
	return out.String()
}
