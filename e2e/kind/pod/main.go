// Command pod is all that the end-to-end tests run in Pods of their own: it
// waits, resolves names, and reads and writes files.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		args = []string{"wait"}
	}
	switch {
	case args[0] == "wait":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
		return nil
	case args[0] == "resolve" && len(args) == 2:
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		found, err := net.DefaultResolver.LookupHost(ctx, args[1])
		fmt.Println(strings.Join(found, " "))
		return err
	case args[0] == "write" && len(args) == 3:
		f, err := os.Create(args[1])
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteString(args[2]); err != nil {
			return err
		}
		return f.Sync()
	case args[0] == "read" && len(args) == 2:
		data, err := os.ReadFile(args[1])
		fmt.Print(string(data))
		return err
	}
	return fmt.Errorf("%q: wait, resolve NAME, write FILE TEXT or read FILE", args)
}
