package localcluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// sourceDir is where this package's sources are. The nested modules cannot be
// embedded: a go:embed pattern does not reach into another module.
func sourceDir(ctx context.Context, goCommand string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if isDir(filepath.Join(dir, "modules")) {
		return dir, nil
	}
	// A program built with -trimpath does not know its sources; go does, where
	// the working directory is in the module.
	out, err := exec.CommandContext(ctx, goCommand, "list", "-f", "{{.Dir}}", "stayput.dev/e2e/localcluster").Output()
	if err != nil {
		return "", fmt.Errorf("find the sources of stayput.dev/e2e/localcluster (run it in Stayput's source tree): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// buildFlags are part of a program's key in the cache. What components of
// Kubernetes say they are goes with the version in their module's go.mod; the
// other modules require what the newest one does, so that it is compiled once.
func (b *builder) buildFlags(module string) ([]string, error) {
	if !strings.HasPrefix(module, newestModule+"-") {
		module = newestModule
	}
	version, err := moduleVersion(b.modules, module)
	if err != nil {
		return nil, err
	}
	ld := "-s -w"
	for _, v := range []string{
		"gitVersion=" + version, "gitMajor=1", "gitMinor=" + strings.Split(version, ".")[1],
		"gitTreeState=clean", "gitCommit=" + strings.Repeat("0", 40),
	} {
		ld += " -X k8s.io/component-base/version." + v + " -X k8s.io/client-go/pkg/version." + v
	}
	return []string{"-trimpath", "-buildvcs=false", "-ldflags", ld}, nil
}

// buildEnv keeps what the caller builds for (a cross-compiling Makefile, a
// workspace) out of what runs here.
func buildEnv() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
