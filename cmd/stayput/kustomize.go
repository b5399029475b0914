//go:build !light

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// kustomize builds a kustomization with kubectl's library. Each manifest
// records what its author wrote, and in which file. Instead has what some files
// are to hold, by their names as they are shown.
func kustomize(dir string, instead map[string][]byte) (manifest.Stream, error) {
	all := manifest.Stream{Others: map[string]int{}}
	fs := &tracer{FileSystem: filesys.MakeFsOnDisk(), dir: dir, read: map[string][]byte{}, instead: instead}
	if root, file, err := fs.CleanedAbs(dir); err == nil && file == "" {
		fs.root = root.String()
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	if err != nil {
		return all, fmt.Errorf("kustomize build: %s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	origins := make([]*resource.Origin, built.Size())
	for i, res := range built.Resources() {
		if origins[i], err = res.GetOrigin(); err != nil {
			return all, fmt.Errorf("kustomize build: %w", err)
		}
	}
	if !fs.asked {
		if err := built.RemoveOriginAnnotations(); err != nil {
			return all, fmt.Errorf("kustomize build: %w", err)
		}
	}
	authors := fs.authors(origins)
	all.Errors = authors.cut
	for i, res := range built.Resources() {
		text, err := res.AsYAML()
		if err != nil {
			return all, fmt.Errorf("kustomize build: %w", err)
		}
		file := authors.file(origins[i])
		one := manifest.ReadStream(file, text)
		for j := range one.Manifests {
			m := &one.Manifests[j]
			m.Built, m.Directives = true, nil
			authors.find(m, file)
			m.Remarks = append(m.Remarks, datesOf(m)...)
		}
		for j := range one.Custom {
			one.Custom[j].Built = true
			authors.find(&one.Custom[j], file)
		}
		for _, bad := range one.Errors {
			bad.Line = 0 // a line of intermediate text, which is in no file
		}
		all.Manifests, all.Custom = append(all.Manifests, one.Manifests...), append(all.Custom, one.Custom...)
		all.Foreign, all.Errors = append(all.Foreign, one.Foreign...), append(all.Errors, one.Errors...)
		for kind, n := range one.Others {
			all.Others[kind] += n
		}
	}
	noteKept(all.Manifests)
	return all, nil
}

// A tracer is a file system that keeps what is read of it, and has the
// kustomization in its root say where objects come from.
type tracer struct {
	filesys.FileSystem
	dir, root string // as given, and absolute
	asked     bool   // the author wants to have that in the objects
	read      map[string][]byte
	instead   map[string][]byte
}

// ReadFile implements [filesys.FileSystem].
func (r *tracer) ReadFile(path string) ([]byte, error) {
	data, err := r.FileSystem.ReadFile(path)
	if err != nil {
		return data, err
	}
	if edited, ok := r.instead[r.shown(path)]; ok {
		data = edited
	}
	r.read[path] = data
	if filepath.Dir(path) == r.root && slices.Contains(konfig.RecognizedKustomizationFileNames(), filepath.Base(path)) {
		var traced []byte
		if traced, r.asked = withOrigins(data); traced != nil {
			return traced, nil
		}
	}
	return data, nil
}

// shown returns a path relative to the directory as the user gave it.
func (r *tracer) shown(path string) string {
	if rel, err := filepath.Rel(r.root, path); err == nil {
		return filepath.Join(r.dir, rel)
	}
	return path
}

// withOrigins returns a kustomization that writes the origin of each object into
// it, or nil where it is no mapping or asks for that by itself.
func withOrigins(kustomization []byte) (traced []byte, asked bool) {
	var doc yaml.Node
	if yaml.Unmarshal(kustomization, &doc) != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, false
	}
	wanted := &yaml.Node{Kind: yaml.ScalarNode, Value: types.OriginAnnotations}
	root := doc.Content[0]
	if list := valueOf(root, "buildMetadata"); list != nil {
		if slices.ContainsFunc(list.Content, func(n *yaml.Node) bool { return n.Value == types.OriginAnnotations }) {
			return nil, true
		}
		list.Content = append(list.Content, wanted)
		traced, _ = yaml.Marshal(&doc) // nil: as it was
		return traced, false
	}
	root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "buildMetadata"},
		&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{wanted}})
	traced, _ = yaml.Marshal(&doc)
	return traced, false
}

// authors are the contents of the files that a build read.
type authors struct {
	*tracer
	objects map[string][]manifest.Manifest // by file, as shown
	patches []manifest.Manifest
	listed  []writtenPatch
	cut     []*manifest.StreamError
}

func (r *tracer) authors(origins []*resource.Origin) *authors {
	a := &authors{tracer: r, objects: map[string][]manifest.Manifest{}, listed: r.patchesOf()}
	resources := map[string]bool{}
	for _, o := range origins {
		if o != nil && o.Repo == "" && o.Path != "" {
			resources[filepath.Join(r.root, o.Path)] = true
		}
	}
	for _, path := range slices.Sorted(maps.Keys(r.read)) {
		if slices.Contains(konfig.RecognizedKustomizationFileNames(), filepath.Base(path)) {
			continue
		}
		file := r.shown(path)
		stream := manifest.ReadStream(file, r.read[path])
		objects := slices.Concat(stream.Manifests, stream.Custom)
		if !resources[path] {
			a.patches = append(a.patches, objects...)
			continue
		}
		a.objects[file] = objects
		if line := secondJSON(r.read[path]); line > 0 {
			a.cut = append(a.cut, &manifest.StreamError{File: file, Line: line,
				Err: errors.New("kustomize builds the first object of a JSON stream and drops the others, which kubectl would " +
					"apply; fix: a file for each, or YAML")})
		}
	}
	return a
}

