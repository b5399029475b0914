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

// Tools are found in the path; the helm of tools/helm and the kind and kubectl
// of KIND_NODE_CACHE stand in where there is none.
var (
	restarts = flag.Int("restarts", 3, "rolling restarts under load")
	creates  = flag.Int("creates", 5000, "creations under load, at least")
	colds    = flag.Int("colds", 2, "cold starts of a whole cluster")
	keep     = flag.Bool("keep", false, "leave the clusters, to look at")
)

// env is what all tests share.
var env struct {
	dir             string // for files, removed at the end
	helm, kind      string
	kubectl         string
	image, podImage string
	nodeImage       string // empty means kind's own
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
	for tool, path := range map[string]*string{"kind": &env.kind, "kubectl": &env.kubectl} {
		found, err := exec.LookPath(tool)
		if err != nil {
			found, err = exec.LookPath(filepath.Join(cache, "bin", tool))
		}
		if err != nil {
			return fmt.Errorf("%s is neither in the path nor in %s/bin", tool, cache)
		}
		*path = found
	}
	out, err := command(ctx, "", "go", "-C", "../..", "tool", "-modfile=tools/helm/go.mod", "-n", "helm")
	if err != nil {
		return err
	}
	env.helm = strings.TrimSpace(out)
	return images(ctx)
}

// images builds Stayput's image, as it is deployed, and the one for Pods.
func images(ctx context.Context) error {
	env.image, env.podImage = "stayput-e2e:1", "stayput-e2e-pod:1"
	if _, err := command(ctx, "", "make", "-C", "../..", "image", "BASE=scratch", "IMAGE="+env.image); err != nil {
		return err
	}
	pod := filepath.Join(env.dir, "pod")
	if _, err := command(ctx, "", "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", filepath.Join(pod, "pod"), "./pod"); err != nil {
		return err
	}
	dockerfile := "FROM scratch\nCOPY pod /pod\nENTRYPOINT [\"/pod\"]\n"
	if err := os.WriteFile(filepath.Join(pod, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return err
	}
	_, err := command(ctx, "", "docker", "build", "-t", env.podImage, pod)
	return err
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
