package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/aymanbagabas/go-udiff"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/report"
	"stayput.dev/validators"
)

// A fixer turns the fixes of findings into changes of files.
type fixer struct {
	manifests map[named]*manifest.Manifest
	states    map[named]state

	lock  sync.Mutex
	plans map[*report.Fix]*plan // what is behind each fix of the report
}

// A state is what is known of an object before its manifest is applied.
type state int

const (
	unknownState state = iota
	isNew
	isThere
)

// newFixer returns a fixer for subjects with manifests.
func newFixer(subjects []subject) *fixer {
	x := &fixer{manifests: map[named]*manifest.Manifest{}, states: map[named]state{}, plans: map[*report.Fix]*plan{}}
	for i := range subjects {
		s := &subjects[i]
		if s.manifest == nil {
			continue
		}
		name := nameOf(s.manifest.Object)
		x.manifests[name] = s.manifest
		switch {
		case s.compare && s.old == nil:
			x.states[name] = isNew
		case s.compare:
			x.states[name] = isThere
		}
	}
	return x
}

// A plan is a fix, and the place where it is written.
type plan struct {
	of, in named              // the object of the finding, and the one that is edited
	at     *manifest.Manifest // as its author wrote it
	fix    *validators.Fix
	shown  *report.Fix
}

// Why a fix is not written.
var (
	errUnknownState = errors.New("only a new object can get this; --against-cluster or --old shows whether it is new")
	errThere        = errors.New("the object exists, and this would make another one of it")
	errInput        = errors.New("standard input has no file")
	errBuilt        = errors.New("kustomize makes this of several files, or of none that it names")
	errTwice        = errors.New("the file is read twice, as itself and by kustomize")
)

// of returns what a fix changes in which file, or nil if no manifest has the
// object.
func (x *fixer) of(s *subject, f *validators.Finding) *report.Fix {
	if x == nil || f.Fix == nil || s.manifest == nil || s.removed {
		return nil
	}
	p := &plan{of: nameOf(s.manifest.Object), fix: f.Fix, shown: &report.Fix{}}
	p.in = p.of
	if of := f.Fix.Of; of != nil {
		p.in = named{of.Kind, types.NamespacedName{Namespace: of.Namespace, Name: of.Name}}
	}
	target := x.manifests[p.in]
	if target == nil {
		return nil
	}
	err := p.find(target)
	if err == nil && f.Fix.OnlyNew(p.of.kind) {
		err = x.mayGet(p, target)
	}
	if err == nil {
		err = p.show()
	}
	if err != nil {
		p.shown.Unwritten = err.Error()
	}
	x.lock.Lock()
	defer x.lock.Unlock()
	x.plans[p.shown] = p
	return p.shown
}

// mayGet says why the object of a plan may not get what new objects alone may.
func (x *fixer) mayGet(p *plan, target *manifest.Manifest) error {
	switch state := x.states[p.in]; {
	case state == isThere:
		return errThere
	case state == unknownState:
		return errUnknownState
	case target.Built:
		return errBuilt // which gives names of its own
	}
	return nil
}

// find finds what the author of a manifest wrote, where the fix goes.
func (p *plan) find(target *manifest.Manifest) error {
	for _, path := range p.fix.Without {
		if target.At(path) != nil {
			return fmt.Errorf("%s is there, and excludes it", path)
		}
	}
	if p.at = target; !target.Built {
		return nil
	}
	if p.fix.Add != nil || len(p.fix.Remove) > 0 || len(p.fix.Set) != 1 {
		return errBuilt
	}
	path := p.fix.Set[0].Path
	author, known := target.Author(path)
	listed := slices.ContainsFunc(cluster.SplitPath(path), func(elem string) bool {
		return elem[0] >= '0' && elem[0] <= '9'
	})
	if !known || target.Edited(path) != nil || listed && len(target.Written)+len(target.Edits) > 1 {
		return errBuilt
	}
	p.at = author
	return nil
}

// show fills in the changes, as of this fix alone, and returns why they are not
// to be written.
func (p *plan) show() error {
	d := p.at.Draft()
	if err := p.edit(d); err != nil {
		return err
	}
	after, err := d.After()
	if err != nil {
		return err
	}
	r := manifest.Replaced(d.Before(), after)
	p.shown.Changes = []report.Replacement{{File: p.at.File, Line: r.Line, Column: r.Column, EndLine: r.EndLine,
		EndColumn: r.EndColumn, Text: r.Text}}
	if p.at.File == standardInput {
		return errInput
	}
	return d.Guarded()
}

