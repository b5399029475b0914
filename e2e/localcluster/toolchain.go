package localcluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
)

// sourceDir returns the directory of this package's sources. The nested modules
// cannot be embedded, because a go:embed pattern cannot name files of another
// module.
func sourceDir(ctx context.Context, goCommand string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if isDir(filepath.Join(dir, "modules")) {
		return dir, nil
	}
	// A program built with -trimpath does not know the path of its sources, but go
	// does if the working directory is in the module.
	if known := toldSource.Load(); known != nil {
		return *known, nil
	}
	out, err := exec.CommandContext(ctx, goCommand, "list", "-f", "{{.Dir}}", "stayput.dev/e2e/localcluster").Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	} else if err != nil {
		return "", fmt.Errorf("find the sources of stayput.dev/e2e/localcluster (run it in Stayput's source tree): %w", err)
	}
	dir = strings.TrimSpace(string(out))
	toldSource.Store(&dir)
	return dir, nil
}

// toldSource is what go has said to sourceDir.
var toldSource atomic.Pointer[string]

// buildFlags are part of a program's key in the cache. Components of Kubernetes
// report the version in their module's go.mod. The other modules require the same
// dependencies as the newest, so that these are compiled once; and the Makefile builds
// Stayput with the same -trimpath and -gcflags, for the same reason. Debug
// information is of no use in programs that are only run.
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
	return []string{"-trimpath", "-gcflags=all=-dwarf=false", "-buildvcs=false", "-ldflags", ld}, nil
}

// BuildEnv returns the environment in which go works on the nested modules, without
// the caller's build settings (those of a cross-compiling Makefile, or a workspace).
// Where a module requires a newer Go than ours, as Kubernetes 1.38 does, go fetches that
// toolchain.
func BuildEnv() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=auto", "GOOS="+runtime.GOOS,
		"GOARCH="+runtime.GOARCH)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
