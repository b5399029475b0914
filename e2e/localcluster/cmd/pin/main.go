// Command pin writes the nested modules from which control planes of other
// minors of Kubernetes than the newest are built: the newest patch of each,
// with what its authors have built it from.
//
//	go run ./e2e/localcluster/cmd/pin 1.34 [1.33 ...]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"stayput.dev/e2e/localcluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pin:", err)
		os.Exit(1)
	}
}

var minorVersion = regexp.MustCompile(`^1\.[0-9]+$`)

func run(ctx context.Context, minors []string) error {
	if len(minors) == 0 {
		return errors.New("which minors of Kubernetes? For example: pin 1.34 1.33")
	}
	for _, minor := range minors {
		if !minorVersion.MatchString(minor) {
			return fmt.Errorf("%q is no minor of Kubernetes; write it as 1.34", minor)
		}
		if err := pin(ctx, minor); err != nil {
			return fmt.Errorf("pin Kubernetes %s: %w", minor, err)
		}
	}
	return nil
}

// release is what the go command says of a module that it has downloaded.
type release struct{ Version, GoMod string }

// modFile is the part of a go.mod that is taken over.
type modFile struct {
	Go      string
	Godebug []struct{ Key, Value string }
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
}

func pin(ctx context.Context, minor string) error {
	dir, err := localcluster.ModuleDir(ctx, minor)
	if err != nil {
		return err
	}
	version, err := newestOf(ctx, minor)
	if err != nil {
		return err
	}
	var newest release
	if err := goJSON(ctx, &newest, "mod", "download", "-json", "k8s.io/kubernetes@"+version); err != nil {
		return err
	}
	var theirs modFile
	if err := goJSON(ctx, &theirs, "mod", "edit", "-json", newest.GoMod); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	module := []byte(nested(minor, newest.Version, theirs))
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), module, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir, cmd.Env = dir, localcluster.BuildEnv()
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go mod tidy in %s: %w", dir, err)
	}
	fmt.Printf("Kubernetes %s is %s: %s\n", minor, newest.Version, dir)
	return nil
}

// newestOf returns the newest release of a minor, or its newest pre-release where it
// has no release yet, which no query of the go command finds.
func newestOf(ctx context.Context, minor string) (newest string, err error) {
	var published struct{ Versions []string } // the oldest first
	if err := goJSON(ctx, &published, "list", "-m", "-versions", "-json", "k8s.io/kubernetes"); err != nil {
		return "", err
	}
	for _, v := range published.Versions {
		isOf, isRelease := strings.HasPrefix(v, "v"+minor+"."), !strings.Contains(v, "-")
		if isOf && (isRelease || newest == "" || strings.Contains(newest, "-")) {
			newest = v
		}
	}
	if newest == "" {
		return "", errors.New("there is no release, and no pre-release")
	}
	return newest, nil
}

// nested returns a go.mod whose tools are the programs of a release. It has the
// authors' own requirements, so that tidy chooses no newer ones; what they take
// from their staging directory is published as v0.N.P.
func nested(minor, version string, theirs modFile) string {
	staging := "v0" + strings.TrimPrefix(version, "v1")
	var godebug, replace, require strings.Builder
	for _, g := range theirs.Godebug { // how its standard library behaves
		fmt.Fprintf(&godebug, "godebug %s=%s\n\n", g.Key, g.Value)
	}
	published := map[string]bool{}
	for _, r := range theirs.Replace {
		if strings.HasPrefix(r.New.Path, "./staging/") {
			published[r.Old.Path] = true
			fmt.Fprintf(&replace, "\t%s => %[1]s %s\n", r.Old.Path, staging)
		}
	}
	fmt.Fprintf(&require, "\tk8s.io/kubernetes %s // indirect\n", version)
	for _, r := range theirs.Require {
		if !published[r.Path] {
			fmt.Fprintf(&require, "\t%s %s // indirect\n", r.Path, r.Version)
		}
	}
	return fmt.Sprintf("module stayput.dev/e2e/localcluster/modules/kubernetes-%s\n\ngo %s\n\n%s"+
		"require (\n%s)\n\nreplace (\n%s)\n\ntool (\n\t%s\n)\n", minor, theirs.Go, &godebug, &require, &replace,
		strings.Join(localcluster.KubernetesPackages(), "\n\t"))
}

// goJSON runs the go command and reads its answer.
func goJSON(ctx context.Context, answer any, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = os.TempDir(), localcluster.BuildEnv()
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("go %s: %w: %s%s", strings.Join(args, " "), err, out, exit.Stderr)
		}
		return err
	}
	return json.Unmarshal(out, answer)
}
