// Command generate writes docs/rules.md, the reference of all rules and
// mutators, from their values and their testdata. Run it in the root of the
// repository: go run ./docs/generate.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	page, err := reference(root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "docs", "rules.md"), page, 0o644)
}
