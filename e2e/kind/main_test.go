//go:build kind

package kind

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Kind and kubectl are those of KIND_NODE_CACHE, or in the path; for want of
// either, kind is that of tools/kind. Helm is always that of tools/helm.
var (
	restarts = flag.Int("restarts", 3, "rolling restarts under load")
	creates  = flag.Int("creates", 5000, "creations under load, at least")
	colds    = flag.Int("colds", 2, "cold starts of a whole cluster")
	keep     = flag.Bool("keep", false, "leave the clusters, to look at")
	chosen   = flag.String("suite", "",
		"which tests of the suite of the local control plane to run, names with spaces between; else all that can run here")
)

// env is what all tests share.
var env struct {
	dir                 string // for files, removed at the end
	run                 string // in the names of what is made: another run may be going on
	helm, kind, kubectl string
	binary              string // what the image holds
	image, podImage     string
	previous            previous
	nodeImage           string // empty means kind's own
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "stayput-kind-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/kind:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	env.dir = dir
	env.run = strings.TrimPrefix(filepath.Base(dir), "stayput-kind-")
	defer removeImages()
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e/kind:", err)
		return 1
	}
	return m.Run()
}

func setUp(ctx context.Context) error {
	if _, err := command(ctx, "", "docker", "info"); err != nil {
		return fmt.Errorf("docker cannot run here, and nothing of this can be tried without it: %w", err)
	}
	env.nodeImage = os.Getenv("KIND_NODE_IMAGE")
	cache := os.Getenv("KIND_NODE_CACHE")
	if home, err := os.UserHomeDir(); cache == "" && err == nil {
		cache = filepath.Join(home, ".cache", "kind-node")
	}
	var err error
	if env.kubectl, err = find(ctx, "kubectl", cache); err != nil {
		return err
	}
	if env.kind, err = find(ctx, "kind", cache); err != nil {
		return err
	}
	if env.helm, err = tool(ctx, "helm"); err != nil {
		return err
	}
	return images(ctx)
}

// find returns a program that cache has, or in the path, or that is a tool of
// this repository.
func find(ctx context.Context, name, cache string) (string, error) {
	for _, file := range []string{filepath.Join(cache, "bin", name), name} {
		if found, err := exec.LookPath(file); err == nil {
			return found, nil
		}
	}
	if _, err := os.Stat("../../tools/" + name); err != nil {
		return "", fmt.Errorf("%s is neither in the path nor in %s/bin", name, cache)
	}
	return tool(ctx, name)
}

// tool builds a program of tools/NAME and returns where it is.
func tool(ctx context.Context, name string) (string, error) {
	out, err := command(ctx, "", "go", "-C", "../..", "tool", "-modfile=tools/"+name+"/go.mod", "-n", name)
	return strings.TrimSpace(out), err
}

// command runs a program and returns what it prints; an error holds all of it.
func command(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, all bytes.Buffer
	cmd.Stdout = &both{&stdout, &all}
	cmd.Stderr = &all
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, all.Bytes())
	}
	return stdout.String(), nil
}

// both writes to two buffers.
type both struct{ a, b *bytes.Buffer }

func (w *both) Write(p []byte) (int, error) {
	w.a.Write(p)
	return w.b.Write(p)
}
