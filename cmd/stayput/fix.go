package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
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
	"stayput.dev/manifest/splice"
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
	wrote  *validators.Fix // the same, with the names and labels that the author writes
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
	case target.Built && slices.ContainsFunc(p.fix.Set, func(s validators.Setting) bool {
		return s.From == "" && s.Value != p.added().Name
	}):
		return errBuilt // which gives names of its own
	}
	return nil
}

// find finds what the author of a manifest wrote, where the fix goes.
func (p *plan) find(target *manifest.Manifest) error {
	p.at, p.wrote = target, p.fix
	for _, path := range p.fix.Without {
		if target.At(path) != nil {
			return fmt.Errorf("%s is there, and excludes it", path)
		}
	}
	if !target.Built {
		return nil
	}
	var at *manifest.Manifest
	paths := slices.Clone(p.fix.Remove)
	for _, set := range p.fix.Set {
		paths = append(paths, set.Path)
	}
	for i, path := range paths {
		gone := i < len(p.fix.Remove)
		if gone && target.At(path) == nil {
			continue
		}
		author, known := target.Author(path)
		if !known || at != nil && at != author || target.Edited(path) != nil || gone && writers(target, path) != 1 ||
			inList(path) && len(target.Written)+len(target.Edits) > 1 {
			return errBuilt
		}
		at = author
	}
	if p.fix.Add != nil {
		if len(target.Written) == 0 || at != nil && at != &target.Written[0] {
			return errBuilt
		}
		at = &target.Written[0]
	}
	if at == nil {
		return errBuilt
	}
	p.at = at
	return p.authored(target, &target.Written[0])
}

// writers returns how many files have a field of a built object.
func writers(target *manifest.Manifest, path string) (n int) {
	for i := range target.Written {
		if target.Written[i].At(path) != nil {
			n++
		}
	}
	return n
}

// inList says whether a path leads through an item of a list, whose index may be
// another where it was written.
func inList(path string) bool {
	return slices.ContainsFunc(cluster.SplitPath(path), func(elem string) bool {
		return elem != "" && elem[0] >= '0' && elem[0] <= '9'
	})
}

// authored says a fix of a built object in the words of its author: with the name of
// an added object without what kustomize puts around it, and with selectors of those
// labels alone that stand in the author's file, for kustomize puts in the others.
func (p *plan) authored(target, by *manifest.Manifest) error {
	fix := *p.fix
	fix.Set = slices.Clone(fix.Set)
	name, own := p.added().Name, p.added().Name
	if fix.Add != nil {
		if at := by.At("spec.serviceName"); at == nil || at.Value != name { // else kustomize renames both
			before, after, _ := strings.Cut(target.GetName(), by.GetName())
			own = strings.TrimSuffix(strings.TrimPrefix(name, before), after)
			if own == "" || before+own+after != name {
				return errBuilt
			}
		}
		add, err := narrowed(by, fix.Add)
		if err != nil {
			return err
		}
		fix.Add, _ = add.(map[string]any)
		meta, _ := fix.Add["metadata"].(map[string]any)
		meta["name"] = own
		if ns := by.At("metadata.namespace"); ns != nil {
			meta["namespace"] = ns.Value
		}
	}
	for i := range fix.Set {
		set := &fix.Set[i]
		if fix.Add != nil && set.Value == name {
			set.Value = own
		}
		var err error
		if set.Value, err = narrowed(by, set.Value); err != nil {
			return err
		}
	}
	p.wrote = &fix
	return nil
}

