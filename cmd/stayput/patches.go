//go:build !light

package main

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"

	"stayput.dev/manifest"
)

// A writtenPatch is a patch that is no object in a file of its own: one that stands in a
// kustomization, a JSON 6902 patch, or one that has a target.
type writtenPatch struct {
	file   string
	lines  []string   // of the file
	target *yaml.Node // nil: the object that the patch names
	node   *yaml.Node // a sequence of operations, or an object
	line   func(n *yaml.Node) int
}

// patchesOf returns the patches that the kustomizations which a build read list, those of
// one in the order in which it applies them.
func (r *tracer) patchesOf() (all []writtenPatch) {
	for _, path := range slices.Sorted(maps.Keys(r.read)) {
		if !slices.Contains(konfig.RecognizedKustomizationFileNames(), filepath.Base(path)) {
			continue
		}
		root := parsedYAML(r.read[path])
		if root == nil {
			continue
		}
		for _, list := range []string{"patchesStrategicMerge", "patches", "patchesJson6902"} {
			for _, entry := range itemsOf(valueOf(root, list)) {
				text, file, target := entry, entry, (*yaml.Node)(nil)
				if entry.Kind == yaml.MappingNode {
					text, file, target = valueOf(entry, "patch"), valueOf(entry, "path"), valueOf(entry, "target")
				}
				if file != nil {
					beside := filepath.Join(filepath.Dir(path), file.Value)
					if data, read := r.read[beside]; read {
						p := writtenPatch{file: r.shown(beside), lines: strings.Split(string(data), "\n"), target: target,
							node: parsedYAML(data), line: func(n *yaml.Node) int { return n.Line }}
						if p.node != nil && (p.node.Kind == yaml.SequenceNode || target != nil) {
							all = append(all, p)
						}
						continue
					}
				}
				if text != nil {
					all = append(all, r.inline(path, text, target))
				}
			}
		}
	}
	return all
}

// inline returns the patch that stands in a kustomization as a text. Where the lines of
// the text are lines of the file each has its own, or else all have the one on which
// it begins.
func (r *tracer) inline(path string, text, target *yaml.Node) writtenPatch {
	lines, own := strings.Split(string(r.read[path]), "\n"), strings.Split(text.Value, "\n")
	return writtenPatch{file: r.shown(path), lines: lines, target: target, node: parsedYAML([]byte(text.Value)),
		line: func(n *yaml.Node) int {
			at := text.Line + n.Line
			if text.Style&yaml.LiteralStyle != 0 && at <= len(lines) && n.Line <= len(own) &&
				strings.TrimSpace(lines[at-1]) == strings.TrimSpace(own[n.Line-1]) {
				return at
			}
			return text.Line
		}}
}

// concerns says whether a patch is to an object that its author gave a kind and a name.
func (p *writtenPatch) concerns(m *manifest.Manifest, name string) bool {
	gvk := m.GetObjectKind().GroupVersionKind()
	if p.target == nil {
		if p.node == nil || p.node.Kind != yaml.MappingNode {
			return false
		}
		return textOf(p.node, "kind") == gvk.Kind && textOf(valueOf(p.node, "metadata"), "name") == name
	}
	var target types.Selector
	if p.target.Decode(&target) != nil || target.LabelSelector != "" || target.AnnotationSelector != "" {
		return false // which objects these were is not known any more
	}
	for _, must := range []struct {
		pattern string
		is      []string
	}{{target.Group, []string{gvk.Group}}, {target.Version, []string{gvk.Version}}, {target.Kind, []string{gvk.Kind}},
		{target.Name, []string{name, m.GetName()}}} {
		if must.pattern == "" {
			continue
		}
		re, err := regexp.Compile("^(?:" + must.pattern + ")$")
		if err != nil || !slices.ContainsFunc(must.is, re.MatchString) {
			return false
		}
	}
	return true
}

// edits returns what a patch wrote into a built object, as far as that is still there.
func (p *writtenPatch) edits(m *manifest.Manifest) (all []manifest.Edit) {
	add := func(path []string, at, value *yaml.Node) {
		now := m.At(joined(path))
		if value != nil && value.Kind == yaml.ScalarNode && (now == nil || now.Value != value.Value) {
			return // somebody has written another one since
		}
		if value == nil && now != nil {
			return // taken out, and put in again
		}
		line := p.line(at)
		e := manifest.Edit{Path: path, File: p.file, Line: line}
		if line >= 1 && line <= len(p.lines) {
			e.Source = strings.TrimRight(p.lines[line-1], "\r")
		}
		all = append(all, e)
	}
	if p.node == nil {
		return nil
	}
	if p.node.Kind == yaml.MappingNode {
		merged(m, nil, p.node, add)
		return all
	}
	appended := map[string]int{} // to lists, counted from their ends
	for _, op := range slices.Backward(p.node.Content) {
		at, value := valueOf(op, "path"), valueOf(op, "value")
		if at == nil || !slices.Contains([]string{"add", "replace", "remove"}, textOf(op, "op")) {
			continue
		}
		path := strings.Split(strings.TrimPrefix(at.Value, "/"), "/")
		for i := range path {
			path[i] = unescape.Replace(path[i])
		}
		if last := len(path) - 1; path[last] == "-" {
			list := joined(path[:last])
			appended[list]++
			now := m.At(list)
			if now == nil || now.Kind != yaml.SequenceNode || len(now.Content) < appended[list] {
				continue
			}
			path[last] = strconv.Itoa(len(now.Content) - appended[list])
		}
		add(path, at, value)
	}
	slices.Reverse(all)
	return all
}

// unescape reads an element of a JSON pointer (RFC 6901).
var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// merged calls add with each scalar of a strategic merge patch and its path in the built
// object, where the items of lists are found by their names.
func merged(m *manifest.Manifest, path []string, node *yaml.Node, add func(path []string, at, value *yaml.Node)) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			if at := append(slices.Clone(path), key.Value); value.Kind == yaml.ScalarNode {
				add(at, key, value)
			} else {
				merged(m, at, value, add)
			}
		}
	case yaml.SequenceNode:
		now := itemsOf(m.At(joined(path)))
		for i, item := range node.Content {
			if name := textOf(item, "name"); name != "" {
				i = slices.IndexFunc(now, func(n *yaml.Node) bool { return textOf(n, "name") == name })
			}
			if at := append(slices.Clone(path), strconv.Itoa(i)); item.Kind == yaml.ScalarNode {
				add(at, item, item)
			} else if i >= 0 {
				merged(m, at, item, add)
			}
		}
	}
}

// joined writes a path as cluster.SplitPath reads it.
func joined(path []string) string {
	return "[" + strings.Join(path, "][") + "]"
}

func parsedYAML(data []byte) *yaml.Node {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

func valueOf(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func textOf(node *yaml.Node, key string) string {
	if value := valueOf(node, key); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

func itemsOf(node *yaml.Node) []*yaml.Node {
	if node == nil || node.Kind != yaml.SequenceNode {
		return nil
	}
	return node.Content
}
