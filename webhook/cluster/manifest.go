package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A Manifest is one object as written in a file.
type Manifest struct {
	client.Object

	// File is the name of the file, as given to [ParseManifests].
	File string

	// Directives are the comments above the object, without "# ". In the
	// testdata of the rules, "delete" means the deletion of the object, and
	// "as USER" who asks.
	Directives []string

	// Unknown are the fields that its type does not have: the API server would
	// drop them, and kubectl refuses them.
	Unknown []error

	node *yaml.Node
}

// ParseManifests reads a stream of YAML or JSON documents, Lists unrolled.
// Namespaced objects without a namespace are in the namespace "default", as
// for kubectl. The second result counts the objects of kinds that Kubernetes
// does not have, which are left out. Errors name the file and the line.
func ParseManifests(file string, data []byte) (manifests []Manifest, skipped int, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return manifests, skipped, nil
		case err != nil:
			return nil, 0, fmt.Errorf("%s: %w", file, err)
		}
		root := doc.Content[0]
		if root.Tag == "!!null" {
			continue // nothing but comments
		}
		objects := []*yaml.Node{root}
		if _, kind := child(root, "kind"); kind != nil && strings.HasSuffix(kind.Value, "List") {
			if _, items := child(root, "items"); items != nil {
				objects = items.Content
			}
		}
		for _, node := range objects {
			m, err := parseObject(node)
			if runtime.IsNotRegisteredError(err) {
				skipped++
				continue
			}
			if err != nil {
				return nil, 0, fmt.Errorf("%s:%d: %w", file, node.Line, err)
			}
			m.File, m.Directives = file, directives(&doc, node)
			manifests = append(manifests, m)
		}
	}
}

func parseObject(node *yaml.Node) (Manifest, error) {
	if node.Kind != yaml.MappingNode {
		return Manifest{}, errors.New("not a Kubernetes object: a mapping with apiVersion and kind is expected")
	}
	for _, field := range []string{"apiVersion", "kind"} {
		if _, value := child(node, field); value == nil || value.Value == "" {
			return Manifest{}, fmt.Errorf("not a Kubernetes object: it has no %s", field)
		}
	}
	data, err := yaml.Marshal(node)
	if err != nil {
		return Manifest{}, err
	}
	var unknown []error
	obj, gvk, err := strict().Decode(data, nil, nil)
	if strictErr, ok := runtime.AsStrictDecodingError(err); ok {
		unknown, err = strictErr.Errors(), nil
	}
	if err != nil {
		return Manifest{}, err
	}
	o, ok := obj.(client.Object)
	if !ok {
		return Manifest{}, runtime.NewNotRegisteredErrForKind("manifest", *gvk)
	}
	if o.GetNamespace() == "" && Namespaced(gvk.GroupKind()) {
		o.SetNamespace("default")
	}
	return Manifest{Object: o, Unknown: unknown, node: node}, nil
}

func strict() runtime.Decoder {
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme,
		json.SerializerOptions{Yaml: true, Strict: true})
}

// Namespaced says whether objects of a kind live in a namespace, for the kinds
// that some convention is about.
func Namespaced(kind schema.GroupKind) bool {
	switch kind.Group + "/" + kind.Kind {
	case "/Namespace", "/Node", "/PersistentVolume", "storage.k8s.io/StorageClass", "storage.k8s.io/CSIDriver",
		"rbac.authorization.k8s.io/ClusterRole", "rbac.authorization.k8s.io/ClusterRoleBinding",
		"scheduling.k8s.io/PriorityClass", "node.k8s.io/RuntimeClass":
		return false
	}
	return !strings.HasPrefix(kind.Group, "admissionregistration.") && !strings.HasPrefix(kind.Group, "apiextensions.")
}

func directives(doc, object *yaml.Node) (lines []string) {
	comments := doc.HeadComment + "\n" + object.HeadComment
	if len(object.Content) > 0 {
		comments += "\n" + object.Content[0].HeadComment
	}
	for line := range strings.Lines(comments) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok {
			lines = append(lines, text)
		}
	}
	return lines
}

// Directive returns what stands behind a word in the comments above the
// object: "as alice" is alice for "as".
func (m Manifest) Directive(word string) (rest string, ok bool) {
	for _, d := range m.Directives {
		if first, rest, _ := strings.Cut(d, " "); first == word {
			return rest, true
		}
	}
	return "", false
}

// Line returns the line of the field at path, or of its nearest ancestor that
// is written down. Lines count from 1.
func (m Manifest) Line(path string) int {
	line, node := m.node.Line, m.node
	for _, elem := range SplitPath(path) {
		key, value := child(node, elem)
		if value == nil {
			break
		}
		line, node = key.Line, value
	}
	return line
}

// SplitPath splits the text of a field.Path: a.b[0].c[x.y/z] is a, b, 0, c,
// x.y/z.
func SplitPath(path string) (elems []string) {
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return append(elems, path[1:])
			}
			elems, path = append(elems, path[1:end]), path[end+1:]
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			elems, path = append(elems, path[:end]), path[end:]
		}
	}
	return elems
}

func child(node *yaml.Node, elem string) (key, value *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == elem {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(elem); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
	}
	return nil, nil
}
