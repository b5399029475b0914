//go:build kind

package kind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxImage is what the image may weigh in docker, in bytes: not much more than
// it does. A program that starts a controller-runtime manager and does nothing
// else has 31.5 million already, a third of them the protobuf methods of all
// kinds that Kubernetes has.
const maxImage = 36_500_000

// A previous is the chart that is installed first, with the image of its time,
// so that there is something to upgrade from.
type previous struct{ ref, chart, image string }

// firstPrevious is what stands for the last release until there is one.
const firstPrevious = "20412ee3d9327ec81625a598b8ff9591f32b58a3"

// images builds Stayput's image, as it is deployed, the previous one, and the
// one for Pods.
func images(ctx context.Context) error {
	env.image, env.podImage = "stayput-e2e:"+env.run, "stayput-e2e-pod:"+env.run
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	if err := makeImage(ctx, root, env.image); err != nil {
		return err
	}
	env.binary = filepath.Join(env.dir, "stayput") // what people run
	if _, err := command(ctx, "", "make", "-C", root, "build", "BIN="+env.binary); err != nil {
		return err
	}
	size, err := command(ctx, "", "docker", "image", "inspect", "-f", "{{.Size}}", env.image)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(strings.TrimSpace(size)); err != nil || n > maxImage {
		return fmt.Errorf("the image has %s bytes (%v), and may have %d", strings.TrimSpace(size), err, maxImage)
	}
	if err := buildPrevious(ctx, root); err != nil {
		return err
	}
	return buildPod(ctx)
}

func makeImage(ctx context.Context, root, name string) error {
	_, err := command(ctx, "", "make", "-C", root, "image", "BASE=scratch", "IMAGE="+name)
	return err
}

// buildPrevious builds the last release that is an ancestor of this commit.
func buildPrevious(ctx context.Context, root string) error {
	tags, err := command(ctx, "", "git", "-C", root, "tag", "--list", "v*", "--merged", "HEAD~1",
		"--sort=-version:refname")
	if err != nil {
		return fmt.Errorf("find what to upgrade from: %w", err)
	}
	ref := firstPrevious
	if found := strings.Fields(tags); len(found) > 0 {
		ref = found[0]
	}
	if _, err := command(ctx, "", "git", "-C", root, "cat-file", "-e", ref+"^{commit}"); err != nil {
		fmt.Fprintf(os.Stderr, "THE UPGRADE IS FROM THIS COMMIT TO ITSELF: this clone is shallow, and has no %s\n", ref)
		ref = "HEAD"
	}
	dir, archive := filepath.Join(env.dir, "previous"), filepath.Join(env.dir, "previous.tar")
	if _, err := command(ctx, "", "git", "-C", root, "archive", "--output", archive, ref); err != nil {
		return fmt.Errorf("take out what to upgrade from: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if _, err := command(ctx, "", "tar", "-xf", archive, "-C", dir); err != nil {
		return err
	}
	env.previous = previous{ref, filepath.Join(dir, "deploy", "chart"), "stayput-e2e-previous:" + env.run}
	return makeImage(ctx, dir, env.previous.image)
}

func buildPod(ctx context.Context) error {
	pod := filepath.Join(env.dir, "pod")
	if _, err := command(ctx, "", "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", filepath.Join(pod, "pod"),
		"./pod"); err != nil {
		return err
	}
	dockerfile := "FROM scratch\nCOPY pod /pod\nENTRYPOINT [\"/pod\"]\n"
	if err := os.WriteFile(filepath.Join(pod, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return err
	}
	_, err := command(ctx, "", "docker", "build", "-t", env.podImage, pod)
	return err
}

func removeImages() {
	for _, image := range []string{env.image, env.podImage, env.previous.image} {
		if image != "" && !*keep {
			_, _ = command(context.Background(), "", "docker", "image", "rm", image)
		}
	}
}
