// Command localcluster runs a throw-away Kubernetes control plane on loopback:
// until Ctrl-C, or for as long as a command takes.
//
//	go run ./e2e/localcluster/cmd/localcluster [flags] [-- COMMAND [ARGS...]]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"stayput.dev/e2e/localcluster"
)

const usage = `localcluster runs a Kubernetes control plane on loopback, with fake nodes.

  localcluster [flags]                        run until Ctrl-C, then remove all
  localcluster [flags] -- COMMAND [ARGS...]   run COMMAND with KUBECONFIG set and
                                              kubectl in PATH, then remove all

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "localcluster:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int, err error) {
	flags := flag.NewFlagSet("localcluster", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main says what is wrong, once
	o := localcluster.Options{Log: stderr}
	flags.IntVar(&o.Nodes, "nodes", 0, fmt.Sprintf("`number` of fake nodes (default %d)", localcluster.DefaultNodes))
	flags.BoolVar(&o.Bare, "bare", false, "only etcd and kube-apiserver")
	flags.StringVar(&o.Dir, "dir", "", "empty `directory` for state and logs, which is kept")
	flags.StringVar(&o.Kubernetes, "kubernetes", "", "`minor` of Kubernetes, such as 1.34 (default $"+
		localcluster.KubernetesVariable+", or the newest)")
	with := flags.String("operator", "", "foreign operator to have in PATH, too: lws or kruise")
	buildOnly := flags.Bool("build-only", false, "build what the cache lacks, and start nothing")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0, nil
	case err != nil:
		return 1, err
	}
	command := flags.Args()
	if n := len(args) - len(command); len(command) > 0 && (n == 0 || args[n-1] != "--") {
		return 1, fmt.Errorf("unexpected argument %q; a command goes after --", command[0])
	}
	if *buildOnly {
		_, err := localcluster.Build(ctx, stderr, o.Kubernetes)
		return 0, err
	}
	if *with != "" {
		operator, known := operators[*with]
		if !known {
			return 1, fmt.Errorf("--operator %s: must be lws or kruise", *with)
		}
		binary, err := operator.Build(ctx, stderr)
		if err != nil {
			return 1, err
		}
		if err := inPath(filepath.Dir(binary)); err != nil {
			return 1, err
		}
	}
	start := time.Now()
	c, err := localcluster.Start(ctx, o)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if len(command) > 0 {
		return runCommand(ctx, c, command)
	}
	describe(stdout, c, o.Bare, time.Since(start))
	<-ctx.Done()
	return 0, nil
}

func describe(w io.Writer, c *localcluster.Cluster, bare bool, took time.Duration) {
	fmt.Fprintf(w, "# ready after %.1fs; Ctrl-C removes it. In another shell:\n", took.Seconds())
	fmt.Fprintf(w, "export KUBECONFIG=%s\n", c.Kubeconfig())
	fmt.Fprintf(w, "export PATH=%s:$PATH\n", filepath.Dir(c.Kubectl()))
	if !bare {
		fmt.Fprintf(w, "# DNS, for names in cluster.local: %s\n", c.DNS())
	}
}

// operators are those that a command may want, by the names of their programs.
var operators = map[string]localcluster.Operator{
	"lws": localcluster.LeaderWorkerSet, "kruise": localcluster.OpenKruise,
}

// inPath puts a directory before all others in PATH.
func inPath(dir string) error {
	return os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// runCommand runs command for as long as it takes, or until a signal. The code
// is the one that a shell would give.
func runCommand(ctx context.Context, c *localcluster.Cluster, command []string) (code int, err error) {
	if err := inPath(filepath.Dir(c.Kubectl())); err != nil { // where command is looked for, too
		return 1, err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return 127, fmt.Errorf("run %s: %w", command[0], err)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}