// narrowed returns a value as JSON decodes it, whose selectors ask only for those
// labels that a manifest gives to its Pods. It fails where one asks for another value,
// or for none of them.
func narrowed(by *manifest.Manifest, value any) (any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		return nil, err
	}
	var walk func(node any, in string) error
	walk = func(node any, in string) error {
		switch node := node.(type) {
		case []any:
			for _, item := range node {
				if err := walk(item, in); err != nil {
					return err
				}
			}
		case map[string]any:
			if in == "matchLabels" || in == "selector" && node["matchLabels"] == nil {
				return narrow(by, node)
			}
			for name, inner := range node {
				if err := walk(inner, name); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return plain, walk(plain, "")
}

// narrow takes labels out of a selector that a manifest does not give to its Pods.
func narrow(by *manifest.Manifest, selector map[string]any) error {
	for key, value := range selector {
		switch at := by.At("spec.template.metadata.labels[" + key + "]"); {
		case at == nil: // kustomize's, which it puts in here, too
			delete(selector, key)
		case at.Value != value:
			return errBuilt
		}
	}
	if len(selector) == 0 {
		return errBuilt
	}
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
	before := d.Before()
	for _, e := range udiff.Lines(string(before), string(after)) {
		r := manifest.Replaced(before, splice.Edit{Start: e.Start, End: e.End, Text: e.New}.Of(before))
		p.shown.Changes = append(p.shown.Changes, report.Replacement{File: p.at.File, Line: r.Line, Column: r.Column,
			EndLine: r.EndLine, EndColumn: r.EndColumn, Text: r.Text})
	}
	if p.at.File == standardInput {
		return errInput
	}
	return d.Guarded()
}

// edit makes the changes in a draft, or none of them.
func (p *plan) edit(d *manifest.Draft) error {
	return d.Try(func() error {
		for _, set := range p.wrote.Set {
			var err error
			if path := cluster.SplitPath(set.Path); set.From != "" {
				err = d.Move(p.at, cluster.SplitPath(set.From), path)
			} else {
				err = d.Set(p.at, path, set.Value)
			}
			if err != nil {
				return err
			}
		}
		for _, path := range p.wrote.Remove {
			if err := d.Remove(p.at, cluster.SplitPath(path)); err != nil {
				return err
			}
		}
		if p.wrote.Add == nil {
			return nil
		}
		object := p.wrote.Add
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

// drafts returns the files with the fixes of a report that are to be written and are
// not left out, in the order of the findings, and the plans by the fingerprints of
// the findings that they mend.
func (x *fixer) drafts(r *report.Report, out func(fingerprint string) bool) (all []*manifest.Draft,
	mended map[string]*plan) {
	byFile, added := map[string]*manifest.Draft{}, map[named]bool{}
	mended = map[string]*plan{}
	for i := range r.Findings {
		f := &r.Findings[i]
		p := x.plans[f.Fix]
		if p == nil || f.Fix.Unwritten != "" || out(f.Fingerprint) {
			continue
		}
		d := byFile[p.at.File]
		if d == nil {
			d = p.at.Draft()
		}
		if !p.at.Drafted(d) {
			f.Fix.Unwritten = errTwice.Error()
			continue
		}
		// An object is added once, for all StatefulSets that name the same Service.
		if p.fix.Add == nil || !added[p.added()] {
			if err := p.edit(d); err != nil {
				f.Fix.Unwritten = err.Error()
				continue
			}
		}
		if p.fix.Add != nil {
			added[p.added()] = true
		}
		if byFile[p.at.File] == nil {
			byFile[p.at.File] = d
			all = append(all, d)
		}
		mended[f.Fingerprint] = p
	}
	return all, mended
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

// A mending is what fixes come to: the files, the review of them with the fixer of
// what is left, and how many findings are mended.
type mending struct {
	files  []edited
	report *report.Report
	fixer  *fixer
}

// fixed fixes what it can in memory, and reviews that. A fix after which its finding
// is still there, or another has come, is left out. What is fixed is then fixed again,
// until nothing more can be: a second run has nothing to write.
func fixed(r *report.Report, x *fixer, again func(files map[string][]byte) (*report.Report, *fixer, error)) (
	*mending, error) {
	m := &mending{report: r, fixer: x}
	overlay := map[string][]byte{}
	for {
		files, now, left, err := m.pass(overlay, again)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			break
		}
		for _, f := range files {
			overlay[f.file] = f.after
			if i := slices.IndexFunc(m.files, func(e edited) bool { return e.file == f.file }); i >= 0 {
				m.files[i].after = f.after
			} else {
				m.files = append(m.files, f)
			}
		}
		m.report, m.fixer = now, left
	}
	why := map[string]string{} // what is left is, by fingerprint
	for i := range m.report.Findings {
		f := &m.report.Findings[i]
		if f.Fix != nil {
			f.Fix.Unwritten = cmp.Or(f.Fix.Unwritten, errSequel.Error())
			why[f.Fingerprint] = f.Fix.Unwritten
		}
	}
	n := 0
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Fix != nil && f.Fix.Unwritten == "" {
			if f.Fix.Unwritten = why[f.Fingerprint]; f.Fix.Unwritten == "" {
				n++
			}
		}
	}
	m.report.Summary.Fixed = n
	return m, nil
}

// pass fixes, in files as they are now, as much as it finds to be right together.
// Where it is not known which fix is wrong, it does without half of those that may
// be, down to one.
func (m *mending) pass(overlay map[string][]byte, again func(map[string][]byte) (*report.Report, *fixer, error)) (
	files []edited, now *report.Report, left *fixer, err error) {
	wrong := map[string]bool{} // by fingerprint
	for {
		later := map[string]bool{}
		for {
			drafts, mended := m.fixer.drafts(m.report, func(fingerprint string) bool {
				return wrong[fingerprint] || later[fingerprint]
			})
			if files, err = editedOf(drafts); err != nil {
				return nil, nil, nil, err
			}
			if len(files) == 0 {
				break
			}
			then := maps.Clone(overlay)
			for _, f := range files {
				then[f.file] = f.after
			}
			if now, left, err = again(then); err != nil {
				return nil, nil, nil, err
			}
			found, certain := wrongs(m.report, now, mended)
			if len(found) == 0 {
				return files, now, left, nil
			}
			for i, fingerprint := range found {
				switch {
				case certain || len(found) == 1:
					wrong[fingerprint] = true
				case i >= len(found)/2:
					later[fingerprint] = true
				}
			}
		}
		if len(later) == 0 {
			return nil, nil, nil, nil
		}
	}
}

// wrongs returns, by their fingerprints, the findings whose fixes are not right:
// after them, the finding is there still, or another one about the object of the
// finding, or about the one that was edited. Where several are about that object, or
// none, each of them may be right.
func wrongs(before, after *report.Report, mended map[string]*plan) (wrong []string, certain bool) {
	was, is := map[string]bool{}, map[string]bool{}
	for i := range before.Findings {
		was[before.Findings[i].Fingerprint] = true
	}
	var perhaps []string
	strange := len(after.Errors) > len(before.Errors)
	for i := range after.Findings {
		f := &after.Findings[i]
		if mended[f.Fingerprint] != nil {
			is[f.Fingerprint] = true
			continue
		}
		if was[f.Fingerprint] {
			continue
		}
		var by []string
		for _, fingerprint := range slices.Sorted(maps.Keys(mended)) {
			if p := mended[fingerprint]; p.of.is(f.Object) || p.in.is(f.Object) || p.added().is(f.Object) {
				by = append(by, fingerprint)
			}
		}
		switch len(by) {
		case 0:
			strange = true
		case 1:
			is[by[0]] = true
		default:
			perhaps = by
		}
	}
	switch {
	case len(is) > 0:
		return slices.Sorted(maps.Keys(is)), true
	case len(perhaps) > 0:
		return perhaps, false
	case strange:
		return suspects(mended), false
	}
	return nil, true
}

// suspects returns those fixes that may be wrong where it is not known which is:
// those that add an object, or else all.
func suspects(mended map[string]*plan) (all []string) {
	for _, fingerprint := range slices.Sorted(maps.Keys(mended)) {
		if mended[fingerprint].fix.Add != nil {
			all = append(all, fingerprint)
		}
	}
	if len(all) == 0 {
		all = slices.Sorted(maps.Keys(mended))
	}
	return all
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
func writeDiff(w io.Writer, m *mending) error {
	buf := bufio.NewWriter(w)
	for _, f := range m.files {
		fmt.Fprint(buf, diffOf(f.file, f.before, f.after))
	}
	for i := range m.report.Findings {
		f := &m.report.Findings[i]
		p := m.fixer.plans[f.Fix]
		if p == nil {
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
