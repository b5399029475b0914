package manifest

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/yaml"

	"stayput.dev/cluster"
	"stayput.dev/internal/pattern"
	"stayput.dev/internal/quantity"
)

// A Stream is the content of a file.
type Stream struct {
	Manifests []Manifest

	// Others counts the objects of kinds that Kubernetes does not have, by
	// kind.group. They are left out.
	Others map[string]int

	// Custom are those of them that are custom resources, with an object that is
	// a [metav1.PartialObjectMetadata] and has no more than a name and annotations.
	Custom []Manifest

	// Foreign are the documents without an apiVersion or a kind that have no
	// metadata and no spec either, such as a values.yaml, which is no mistake
	// in a directory. They are left out.
	Foreign []*StreamError

	// Errors are the documents that cannot be read, and the parts that kubectl
	// would refuse or leave out. The rest of the Stream is valid.
	Errors []*StreamError
}

// ReadStream reads a stream of YAML or JSON documents, Lists unrolled.
// Namespaced objects without a namespace are in the namespace "default", as
// for kubectl.
func ReadStream(file string, data []byte) Stream {
	s := Stream{Others: map[string]int{}}
	docs, refused, err := split(data)
	if err != nil {
		s.Errors = append(s.Errors, &StreamError{File: file, Err: err})
		return s
	}
	for _, doc := range docs {
		if doc.empty() {
			continue
		}
		if err := s.read(file, doc); err != nil {
			s.Errors = append(s.Errors, err)
			if errors.Is(err, ErrTemplate) {
				return s // the rest is not YAML either
			}
		}
		if doc.left > 0 {
			s.Errors = append(s.Errors, &StreamError{file, doc.left, ErrLeftOut})
		}
	}
	for _, r := range refused {
		s.Errors = append(s.Errors, &StreamError{file, r.line, errors.New(r.why)})
	}
	slices.SortStableFunc(s.Errors, func(a, b *StreamError) int { return a.Line - b.Line })
	return s
}

// ErrLeftOut is the error of text behind the end of a document.
var ErrLeftOut = errors.New("kubectl applies nothing of what stands here, behind the end of a document, and says " +
	"nothing; " +
	"fix: put --- on the line before")

// ParseManifests reads a stream in which every document must be an object.
// Skipped counts the objects of kinds that Kubernetes does not have, which are
// left out. Errors name the file and the line.
func ParseManifests(file string, data []byte) (manifests []Manifest, skipped int, err error) {
	s := ReadStream(file, data)
	for _, bad := range append(s.Errors, s.Foreign...) {
		return nil, 0, bad
	}
	for _, n := range s.Others {
		skipped += n
	}
	return s.Manifests, skipped, nil
}

// A header holds the fields that identify an object.
type header struct {
	APIVersion string               `json:"apiVersion"`
	Kind       string               `json:"kind"`
	Items      []stdjson.RawMessage `json:"items"`
	Metadata   stdjson.RawMessage   `json:"metadata"`
	Spec       stdjson.RawMessage   `json:"spec"`
}

// meant says whether a document was probably meant to be an object.
func (h header) meant() bool { return len(h.Metadata) > 0 || len(h.Spec) > 0 }

// nameless says whether the name is still to be filled in by a template.
func (h header) nameless() bool {
	var meta struct {
		Name string `json:"name"`
	}
	return stdjson.Unmarshal(h.Metadata, &meta) == nil && strings.Contains(meta.Name, "{{")
}

