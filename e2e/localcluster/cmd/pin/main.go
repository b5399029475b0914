// Command pin writes the nested modules from which control planes of other
// minors of Kubernetes than the newest are built: the newest patch of each of which
// all modules can be had, with what its authors have built it from.
//
//	go run ./e2e/localcluster/cmd/pin 1.34 [1.33 ...]
//
// 1.34.4 in place of 1.34 pins that patch.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
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

var release = regexp.MustCompile(`^(1\.[0-9]+)(\.[0-9]+)?$`)

func run(ctx context.Context, minors []string) error {
	if len(minors) == 0 {
		return errors.New("which minors of Kubernetes? For example: pin 1.34 1.33")
	}
	for _, which := range minors {
		m := release.FindStringSubmatch(which)
		if m == nil {
			return fmt.Errorf("%q is no minor of Kubernetes, and no release; write it as 1.34, or 1.34.4", which)
		}
		if err := pin(ctx, m[1], m[0]); err != nil {
			return fmt.Errorf("pin Kubernetes %s: %w", which, err)
		}
	}
	return nil
}

// downloaded is what the go command says of a module.
type downloaded struct{ Version, GoMod string }

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

// pin pins a release of a minor, or, where which is the minor itself, its newest one.
// Not every mirror of modules has all that every release consists of; then it is the
// next older one that the mirror lists, and pin says why.
func pin(ctx context.Context, minor, which string) error {
	versions := []string{"v" + which}
	if which == minor {
		var err error
		if versions, err = releasesOf(ctx, minor); err != nil {
			return err
		}
	}
	var tried []error
	for _, version := range versions {
		dir, err := pinRelease(ctx, minor, version)
		if err == nil {
			fmt.Printf("Kubernetes %s is %s: %s\n", minor, version, dir)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "pin: %s cannot be pinned: %v\n", version, err)
		tried = append(tried, fmt.Errorf("%s: %w", version, err))
	}
	return errors.Join(tried...)
}

// pinRelease writes the module of a release, or leaves what was there before.
func pinRelease(ctx context.Context, minor, version string) (dir string, err error) {
	dir, err = localcluster.ModuleDir(ctx, minor)
	if err != nil {
		return "", err
	}
	var theirModule downloaded
	if err := goJSON(ctx, &theirModule, "mod", "download", "-json", "k8s.io/kubernetes@"+version); err != nil {
		return "", err
	}
	var theirs modFile
	if err := goJSON(ctx, &theirs, "mod", "edit", "-json", theirModule.GoMod); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), ".pin-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(made) }()
	module := []byte(nested(minor, version, theirs))
	if err := os.WriteFile(filepath.Join(made, "go.mod"), module, 0o644); err != nil {
		return "", err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir, cmd.Env, cmd.Stderr = made, localcluster.BuildEnv(), &said
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return "", fmt.Errorf("go mod tidy: %w: %s", err, strings.Join(lines[max(0, len(lines)-2):], ": "))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		if err := os.Rename(filepath.Join(made, file), filepath.Join(dir, file)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// releasesOf returns the releases of a minor, the newest first, or its newest
// pre-release where it has no release yet, which no query of the go command finds.
func releasesOf(ctx context.Context, minor string) (releases []string, err error) {
	var published struct{ Versions []string } // the oldest first
	if err := goJSON(ctx, &published, "list", "-m", "-versions", "-json", "k8s.io/kubernetes"); err != nil {
		return nil, err
	}
	newest := ""
	for _, v := range published.Versions {
		switch {
		case !strings.HasPrefix(v, "v"+minor+"."):
		case strings.Contains(v, "-"):
			newest = v
		default:
			releases = append(releases, v)
		}
	}
	slices.Reverse(releases)
	if len(releases) == 0 && newest != "" {
		releases = []string{newest}
	}
	if len(releases) == 0 {
		return nil, errors.New("there is no release, and no pre-release")
	}
	return releases, nil
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