// edit makes the changes in a draft, or none of them.
func (p *plan) edit(d *manifest.Draft) error {
	return d.Try(func() error {
		for _, set := range p.fix.Set {
			if err := d.Set(p.at, cluster.SplitPath(set.Path), set.Value); err != nil {
				return err
			}
		}
		for _, path := range p.fix.Remove {
			if err := d.Remove(p.at, cluster.SplitPath(path)); err != nil {
				return err
			}
		}
		if p.fix.Add == nil {
			return nil
		}
		object := p.fix.Add
		if p.at.At("metadata.namespace") == nil { // the command that applies it names one
			object = maps.Clone(object)
			meta, _ := object["metadata"].(map[string]any)
			meta = maps.Clone(meta)
			delete(meta, "namespace")
			object["metadata"] = meta
		}
		return d.Add(p.at, object)
	})
}

// added returns the name of the object that the fix adds, or none.
func (p *plan) added() named {
	meta, _ := p.fix.Add["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	kind, _ := p.fix.Add["kind"].(string)
	namespace, _ := meta["namespace"].(string)
	n := named{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
	n.kind.Kind = kind
	return n
}

// drafts returns the files with the fixes of a report that are to be written,
// in the order of the findings, and the plans by the fingerprints of the n
// findings that they mend.
func (x *fixer) drafts(r *report.Report) (all []*manifest.Draft, mended map[string]*plan, n int) {
	byFile, added := map[string]*manifest.Draft{}, map[named]bool{}
	mended = map[string]*plan{}
	for i := range r.Findings {
		f := &r.Findings[i]
		p := x.plans[f.Fix]
		if p == nil || f.Fix.Unwritten != "" {
			continue
		}
		d := byFile[p.at.File]
		if d == nil {
			d = p.at.Draft()
			byFile[p.at.File] = d
			all = append(all, d)
		}
		if !p.at.Drafted(d) {
			f.Fix.Unwritten = errTwice.Error()
			continue
		}
		if p.fix.Add != nil && added[p.added()] { // for another StatefulSet that names the same Service
			mended[f.Fingerprint] = p
			n++
			continue
		}
		if err := p.edit(d); err != nil {
			f.Fix.Unwritten = err.Error()
			continue
		}
		if p.fix.Add != nil {
			added[p.added()] = true
		}
		mended[f.Fingerprint] = p
		n++
	}
	return all, mended, n
}

// An edited is a file with fixes.
type edited struct {
	file          string
	before, after []byte
}

// editedOf returns what the drafts come to.
func editedOf(drafts []*manifest.Draft) (all []edited, err error) {
	for _, d := range drafts {
		after, err := d.After()
		if err != nil {
			return nil, err
		}
		all = append(all, edited{d.File, d.Before(), after})
	}
	return all, nil
}

// errSequel is why a fix is left to its reader.
var errSequel = errors.New("with it, something else would be found")

// fixed fixes what it can in memory, and reviews that: it returns the files, and
// the review. A fix after which its finding is still there, or another has come,
// is left out, and the rest is reviewed again.
func fixed(r *report.Report, x *fixer, again func(files map[string][]byte) (*report.Report, *fixer, error)) (
	[]edited, *report.Report, error) {
	left := map[string]string{} // why, by fingerprint
	for {
		drafts, mended, n := x.drafts(r)
		files, err := editedOf(drafts)
		if err != nil {
			return nil, nil, err
		}
		if len(files) == 0 {
			return nil, r, nil
		}
		overlay := map[string][]byte{}
		for _, f := range files {
			overlay[f.file] = f.after
		}
		now, _, err := again(overlay)
		if err != nil {
			return nil, nil, err
		}
		wrong := wrongs(r, now, mended)
		if len(wrong) == 0 {
			for i := range now.Findings {
				if f := &now.Findings[i]; f.Fix != nil && left[f.Fingerprint] != "" {
					f.Fix.Unwritten = left[f.Fingerprint]
				}
			}
			now.Summary.Fixed = n
			return files, now, nil
		}
		for _, fingerprint := range wrong {
			left[fingerprint] = errSequel.Error()
			mended[fingerprint].shown.Unwritten = errSequel.Error()
		}
	}
}

// wrongs returns, by their fingerprints, the findings whose fixes are not right:
// after them, the finding is there still, or another one about the object of the
// finding, or about the one that was edited. Where that is another object
// altogether, it is all of them.
func wrongs(before, after *report.Report, mended map[string]*plan) (wrong []string) {
	was := map[string]bool{}
	for i := range before.Findings {
		was[before.Findings[i].Fingerprint] = true
	}
	is := map[string]bool{}
	for fingerprint := range mended {
		is[fingerprint] = false
	}
	for i := range after.Findings {
		f := &after.Findings[i]
		if mended[f.Fingerprint] != nil {
			is[f.Fingerprint] = true
			continue
		}
		if was[f.Fingerprint] {
			continue
		}
		found := false
		for fingerprint, p := range mended {
			if p.of.is(f.Object) || p.in.is(f.Object) || p.added().is(f.Object) {
				is[fingerprint], found = true, true
			}
		}
		if !found {
			return slices.Sorted(maps.Keys(mended))
		}
	}
	if len(after.Errors) > len(before.Errors) {
		return slices.Sorted(maps.Keys(mended))
	}
	for _, fingerprint := range slices.Sorted(maps.Keys(is)) {
		if is[fingerprint] {
			wrong = append(wrong, fingerprint)
		}
	}
	return wrong
}

// is says whether an object of a report has the name.
func (n named) is(o report.Object) bool {
	return n.kind.Kind == o.Kind && n.Namespace == o.Namespace && n.Name == o.Name
}

// writeFiles writes all files or none: each beside the old one, which it then
// replaces at once. It fails where a file is not as it was read.
func writeFiles(files []edited) (err error) {
	var temporary, targets []string
	unwritten := func(err error) error { return fmt.Errorf("%w; nothing is written", err) }
	defer func() {
		for _, name := range temporary {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	for _, f := range files {
		target, err := filepath.EvalSymlinks(f.file)
		if err != nil {
			return unwritten(err)
		}
		info, err := os.Stat(target)
		if err != nil {
			return unwritten(err)
		}
		switch now, err := os.ReadFile(target); {
		case err != nil:
			return unwritten(err)
		case !bytes.Equal(now, f.before):
			return unwritten(fmt.Errorf("%s has changed since it was read", f.file))
		case slices.Contains(targets, target):
			return unwritten(fmt.Errorf("%s is another name of a file that is written, too", f.file))
		}
		name, err := writeBeside(target, f.after, info.Mode().Perm())
		if name != "" {
			temporary = append(temporary, name)
		}
		if err != nil {
			return unwritten(err)
		}
		targets = append(targets, target)
	}
	for i, target := range targets {
		if err := os.Rename(temporary[0], target); err != nil {
			return fmt.Errorf("%w; written before it: %d of %d files", err, i, len(targets))
		}
		temporary = temporary[1:]
	}
	return nil
}

// writeBeside writes a new file in the directory of another, and returns its
// name.
func writeBeside(target string, data []byte, mode os.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	return f.Name(), errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

// writeDiff writes fixes as a unified diff, which git apply and patch -p1 take.
// Those that lint --fix does not write follow as comments, with the reason.
func writeDiff(w io.Writer, files []edited, r *report.Report, x *fixer) error {
	buf := bufio.NewWriter(w)
	for _, f := range files {
		fmt.Fprint(buf, diffOf(f.file, f.before, f.after))
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		p := x.plans[f.Fix]
		if p == nil || f.Fix.Unwritten == "" {
			continue
		}
		fmt.Fprintf(buf, "# %s: not written: %s\n", f.Rule, f.Fix.Unwritten)
		d := p.at.Draft()
		if len(f.Fix.Changes) == 0 || p.edit(d) != nil {
			fmt.Fprintf(buf, "#   fix: %s\n", cluster.OneLine(f.Remedy))
			continue
		}
		after, err := d.After()
		if err != nil {
			return err
		}
		for line := range strings.Lines(diffOf(d.File, d.Before(), after)) {
			fmt.Fprintf(buf, "#   %s\n", strings.TrimRight(line, "\r\n"))
		}
	}
	return buf.Flush()
}

func diffOf(file string, before, after []byte) string {
	name := strings.TrimPrefix(filepath.ToSlash(file), "/")
	return udiff.Unified("a/"+name, "b/"+name, string(before), string(after))
}
