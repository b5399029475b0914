// Command generate writes from the values of all rules and mutators and their
// testdata docs/rules.md, the reference, and cmd/stayput/messages.txt, all that
// they say; from what the demo has recorded, a picture of it; and from what lint
// finds in the repository's inputs a table in docs/adoption.md. Run it in the root
// of the repository: go run ./docs/generate. With noise and directories of further
// inputs it prints what is found in all of them, or which it could not review, and
// writes nothing.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "noise" {
		err = printNoise(os.Stdout, ".", os.Args[2:])
	} else {
		err = run(".")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// pages are what is written, by the path of the file.
var pages = map[string]func(root string) ([]byte, error){
	"docs/rules.md":            reference,
	"cmd/stayput/messages.txt": messages,
	"docs/images/denial.svg":   still,
	"docs/adoption.md":         adoption,
	"docs/versions.md":         supported,
}

func run(root string) error {
	for file, page := range pages {
		text, err := page(root)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, file), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
