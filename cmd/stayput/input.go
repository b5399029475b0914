package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/report"
)

// standardInput stands for the name of a file.
const standardInput = "standard input"

// An input is everything that was read from files.
type input struct {
	manifests []manifest.Manifest
	custom    []manifest.Manifest // of custom resources, which no rule reviews
	rendered  map[string]bool     // files with the line numbers of a tool's output
	others    map[string]int
	foreign   []report.Problem
	errors    []report.Problem
}

// A sources names the manifests to read.
type sources struct {
	paths          []string // files, directories, - for standard input
	kustomizations []string
	stdin          io.Reader
	instead        map[string][]byte // what files are to hold, by their names
	progress       *progress
}

// read reads everything. It records a file that cannot be read and continues
// with the rest. Only a path that does not exist is an error, because it is
// probably a typing mistake.
func (s sources) read() (*input, error) {
	in := &input{rendered: map[string]bool{}, others: map[string]int{}}
	var files []string
	for _, path := range s.paths {
		if path == "-" {
			data, err := io.ReadAll(s.stdin)
			if err != nil {
				return nil, fmt.Errorf("read standard input: %w", err)
			}
			in.rendered[standardInput] = true
			in.add(manifest.ReadStream(standardInput, data))
			continue
		}
		found, err := in.walk(path)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	in.readFiles(dedupe(files), s.instead, s.progress)
	for _, dir := range s.kustomizations {
		built, err := linked.kustomize(dir, s.instead)
		if err != nil {
			in.errors = append(in.errors, report.Problem{File: dir, Message: err.Error()})
			continue
		}
		in.add(built)
	}
	if len(in.manifests)+len(in.others)+len(in.foreign)+len(in.errors) == 0 {
		return nil, fmt.Errorf("no manifest in %s", strings.Join(append(slices.Clone(s.paths), s.kustomizations...), ", "))
	}
	return in, nil
}

// walk returns the manifests below a directory, or the file itself.
func (in *input) walk(path string) (files []string, err error) {
	return in.walkExcept(path, func(name string) bool { return name == ".git" })
}

// walkExcept is walk, without the directories below whose names are to be skipped.
func (in *input) walkExcept(path string, skip func(name string) bool) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	err = filepath.WalkDir(path+string(filepath.Separator), func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			in.errors = append(in.errors, problem(name, err))
			return nil
		case entry.IsDir() && skip(entry.Name()):
			return fs.SkipDir
		case entry.IsDir(), !holdsManifests(name):
			return nil
		case entry.Type()&fs.ModeSymlink != 0:
			if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
				return nil // a directory may lead in a circle
			}
		case !entry.Type().IsRegular():
			return nil // reading a pipe may block for ever
		}
		files = append(files, filepath.Clean(name))
		return nil
	})
	return files, err
}

// holdsManifests says whether a file in a directory is read, by its name.
func holdsManifests(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// problem converts an error of the file system, with the name of the file in a
// field of its own.
func problem(name string, err error) report.Problem {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return report.Problem{File: name, Message: pathErr.Op + ": " + pathErr.Err.Error()}
	}
	return report.Problem{File: name, Message: err.Error()}
}

// readFiles reads files at once, and keeps their order. Instead has what some of
// them are to hold.
func (in *input) readFiles(files []string, instead map[string][]byte, bar *progress) {
	streams := make([]manifest.Stream, len(files))
	failed := make([]error, len(files))
	done := bar.begin("reading", len(files))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range files {
		group.Go(func() error {
			data, known := instead[name]
			var err error
			if !known {
				data, err = os.ReadFile(name)
			}
			if failed[i] = err; err == nil {
				streams[i] = manifest.ReadStream(name, data)
			}
			bar.step()
			return nil
		})
	}
	_ = group.Wait() // what failed is noted for each file
	done()
	for i, name := range files {
		if failed[i] != nil {
			in.errors = append(in.errors, problem(name, failed[i]))
			continue
		}
		in.add(streams[i])
	}
}

func (in *input) add(s manifest.Stream) {
	in.manifests = append(in.manifests, s.Manifests...)
	in.custom = append(in.custom, s.Custom...)
	for kind, n := range s.Others {
		in.others[kind] += n
	}
	in.foreign = append(in.foreign, problems(s.Foreign)...)
	in.errors = append(in.errors, problems(s.Errors)...)
}

// place puts all objects that name no namespace into one.
func (in *input) place(namespace string) {
	for i := range in.manifests {
		in.manifests[i].Place(namespace)
	}
}

func problems(errs []*manifest.StreamError) (ps []report.Problem) {
	for _, e := range errs {
		ps = append(ps, report.Problem{File: e.File, Line: e.Line, Message: e.Err.Error()})
	}
	return ps
}

// dedupe drops repeated files: of a directory and a file in it.
func dedupe(files []string) (kept []string) {
	seen := map[string]bool{}
	for _, f := range files {
		if key := filepath.Clean(f); !seen[key] {
			seen[key], kept = true, append(kept, f)
		}
	}
	return kept
}

// snapshotOf returns the cluster described by --manifests, a file or a
// directory without any errors. An empty path is an empty cluster.
func snapshotOf(manifests string) (*cluster.Snapshot, error) {
	snapshot := &cluster.Snapshot{Complete: true}
	if manifests == "" {
		return snapshot, nil
	}
	in, err := sources{paths: []string{manifests}}.read()
	if err == nil && len(in.errors) > 0 {
		err = errors.New(in.errors[0].String())
	}
	if err != nil {
		return nil, fmt.Errorf("--manifests: %w", err)
	}
	for _, m := range in.manifests {
		if err := snapshot.Add(m.Object); err != nil {
			return nil, fmt.Errorf("--manifests: %w", err)
		}
	}
	return snapshot, nil
}