// file returns the file that an object has its origin in.
func (a *authors) file(o *resource.Origin) string {
	switch {
	case o == nil:
	case o.Repo != "":
		return o.Repo + "/" + o.Path
	case o.Path != "":
		return a.shown(filepath.Join(a.root, o.Path))
	case o.ConfiguredIn != "":
		return a.shown(filepath.Join(a.root, o.ConfiguredIn))
	}
	return a.dir
}

// find finds the source of a built manifest: among the objects of its kind in
// its file, the one with the name that is the largest part of its name; and the
// patches to that.
func (a *authors) find(m *manifest.Manifest, file string) {
	var found *manifest.Manifest
	kind := m.GetObjectKind().GroupVersionKind()
	for i := range a.objects[file] {
		w := &a.objects[file][i]
		if w.GetObjectKind().GroupVersionKind() == kind && strings.Contains(m.GetName(), w.GetName()) &&
			(found == nil || len(w.GetName()) > len(found.GetName())) {
			found = w
		}
	}
	if found == nil {
		return
	}
	m.Written = []manifest.Manifest{*found}
	for _, patch := range a.patches {
		if patch.GetObjectKind().GroupVersionKind() == kind && patch.GetName() == found.GetName() {
			m.Written = append(m.Written, patch)
		}
	}
	for i := range a.listed {
		if a.listed[i].concerns(m, found.GetName()) {
			m.Edits = append(m.Edits, a.listed[i].edits(m)...)
		}
	}
}

// secondJSON returns the line of the second value of a JSON stream, or 0.
func secondJSON(data []byte) int {
	if trimmed := bytes.TrimSpace(data); len(trimmed) == 0 || trimmed[0] != '{' {
		return 0
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	var first, second json.RawMessage
	if dec.Decode(&first) != nil || errors.Is(dec.Decode(&second), io.EOF) || len(second) == 0 {
		return 0
	}
	return 1 + bytes.Count(data[:int(dec.InputOffset())-len(second)], []byte("\n"))
}

// datesOf returns the dates that were texts when they were written.
func datesOf(m *manifest.Manifest) (found []manifest.Remark) {
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := n.Content[i].Value
				if strings.ContainsAny(key, "./") {
					key = "[" + key + "]"
				} else if path != "" {
					key = "." + key
				}
				walk(n.Content[i+1], path+key)
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				walk(item, fmt.Sprintf("%s[%d]", path, i))
			}
		case yaml.ScalarNode:
			if n.Tag != "!!timestamp" || n.Style != 0 {
				return
			}
			if now := m.At(path); now != nil && now.Value != n.Value && strings.HasPrefix(now.Value, n.Value) {
				found = append(found, manifest.Remark{Name: madeTime, Field: path,
					Text: fmt.Sprintf("%s: Invalid value: %q: must be quoted; kustomize makes %q of it, and kubectl does not", path,
						n.Value, now.Value), Remedy: fmt.Sprintf("%q, in quotes", n.Value)})
			}
		}
	}
	for _, w := range m.Written {
		if root := w.At(""); root != nil {
			walk(root, "")
		}
	}
	return found
}

// noteKept adds a remark for each reference in a built object that has the old
// name of a renamed object.
func noteKept(built []manifest.Manifest) {
	type key struct{ kind, namespace, name string }
	keyOf := func(m *manifest.Manifest) key {
		kind := m.GetObjectKind().GroupVersionKind()
		if !cluster.Namespaced(kind.GroupKind()) { // kustomize may have given it a namespace
			return key{kind.Kind, "", m.GetName()}
		}
		return key{kind.Kind, m.GetNamespace(), m.GetName()}
	}
	there, were := map[key]bool{}, map[key][]*manifest.Manifest{}
	for i := range built {
		m := &built[i]
		there[keyOf(m)] = true
		if len(m.Written) > 0 {
			if was := keyOf(&m.Written[0]); was != keyOf(m) {
				were[was] = append(were[was], m)
			}
		}
	}
	for i := range built {
		m := &built[i]
		for _, ref := range referencesOf(m.Object) {
			at := ref.namespace
			if !ref.placed {
				at = m.GetNamespace()
			}
			if ref.global {
				at = ""
			}
			if ref.name == "" || there[key{ref.kind, at, ref.name}] {
				continue
			}
			before := at
			if !ref.placed && !ref.global && len(m.Written) > 0 {
				before = m.Written[0].GetNamespace()
			}
			meant := were[key{ref.kind, before, ref.name}]
			if len(meant) == 0 {
				continue
			}
			var names []string
			for _, o := range meant {
				names = append(names, o.GetName())
			}
			specs := fmt.Sprintf("{kind: %s, path: %s}", m.GetObjectKind().GroupVersionKind().Kind, ref.spec)
			m.Remarks = append(m.Remarks, manifest.Remark{Name: keptReference, Field: ref.path,
				Text: fmt.Sprintf("%s: Not found: %q: must name the %s that is called %s in this build; kustomize renamed it and "+
					"not this reference, so %s",
					ref.path, ref.name, ref.kind, cluster.Few(names), ref.cost),
				Remedy: fmt.Sprintf("configurations: [names.yaml] in the kustomization, and in names.yaml nameReference: [{kind: "+
					"%s, fieldSpecs: [%s]}]", ref.kind, specs)})
		}
	}
}

// isKustomization says whether a directory is one.
func isKustomization(dir string) bool {
	return slices.ContainsFunc(konfig.RecognizedKustomizationFileNames(), func(name string) bool {
		return isFile(filepath.Join(dir, name))
	})
}
