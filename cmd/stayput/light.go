//go:build light

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"stayput.dev/internal/cli"
)

// linked is nothing: this program has lint, mutate, rules and lsp over files alone, and
// starts the whole one for the rest.
var linked outside

// subcommands returns the commands that this program may run by itself.
func subcommands() []*cobra.Command {
	return []*cobra.Command{lintCommand(), lspCommand(), mutateCommand(), rulesCommand()}
}

// run runs the command line, or has the whole program run it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if root := newRoot(); len(args) > 0 && runsHere(root, args[0]) {
		if err := cli.Execute(ctx, root, args, stdin, stdout, stderr); !errors.Is(err, errOutside) {
			return err
		}
	}
	program, err := wholeProgram()
	if err != nil {
		return err
	}
	return become(program, args)
}

// runsHere says whether a first argument is for this program.
func runsHere(root *cobra.Command, first string) bool {
	return first == "--version" ||
		slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == first })
}

// companion is the name of the program that has everything.
const companion = "stayput-cluster"

// wholeProgram finds the whole program, beside this one or on the PATH.
func wholeProgram() (string, error) {
	name := companion
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	own, err := os.Executable()
	if err == nil {
		own, err = filepath.EvalSymlinks(own)
	}
	if err == nil {
		beside := filepath.Join(filepath.Dir(own), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("this needs the program %s, which is neither beside %s nor on the PATH: it comes in the same "+
			"archive", name, own)
	}
	return found, nil
}
