// Command covered holds a coverage profile of the validators to what they
// promise: a rule that looks nothing up is a pure function, and its testdata
// reaches every statement of it.
package main

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/tools/cover"

	"stayput.dev/validators"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: covered PROFILE, as go test -coverprofile writes it")
	}
	profiles, err := cover.ParseProfiles(args[0])
	if err != nil {
		return err
	}
	blocks := map[string][]cover.ProfileBlock{} // by file
	for _, p := range profiles {
		blocks[path.Base(p.FileName)] = p.Blocks
	}
	var missed []string
	rules := 0
	for _, r := range validators.All {
		if len(r.Reads) > 0 {
			continue // TestFailingLookups is their proof
		}
		rules++
		file := strings.ReplaceAll(r.Name, "-", "_") + ".go"
		if len(blocks[file]) == 0 {
			return fmt.Errorf("%s: the profile has nothing about %s", args[0], file)
		}
		for _, b := range blocks[file] {
			if b.Count == 0 {
				missed = append(missed, fmt.Sprintf("validators/%s:%d: no test gets here", file, b.StartLine))
			}
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%s", strings.Join(missed, "\n"))
	}
	fmt.Printf("every statement of the %d rules that look nothing up is tested\n", rules)
	return nil
}
