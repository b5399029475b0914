package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// generate writes what packages of stayput ship beside it into a directory: man
// pages and completion scripts.
func generate(root *cobra.Command, dir string) error {
	man, completion := filepath.Join(dir, "man"), filepath.Join(dir, "completion")
	for _, d := range []string{man, completion} {
		if err := os.RemoveAll(d); err != nil { // a command may be gone
			return err
		}
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	root.DisableAutoGenTag = true // the same today and tomorrow
	root.InitDefaultCompletionCmd()
	epoch := time.Unix(0, 0).UTC()
	header := &doc.GenManHeader{Title: "STAYPUT", Section: "1", Source: "stayput", Manual: "Stayput", Date: &epoch}
	if err := doc.GenManTree(root, header, man); err != nil {
		return fmt.Errorf("write man pages: %w", err)
	}
	var bash, zsh, fish, power bytes.Buffer
	for name, script := range map[string]struct {
		text  *bytes.Buffer
		write func() error
	}{
		"stayput.bash": {&bash, func() error { return root.GenBashCompletionV2(&bash, true) }},
		"_stayput":     {&zsh, func() error { return root.GenZshCompletion(&zsh) }},
		"stayput.fish": {&fish, func() error { return root.GenFishCompletion(&fish, true) }},
		"stayput.ps1":  {&power, func() error { return root.GenPowerShellCompletionWithDesc(&power) }},
	} {
		if err := script.write(); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(completion, name), script.text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	// kubectl runs an executable of this name to complete the arguments of
	// kubectl stayput.
	return os.WriteFile(filepath.Join(completion, "kubectl_complete-stayput"),
		[]byte("#!/bin/sh\nexec kubectl-stayput __complete \"$@\"\n"), 0o755)
}