// read reads one document.
func (s *Stream) read(file string, doc *document) *StreamError {
	data, repeats := doc.text, false
	if !doc.json {
		var err error
		data, err = toJSON(doc.text)
		if err != nil { // perhaps only a repeated key
			if data, err = yaml.YAMLToJSON(doc.text); err != nil {
				return doc.fault(file, err)
			}
			repeats = true
		}
	}
	if !repeats && s.readFast(file, doc, data) {
		return nil
	}
	var h header
	if err := stdjson.Unmarshal(data, &h); err != nil {
		if doc.templated() {
			return doc.fault(file, err)
		}
		if at := (*stdjson.UnmarshalTypeError)(nil); errors.As(err, &at) && at.Field != "" {
			return s.misfit(file, Manifest{doc: doc, item: -1}, err)
		}
		return s.foreign(file, Manifest{doc: doc, item: -1}, false, "a mapping with apiVersion and kind is expected")
	}
	if h.nameless() {
		return doc.fault(file, ErrTemplate)
	}
	if !strings.HasSuffix(h.Kind, "List") || h.Items == nil {
		return s.object(file, doc, -1, data, h, repeats)
	}
	for i, item := range h.Items {
		var ih header
		if err := stdjson.Unmarshal(item, &ih); err != nil {
			return &StreamError{file, doc.line, fmt.Errorf("items[%d]: %w", i, err)}
		}
		if ih.Kind == "" && ih.APIVersion == "" && h.Kind != "List" { // a StatefulSetList need not repeat itself
			ih.Kind, ih.APIVersion = strings.TrimSuffix(h.Kind, "List"), h.APIVersion
			item = append([]byte(fmt.Sprintf(`{"kind":%q,"apiVersion":%q,`, ih.Kind, ih.APIVersion)), item[1:]...)
		}
		if err := s.object(file, doc, i, item, ih, repeats); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) templated() bool { return strings.Contains(string(d.text), "{{") }

// object decodes one object, or counts it as left out.
// Repeats says that a key is written twice somewhere in the document.
func (s *Stream) object(file string, doc *document, item int, data []byte, h header, repeats bool) *StreamError {
	m := Manifest{File: file, doc: doc, item: item}
	if repeats {
		m.Unknown = m.repeated()
	}
	switch {
	case h.APIVersion == "":
		return s.foreign(file, m, h.meant(), "it has no apiVersion")
	case h.Kind == "":
		return s.foreign(file, m, h.meant(), "it has no kind")
	}
	if like, err := cluster.Scheme().New(schema.FromAPIVersionAndKind(h.APIVersion, h.Kind)); err == nil {
		heavy := (*quantity.Error)(nil)
		if errors.As(quantity.Check(data, like), &heavy) {
			return &StreamError{file, m.Line(heavy.Field), heavy}
		}
	}
	obj, gvk, err := strict().Decode(data, nil, nil)
	if strictErr, ok := runtime.AsStrictDecodingError(err); ok {
		m.Unknown, err = append(m.Unknown, m.unknown(strictErr.Errors())...), nil
	}
	if runtime.IsNotRegisteredError(err) {
		was := schema.FromAPIVersionAndKind(h.APIVersion, h.Kind)
		r, known := retiredOf(was)
		if !known {
			s.other(h)
			s.Custom = append(s.Custom, m.custom(h))
			return nil
		}
		m.Outdated, gvk = &Outdated{Retired: r}, &r.Instead
		obj, err = autoscaler(data, r)
	}
	if err != nil {
		if doc.templated() {
			return doc.fault(file, err)
		}
		return s.misfit(file, m, err)
	}
	o, ok := obj.(cluster.Object)
	if !ok {
		s.other(h)
		return nil
	}
	o.GetObjectKind().SetGroupVersionKind(*gvk) // the decoder takes "kinD: Pod", and does not set it
	if m.Outdated == nil {
		if o, m.Outdated, err = outdated(o, *gvk); err != nil {
			return &StreamError{file, m.Line(""), err}
		}
		*gvk = o.GetObjectKind().GroupVersionKind()
	}
	s.add(m, o, gvk.GroupKind())
	return nil
}

// add adds an object that is decoded.
func (s *Stream) add(m Manifest, o cluster.Object, kind schema.GroupKind) {
	if was, ok := o.(*autoscalingv1.HorizontalPodAutoscaler); ok {
		o = renewed(was)
	}
	if o.GetNamespace() == "" && cluster.Namespaced(kind) {
		o.SetNamespace(cluster.DefaultNamespace)
		m.Unplaced = true
	}
	m.Object, m.Directives = o, m.doc.comments()
	if m.item >= 0 {
		m.Directives = m.itemComments()
	}
	s.Manifests = append(s.Manifests, m)
}

// misfit names the field that has a value of a wrong type: ... cannot unmarshal
// string into Go struct field StatefulSetSpec.spec.replicas of type int32.
func (s *Stream) misfit(file string, m Manifest, err error) *StreamError {
	found := misfit().FindStringSubmatch(err.Error())
	if found == nil {
		return &StreamError{file, m.Line(""), errors.New(strings.TrimPrefix(err.Error(), "json: "))}
	}
	got, path, want := found[1], found[2], found[3]
	return &StreamError{file, m.Line(path), fmt.Errorf("%s: must be %s, and is a %s", path, want, got)}
}

var misfit = pattern.Lazy(`cannot unmarshal (\S+)(?: \S+)? into Go struct field [^.\s]+\.(\S+) of type (\S+)`)

// foreign leaves out a document that is no object, unless it was meant to be.
func (s *Stream) foreign(file string, m Manifest, meant bool, why string) *StreamError {
	err := &StreamError{file, m.Line(""), fmt.Errorf("%w: %s", ErrNoObject, why)}
	if meant {
		return err
	}
	s.Foreign = append(s.Foreign, err)
	return nil
}

func (s *Stream) other(h header) {
	gv, err := schema.ParseGroupVersion(h.APIVersion)
	if err != nil {
		gv.Group = h.APIVersion
	}
	s.Others[strings.TrimSuffix(h.Kind+"."+gv.Group, ".")]++
}

// custom returns the manifest of a custom resource. Its metadata are read as far as
// they are what the API server takes.
func (m Manifest) custom(h header) Manifest {
	var meta struct {
		Name, Namespace string
		Annotations     map[string]string
	}
	_ = stdjson.Unmarshal(h.Metadata, &meta)
	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(schema.FromAPIVersionAndKind(h.APIVersion, h.Kind))
	obj.Name, obj.Namespace, obj.Annotations = meta.Name, meta.Namespace, meta.Annotations
	m.Object = obj
	return m
}

// itemComments returns the comments above an item of a List.
func (m Manifest) itemComments() (lines []string) {
	node := m.root()
	if node == nil {
		return nil
	}
	for line := range strings.Lines(node.HeadComment + "\n" + first(node).HeadComment) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok {
			lines = append(lines, text)
		}
	}
	return lines
}

func strict() runtime.Decoder {
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, cluster.Scheme(), cluster.Scheme(),
		json.SerializerOptions{Strict: true})
}
