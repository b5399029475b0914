//go:build light && unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// become replaces this process by another program with the same name, arguments and
// environment. It returns only if it cannot.
func become(program string, args []string) error {
	err := syscall.Exec(program, append(os.Args[:1:1], args...), os.Environ())
	return fmt.Errorf("start %s: %w", program, err)
}
