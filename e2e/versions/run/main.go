// Command run runs the e2e suite on control planes of several minors of
// Kubernetes, one after the other, and writes what came of each test. What has
// passed at this commit is not run again: a run that was stopped goes on where it
// was.
//
//	go run ./e2e/versions/run [-run REGEXP] [1.34 ...]
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"stayput.dev/e2e/localcluster"
	"stayput.dev/e2e/versions"
)

func main() {
	only := flag.String("run", ".", "run only tests whose names match `REGEXP`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *only, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "versions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, minors []string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if len(minors) == 0 {
		if minors, err = localcluster.Minors(ctx); err != nil {
			return err
		}
	}
	commit, err := revision(ctx)
	if err != nil {
		return err
	}
	suite, err := list(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, minor := range minors {
		r, err := newRunner(ctx, minor, commit, suite)
		if err != nil {
			return err
		}
		if err := r.run(ctx, pattern); err != nil {
			failed = append(failed, fmt.Errorf("Kubernetes %s: %w", minor, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(append(failed, ctx.Err())...)
}

// revision is what is tested. A record of what nobody else has is of no use.
func revision(ctx context.Context) (string, error) {
	changed, err := output(ctx, "git", "status", "--porcelain", "--", ".", ":!"+versions.TestedFile, ":!docs/versions.md")
	if err != nil {
		return "", err
	}
	if changed != "" {
		return "", fmt.Errorf("commit first, for the record names what was tested; changed:\n%s", changed)
	}
	return output(ctx, "git", "rev-parse", "--short=12", "HEAD")
}

// list is the suite: the names of all its tests.
func list(ctx context.Context) (names []string, err error) {
	out, err := output(ctx, "go", "test", "-list", ".", "./e2e")
	for _, line := range strings.Split(out, "\n") {
		if strings.HasPrefix(line, "Test") && line != "TestMain" {
			names = append(names, line)
		}
	}
	return names, err
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "STAYPUT_TESTS=all")
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), err
}

// A runner runs the suite on one minor.
type runner struct {
	minor, commit string
	suite         []string
	record        versions.Record
	said          map[string]string // the last line of a test that names its source
}

func newRunner(ctx context.Context, minor, commit string, suite []string) (*runner, error) {
	release, err := localcluster.Version(ctx, minor)
	if err != nil {
		return nil, err
	}
	all, err := versions.ReadTested(versions.TestedFile)
	if err != nil {
		return nil, err
	}
	record := all[minor]
	if record.Release != release {
		record = versions.Record{Release: release}
	}
	if record.Tests == nil {
		record.Tests = map[string]versions.Result{}
	}
	for name := range record.Tests {
		if !slices.Contains(suite, name) {
			delete(record.Tests, name)
		}
	}
	record.Suite = len(suite)
	return &runner{minor: minor, commit: commit, suite: suite, record: record, said: map[string]string{}}, nil
}

func (r *runner) run(ctx context.Context, pattern *regexp.Regexp) error {
	var names []string
	for _, name := range r.suite {
		last := r.record.Tests[name]
		if pattern.MatchString(name) && (last.Commit != r.commit || last.Outcome == versions.Failed) {
			names = append(names, name)
		}
	}
	fmt.Printf("Kubernetes %s (%s): %d tests to run\n", r.minor, r.record.Release, len(names))
	if len(names) == 0 {
		return nil
	}
	start := time.Now()
	if _, err := localcluster.Build(ctx, os.Stderr, r.minor); err != nil {
		return err
	}
	built := time.Since(start)
	// -count=1, or go test gives back what it has seen on another minor: it knows of no environment that is read before
	// the tests begin.
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-json", "-timeout", "3h", "-run",
		"^("+strings.Join(names, "|")+")$", "./e2e")
	cmd.Env = append(os.Environ(), localcluster.KubernetesVariable+"="+r.minor)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = errors.Join(r.read(ctx, events), cmd.Wait())
	fmt.Printf("Kubernetes %s (%s): %d passed, %d failed, %d left out; built in %s, all in %s\n", r.minor,
		r.record.Release, r.record.Count(versions.Passed), r.record.Count(versions.Failed), r.record.Count(versions.LeftOut),
		built.Round(time.Second), time.Since(start).Round(time.Second))
	return err
}

// An event is a line of go test -json.
type event struct{ Action, Test, Output string }

var outcomes = map[string]string{"pass": versions.Passed, "fail": versions.Failed, "skip": versions.LeftOut}

func (r *runner) read(ctx context.Context, events io.Reader) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		if e.Action == "output" {
			r.hear(e)
		}
		outcome, ended := outcomes[e.Action]
		// What is stopped has not failed.
		if !ended || e.Test == "" || strings.Contains(e.Test, "/") || ctx.Err() != nil {
			continue
		}
		fmt.Printf("%s %s: %s\n", r.minor, e.Test, outcome)
		result := versions.Result{Outcome: outcome, Date: time.Now().UTC().Format(time.DateOnly), Commit: r.commit}
		if outcome == versions.LeftOut {
			result.Why = r.said[e.Test]
		}
		r.record.Tests[e.Test] = result
		if err := r.save(); err != nil {
			return err
		}
	}
	return lines.Err()
}

var sourced = regexp.MustCompile(`^\s+\w+_test\.go:[0-9]+: (.*)`)

// hear prints what a test says, and keeps why it leaves itself out.
func (r *runner) hear(e event) {
	if said := sourced.FindStringSubmatch(e.Output); said != nil {
		r.said[e.Test] = strings.TrimSpace(said[1])
	}
	if !strings.HasPrefix(strings.TrimSpace(e.Output), "=== ") {
		fmt.Print(e.Output)
	}
}

// save writes what is known so far: the run may be stopped at any time.
func (r *runner) save() error {
	all, err := versions.ReadTested(versions.TestedFile)
	if err != nil {
		return err
	}
	all[r.minor] = r.record
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(versions.TestedFile, append(data, '\n'), 0o644)
}
