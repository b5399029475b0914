package validators

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestHelpersAreListed holds the package comment to the code: what the files of
// at least three rules use of another file stands there, and nothing that is gone.
func TestHelpersAreListed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]bool{} // the files of rules
	for _, r := range All {
		rules[strings.ReplaceAll(r.Name, "-", "_")+".go"] = true
	}
	declared, usedBy := map[string]string{}, map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && !f.Name.IsExported() {
				declared[f.Name.Name] = file
			}
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			var used ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				used = n.Fun
			case *ast.KeyValueExpr:
				used = n.Value
			}
			if id, ok := used.(*ast.Ident); ok && rules[file] && !slices.Contains(usedBy[id.Name], file) {
				usedBy[id.Name] = append(usedBy[id.Name], file)
			}
			return true
		})
	}
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "there are these helpers")
	listed := regexp.MustCompile(`\w+`).FindAllString(list, -1)
	for name, file := range declared {
		if n := len(usedBy[name]); n >= 3 && !slices.Contains(listed, name) {
			t.Errorf("%s, in %s, is used by %d rules: doc.go should list it", name, file, n)
		}
	}
	for _, section := range regexp.MustCompile(`(?s)[A-Z][^:\n]+: ([\w,\s/]+?)\.\n`).FindAllStringSubmatch(list, -1) {
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(strings.ReplaceAll(section[1], "//", ""), -1) {
			if declared[name] == "" {
				t.Errorf("doc.go lists %s, which does not exist", name)
			}
		}
	}
}
