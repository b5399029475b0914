package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stayput.dev/cluster"
	"stayput.dev/cluster/clustertest"
	"stayput.dev/manifest"
	"stayput.dev/mutators"
	"stayput.dev/validators"
)

// A linted is one file as lint sees it, which knows nothing else but what stands
// beside it.
type linted struct {
	name      string
	wellMade  bool
	manifests []manifest.Manifest // those of the file
	beside    []cluster.Object
}

// A noisy counts what a rule finds.
type noisy struct {
	rule            string
	findings        int
	wellMade, other int // files that it finds something in
}

// adoption returns docs/adoption.md with the table of noise made anew.
func adoption(root string) ([]byte, error) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "adoption.md"))
	if err != nil {
		return nil, err
	}
	files, err := inRepository(root)
	if err != nil {
		return nil, err
	}
	table, err := noiseTable(files)
	if err != nil {
		return nil, err
	}
	const begin, end = "<!-- make noise -->\n", "<!-- end of make noise -->\n"
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return nil, fmt.Errorf("docs/adoption.md: no place for the table: %s", begin)
	}
	return []byte(before + begin + "\n" + table + "\n" + end + after), nil
}

// printNoise writes what lint finds in the repository's inputs, and in those of
// each directory. Of a directory that does not exist or holds no input it says so,
// for the table of the repository alone looks the same as that of everything.
func printNoise(out io.Writer, root string, dirs []string) error {
	files, err := inRepository(root)
	if err != nil {
		return err
	}
	table, err := noiseTable(files)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "in the repository: %s", table)
	for _, dir := range dirs {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(out, "\nnot reviewed: %s does not exist; make noise INPUTS=DIR reviews another directory\n", dir)
			continue
		}
		if files, err = ofField(dir); err != nil {
			return err
		}
		if len(files) == 0 {
			fmt.Fprintf(out, "\nnot reviewed: %s holds no manifest (*.yaml) that lint reads\n", dir)
			continue
		}
		if table, err = noiseTable(files); err != nil {
			return err
		}
		fmt.Fprintf(out, "\nin %s: %s", dir, table)
	}
	return nil
}

// inRepository returns the inputs that the repository has: examples, and what was
// reported in the field.
func inRepository(root string) (all []linted, err error) {
	for dir, wellMade := range map[string]bool{
		"apps": true, "releases": true, "mended": true, "broken": false, "notes/as-written": false} {
		dir = filepath.Join(root, "examples", dir)
		names, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			return nil, err
		}
		var classes []cluster.Object
		storage := filepath.Join(dir, "storage.yaml")
		if slices.Contains(names, storage) {
			manifests, err := manifestsOf(storage)
			if err != nil {
				return nil, err
			}
			for _, m := range manifests {
				classes = append(classes, m.Object)
			}
		}
		for _, name := range names {
			if name == storage {
				continue
			}
			manifests, err := manifestsOf(name)
			if err != nil {
				return nil, err
			}
			all = append(all, linted{name, wellMade, manifests, classes})
		}
	}
	field, err := ofField(filepath.Join(root, "validators", "testdata", "field"))
	return append(all, field...), err
}

func ofField(dir string) (all []linted, err error) {
	fields, err := clustertest.LoadFields(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if !f.Linted() {
			continue
		}
		wellMade := strings.HasSuffix(f.Name, "-mended") || strings.HasSuffix(f.Name, "-ok")
		all = append(all, linted{f.File, wellMade, f.Manifests, f.Objects})
	}
	return all, nil
}

func manifestsOf(file string) ([]manifest.Manifest, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return manifest.ReadStream(file, data).Manifests, nil
}

// noiseTable reviews files, each by itself, and returns what the rules find.
func noiseTable(files []linted) (string, error) {
	all, good, hit, err := noiseOf(files)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d of %d well-made inputs are hit, and %d others are linted beside them.\n\n", hit, good,
		len(files)-good)
	b.WriteString("| rule | findings | well-made inputs hit | others hit |\n|---|---|---|---|\n")
	for _, c := range all {
		fmt.Fprintf(&b, "| %s | %d | %d of %d | %d |\n", c.rule, c.findings, c.wellMade, good, c.other)
	}
	return b.String(), nil
}

// noiseOf reviews files, each by itself. It returns what each rule finds, the
// noisiest first, how many of the files are well made, and how many of these are hit.
func noiseOf(files []linted) (all []*noisy, good, hit int, err error) {
	counts, named := map[string]*noisy{}, map[string]bool{}
	for _, f := range files {
		if f.wellMade {
			good++
		}
		found, err := f.lint()
		if err != nil {
			return nil, 0, 0, fmt.Errorf("%s: %w", f.name, err)
		}
		for rule, n := range found {
			if counts[rule] == nil {
				counts[rule] = &noisy{rule: rule}
			}
			counts[rule].findings += n
			if f.wellMade {
				counts[rule].wellMade++
				named[f.name] = true
			} else {
				counts[rule].other++
			}
		}
	}
	for _, c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *noisy) int {
		return cmp.Or(b.wellMade-a.wellMade, b.findings-a.findings, strings.Compare(a.rule, b.rule))
	})
	return all, good, len(named), nil
}

// lint returns how much each rule finds in a file, as stayput lint would in plain
// lint: mutators first.
func (l linted) lint() (map[string]int, error) {
	snapshot := &cluster.Snapshot{}
	if err := snapshot.Add(l.beside...); err != nil {
		return nil, err
	}
	for _, m := range l.manifests {
		if err := m.AddTo(snapshot); err != nil {
			return nil, err
		}
	}
	rules, err := validators.Select(validators.All, nil)
	if err != nil {
		return nil, err
	}
	found, policy := map[string]int{}, &validators.Policy{Rules: rules}
	stand, yield := map[string]bool{}, map[string]int{}
	for _, m := range l.manifests {
		obj := m.Object
		v := cluster.Environment{Source: snapshot, Finder: snapshot}.View(context.Background(), cluster.Request{})
		if made, err := mutators.Apply(v, mutators.All, nil, obj); err == nil { // or what it needs is not known
			obj = made.Object
		}
		verdict, err := policy.Review(v, nil, obj)
		if err != nil {
			return nil, err
		}
		for _, f := range verdict.Findings {
			if cause, yields := f.Cause(obj); yields {
				yield[cause]++
				continue
			} else if cause != "" {
				stand[cause] = true
			}
			found[f.Rule.Name]++
		}
	}
	for cause, n := range yield {
		if !stand[cause] {
			found["service-governing"] += n
		}
	}
	return found, nil
}
