package localcluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// cacheDir is where built programs are kept, each in a directory named after
// its content: <name>-<key>/<name>.
func cacheDir() (string, error) {
	if dir := os.Getenv("STAYPUT_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache directory (or set STAYPUT_CACHE): %w", err)
	}
	return filepath.Join(dir, "stayput"), nil
}

// ensure builds the programs of want that are not in the cache, and adds all of
// them to bin. Only one process builds at a time; the others then find its results
// in the cache.
func (b *builder) ensure(ctx context.Context, want []program, bin Binaries) error {
	missing, err := b.look(ctx, want, bin)
	if err != nil || len(missing) == 0 {
		return err
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if missing, err = b.look(ctx, want, bin); err != nil || len(missing) == 0 {
		return err
	}
	return b.buildAll(ctx, missing, bin)
}

// look adds the programs of want that are in the cache to bin, and returns the
// others.
func (b *builder) look(ctx context.Context, want []program, bin Binaries) (missing []program, err error) {
	for _, p := range want {
		dir, err := b.dir(ctx, p)
		if err != nil {
			return nil, err
		}
		if file := filepath.Join(dir, p.name); isExecutable(file) {
			bin[p.name] = file
		} else {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// dir returns the directory of p in the cache. Its name contains a hash of
// everything that the program depends on.
func (b *builder) dir(ctx context.Context, p program) (string, error) {
	module := filepath.Join(b.modules, p.module)
	files, err := filepath.Glob(filepath.Join(module, "*.go"))
	if err != nil {
		return "", err
	}
	goVersion, err := b.goVersion(ctx, p.module)
	if err != nil {
		return "", err
	}
	flags, err := b.buildFlags(p.module)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, goVersion, runtime.GOOS, runtime.GOARCH, flags, p.pkg)
	for _, file := range append([]string{filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum")}, files...) {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("hash the sources of %s: %w", p.name, err)
		}
		fmt.Fprintf(h, "%s %x\n", filepath.Base(file), sha256.Sum256(content))
	}
	return filepath.Join(b.cache, fmt.Sprintf("%s-%x", p.name, h.Sum(nil)[:6])), nil
}

func (b *builder) buildAll(ctx context.Context, missing []program, bin Binaries) error {
	b.clearLeftovers()
	start := time.Now()
	b.announce(missing)
	for len(missing) > 0 {
		module, here, rest := missing[0].module, []program{}, []program{}
		for _, p := range missing {
			if p.module == module {
				here = append(here, p)
			} else {
				rest = append(rest, p)
			}
		}
		if err := b.buildModule(ctx, module, here, bin); err != nil {
			return fmt.Errorf("build %s: %w", names(here), err)
		}
		missing = rest
	}
	b.say("built in %s, with %s of CPU time", time.Since(start).Round(time.Second), b.cpu.Round(time.Second))
	return nil
}

// buildModule builds into a temporary directory and then renames each program, so
// that every program in the cache is complete.
func (b *builder) buildModule(ctx context.Context, module string, ps []program, bin Binaries) error {
	tmp, err := os.MkdirTemp(b.cache, ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	stop := b.reportProgress(ps, tmp)
	err = b.compile(ctx, module, ps, tmp)
	stop()
	if err != nil {
		return err
	}
	for _, p := range ps {
		dir, err := b.dir(ctx, p)
		if err != nil {
			return err
		}
		whole := filepath.Join(tmp, "whole-"+p.name)
		if err := os.Mkdir(whole, 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(tmp, p.name), filepath.Join(whole, p.name)); err != nil {
			return err
		}
		os.RemoveAll(dir) // a directory without its program, or rename refuses
		if err := os.Rename(whole, dir); err != nil {
			return err
		}
		bin[p.name] = filepath.Join(dir, p.name)
	}
	return nil
}

// clearLeftovers removes the files of a build that was killed. The caller holds the
// lock, so no other build runs.
func (b *builder) clearLeftovers() {
	left, _ := filepath.Glob(filepath.Join(b.cache, ".build-*"))
	for _, dir := range left {
		os.RemoveAll(dir)
	}
}

// lock waits for the cache's lock. The kernel releases the lock when the process
// ends, for whatever reason.
func (b *builder) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the cache's lock: %w", err)
	}
	for said := false; ; said = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock the cache: %w", err)
		}
		if !said {
			b.say("another process builds; waiting for it")
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another process's build: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func names(ps []program) string {
	var s []string
	for _, p := range ps {
		s = append(s, p.name)
	}
	return strings.Join(s, ", ")
}
