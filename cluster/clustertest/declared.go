package clustertest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// Declared parses the package in the current directory and returns the Name of
// each composite literal of a type, by file.
func Declared(typeName string) (map[string]string, error) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		return nil, err
	}
	declared := map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return nil, err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if id, ok := lit.Type.(*ast.Ident); !ok || id.Name != typeName {
				return true
			}
			for _, elt := range lit.Elts {
				kv := elt.(*ast.KeyValueExpr)
				if kv.Key.(*ast.Ident).Name == "Name" {
					declared[file] = strings.Trim(kv.Value.(*ast.BasicLit).Value, `"`)
				}
			}
			return true
		})
	}
	return declared, nil
}
