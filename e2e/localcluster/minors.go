package localcluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// newestModule is the module of the newest Kubernetes and of etcd, which is used
// for every minor. cmd/pin writes the modules of the other minors beside it, with
// the minor after a hyphen in their names.
const newestModule = "kubernetes"

// KubernetesVariable is the environment variable that chooses the minor if Options
// do not.
const KubernetesVariable = "STAYPUT_KUBERNETES"

// kubernetesModule returns the module from which a minor such as "1.34" is built;
// "" is the newest. The module need not exist.
func kubernetesModule(modules, minor string) (string, error) {
	newest, err := moduleVersion(modules, newestModule)
	if err != nil {
		return "", err
	}
	if minor == "" || strings.HasPrefix(newest, "v"+minor+".") {
		return newestModule, nil
	}
	return newestModule + "-" + minor, nil
}

// builtModule is the module of a minor that can be built.
func builtModule(modules, minor string) (string, error) {
	module, err := kubernetesModule(modules, minor)
	if err != nil {
		return "", err
	}
	if !isDir(filepath.Join(modules, module)) {
		known, err := minors(modules)
		if err != nil {
			return "", err
		}
		return "", fmt.Errorf("kubernetes %s: there are %s; cmd/pin adds others", minor, strings.Join(known, ", "))
	}
	return module, nil
}

// Minors are the minors of Kubernetes that can be built, oldest first.
func Minors(ctx context.Context) ([]string, error) {
	modules, err := modulesDir(ctx)
	if err != nil {
		return nil, err
	}
	return minors(modules)
}

func minors(modules string) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(modules, newestModule+"-*"))
	if err != nil {
		return nil, err
	}
	newest, err := moduleVersion(modules, newestModule)
	if err != nil {
		return nil, err
	}
	all := []string{minorOf(newest)}
	for _, dir := range dirs {
		all = append(all, strings.TrimPrefix(filepath.Base(dir), newestModule+"-"))
	}
	slices.SortFunc(all, func(a, b string) int { return minorNumber(a) - minorNumber(b) })
	return all, nil
}

// Version returns the release of Kubernetes that is built for a minor, such as
// "v1.34.4". Minor "" is the newest.
func Version(ctx context.Context, minor string) (string, error) {
	modules, err := modulesDir(ctx)
	if err != nil {
		return "", err
	}
	module, err := builtModule(modules, minor)
	if err != nil {
		return "", err
	}
	return moduleVersion(modules, module)
}

// minorOf is "1.34" of "v1.34.4".
func minorOf(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// minorNumber is 34 of "1.34".
func minorNumber(minor string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(minor, "1."))
	return n
}

var requiredKubernetes = regexp.MustCompile(`(?m)^\s*(?:require )?k8s\.io/kubernetes (v\S+)`)

// moduleVersion is the release of Kubernetes that a nested module requires.
func moduleVersion(modules, module string) (string, error) {
	data, err := os.ReadFile(filepath.Join(modules, module, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("find the version of Kubernetes: %w", err)
	}
	found := requiredKubernetes.FindSubmatch(data)
	if found == nil {
		return "", fmt.Errorf("find the version of Kubernetes: modules/%s/go.mod does not require it", module)
	}
	return string(found[1]), nil
}

// ModuleDir returns the directory of a minor's go.mod, which need not exist.
func ModuleDir(ctx context.Context, minor string) (string, error) {
	modules, err := modulesDir(ctx)
	if err != nil {
		return "", err
	}
	module, err := kubernetesModule(modules, minor)
	return filepath.Join(modules, module), err
}

func modulesDir(ctx context.Context) (string, error) {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("find the modules of Kubernetes: the go command is needed: %w", err)
	}
	dir, err := sourceDir(ctx, goCommand)
	return filepath.Join(dir, "modules"), err
}
