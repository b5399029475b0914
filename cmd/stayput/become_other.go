//go:build light && !unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// become runs another program with the same arguments and environment, and ends this
// process as it ends. It returns only if it cannot.
func become(program string, args []string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("start %s: %w", program, err)
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}
