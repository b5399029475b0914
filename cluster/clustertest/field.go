package clustertest

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// A Field is one file of validators/testdata/field: a small manifest for a
// problem that was reported in public, or seen in a chart. It is either linted
// (its first comment begins with "lint:") or one request: the comments "#
// cluster", "# old" and "# object" above an object say which part it is, "#
// user USER" names the caller. An old object without a new one is deleted.
type Field struct {
	File string // its path
	Name string // of the file, without .yaml

	// Manifests are the objects as written: of a linted file those that are
	// reviewed, of a request all.
	Manifests []manifest.Manifest

	// Objects are the objects in the cluster: of a linted file its own and
	// those beside it, of a request those before it.
	Objects []cluster.Object

	// Steps are the reviews: of each manifest as it is created, or of the
	// request.
	Steps []Step

	// Want describes the expected findings of a linted file in words.
	Want string

	// Expect are the expected results of a request: "deny claim-in-use" and
	// words of the message, "warn volume-" and the beginning of a name, "not
	// statefulset-scale-up", "allow", or "patch /spec/FIELD VALUE" of what
	// mutators set.
	Expect []string
}

// LoadFields reads all files of a directory except those that others name by "#
// beside FILE": these are the cluster of the file that names them. Files whose
// names begin with _ are the cluster of every linted file.
func LoadFields(dir string) (all []*Field, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var common []cluster.Object
	besides := map[string]bool{}
	for _, file := range files {
		f, err := readField(file)
		if err != nil {
			return nil, err
		}
		for _, name := range f.besides() {
			besides[name] = true
		}
		if strings.HasPrefix(f.Name, "_") {
			for _, m := range f.Manifests {
				common = append(common, m.Object)
			}
			continue
		}
		all = append(all, f)
	}
	all = slices.DeleteFunc(all, func(f *Field) bool { return besides[f.Name+".yaml"] })
	for _, f := range all {
		if f.Linted() {
			f.Objects = slices.Concat(common, f.Objects)
		}
		for _, name := range f.besides() {
			beside, err := readField(filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			for i, m := range beside.Manifests {
				f.Objects = slices.Insert(f.Objects, i, m.Object)
				if err := f.exists(m.Object); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// Linted says whether the file is linted, and not a request.
func (f *Field) Linted() bool { return len(f.Expect) == 0 }

// Snapshot returns the objects as a cluster: complete, or as lint knows it.
func (f *Field) Snapshot(complete bool) (*cluster.Snapshot, error) {
	s := &cluster.Snapshot{Complete: complete}
	if err := s.Add(f.Objects...); err != nil || !f.Linted() {
		return s, err
	}
	for _, m := range f.Manifests {
		if err := m.AddTo(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// besides returns the names of the files that are the cluster of this one.
func (f *Field) besides() (names []string) {
	for _, m := range f.Manifests {
		if name, ok := m.Directive("beside"); ok {
			names = append(names, name)
		}
	}
	return names
}

// exists makes the review of a linted object that the cluster has already that
// of an update, as its apply would be.
func (f *Field) exists(live cluster.Object) (err error) {
	for i := range f.Steps {
		s := &f.Steps[i]
		if !f.Linted() || reflect.TypeOf(s.Obj) != reflect.TypeOf(live) ||
			cluster.KeyOf(s.Obj) != cluster.KeyOf(live) {
			continue
		}
		s.Old = manifest.Defaulted(live)
		if s.Obj, err = s.Over(live); err != nil {
			return err
		}
		s.Obj = manifest.Defaulted(s.Obj)
	}
	return nil
}

func readField(file string) (*Field, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f := &Field{File: file, Name: strings.TrimSuffix(filepath.Base(file), ".yaml")}
	if f.Manifests, _, err = manifest.ParseManifests(file, data); err != nil {
		return nil, err
	}
	if len(f.Manifests) == 0 {
		return nil, fmt.Errorf("%s: no manifest", file)
	}
	for _, m := range f.Manifests {
		for _, d := range m.Directives {
			if expect, ok := strings.CutPrefix(d, "expect "); ok {
				f.Expect = append(f.Expect, expect)
			}
			if want, ok := strings.CutPrefix(d, "want: "); ok {
				f.Want = want
			}
		}
	}
	if f.Linted() {
		for _, m := range f.Manifests {
			f.Objects = append(f.Objects, m.Object)
			f.Steps = append(f.Steps, Step{Manifest: m, Obj: m.Object})
		}
		return f, nil
	}
	return f, f.request()
}

// request makes one step from the parts.
func (f *Field) request() error {
	var s Step
	for _, m := range f.Manifests {
		if user, ok := m.Directive("user"); ok {
			s.Request.User.Username = user
		}
		_, there := m.Directive("cluster")
		_, old := m.Directive("old")
		_, obj := m.Directive("object")
		switch {
		case old:
			s.Old = m.Object
			f.Objects = append(f.Objects, m.Object)
		case obj:
			s.Obj = m.Object
		case there:
			f.Objects = append(f.Objects, m.Object)
		}
		if old || obj {
			s.Manifest = m
		}
	}
	if s.Old == nil && s.Obj == nil {
		return fmt.Errorf("%s: expects something of no request", f.File)
	}
	f.Steps = []Step{s}
	return nil
}
