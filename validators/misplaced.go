package validators

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// Misplaced returns a finding of stayput-annotation, never above a warning, for each of
// Stayput's keys that stands where that rule does not look, or that does nothing
// there, in an object as JSON decodes it. Foreign says that it is a custom resource,
// which no rule is about.
func Misplaced(kind schema.GroupVersionKind, foreign bool, object map[string]any) []Finding {
	m := misplaced{kind: kind, name: kind.Kind, foreign: foreign}
	if foreign { // it may be called like a kind of Kubernetes
		m.name = kind.GroupKind().String()
	}
	if !foreign {
		m.places = placesIn(kind.Kind, object)
	}
	m.rule = ruleCalled("stayput-annotation")
	m.looks = !foreign && cluster.Known(kind) != nil && m.rule.checks(kind.Kind)
	m.walk(nil, "", object)
	return m.found
}

type misplaced struct {
	rule    *Rule
	kind    schema.GroupVersionKind
	name    string // of the kind, in messages
	foreign bool
	places  []place // none in a custom resource
	looks   bool    // the rule is about this kind
	found   []Finding
}

// placesIn is places for an object as JSON decodes it.
func placesIn(kind string, object map[string]any) (all []place) {
	add := func(kind string, path *field.Path, of any) {
		at, ok := of.(map[string]any)
		if !ok {
			return
		}
		var is metav1.ObjectMeta
		meta, _ := at["metadata"].(map[string]any)
		is.Labels, is.Annotations = textsOf(meta[label+"s"]), textsOf(meta[annotation+"s"])
		all = append(all, place{kind, child(path, "metadata"), &is})
	}
	add(kind, nil, object)
	spec, _ := object["spec"].(map[string]any)
	add(podTemplate, specPath.Child("template"), spec["template"])
	if kind == "StatefulSet" {
		templates, _ := spec["volumeClaimTemplates"].([]any)
		for i, template := range templates {
			add(claimTemplate, templatesPath.Index(i), template)
		}
	}
	if job, ok := spec["jobTemplate"].(map[string]any); ok {
		of, _ := job["spec"].(map[string]any)
		add(podTemplate, specPath.Child("jobTemplate", "spec", "template"), of["template"])
	}
	return all
}

// textsOf returns what of a mapping are texts.
func textsOf(mapping any) map[string]string {
	all := map[string]string{}
	of, _ := mapping.(map[string]any)
	for name, value := range of {
		if text, ok := value.(string); ok {
			all[name] = text
		}
	}
	return all
}

// checks says whether any check of the rule is about a kind.
func (r *Rule) checks(kind string) bool {
	return slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Kind.Kind == kind })
}

// walk looks at the keys of all maps. In is the name of the list or map that a node
// stands in.
func (m *misplaced) walk(path *field.Path, in string, node any) {
	switch node := node.(type) {
	case []any:
		for i, item := range node {
			m.walk(path.Index(i), in, item)
		}
	case map[string]any:
		if slices.Contains(notKeys, in) || m.foreign && aboutOthers(in) {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(node)) {
			if isOwn, near := ownish(name); isOwn || near != "" {
				m.key(path, in, name, node[name], near)
				continue
			}
			m.walk(child(path, name), name, node[name])
		}
	}
}

// notKeys are maps whose keys are those of other objects, or anything.
var notKeys = []string{"matchLabels", "selector", "nodeSelector", "data", "stringData", "binaryData", "parameters"}

func child(path *field.Path, name string) *field.Path {
	switch {
	case path == nil:
		return field.NewPath(name)
	case strings.ContainsAny(name, "./"):
		return path.Key(name)
	}
	return path.Child(name)
}

// ownish says whether a key is one of Stayput's, or else what it is probably meant
// to be, or "".
func ownish(name string) (own bool, near string) {
	if strings.HasPrefix(name, ownPrefix) || strings.HasPrefix(name, cluster.ExemptPrefix) {
		return true, ""
	}
	prefix, rest, ok := strings.Cut(name, "/")
	if !ok || rest == "" {
		return false, ""
	}
	for _, right := range []string{ownPrefix, cluster.ExemptPrefix} {
		if typos(prefix+"/", right, 3) < 3 {
			return false, right + rest
		}
	}
	if strings.HasSuffix(prefix, ".stayput.dev") {
		return false, cluster.ExemptPrefix + rest
	}
	return false, ""
}

// key finds what is wrong with a key in a map at a path.
func (m *misplaced) key(path *field.Path, in, name string, value any, near string) {
	at := child(path, name)
	if m.foreign {
		m.foreignKey(path, at, name, value, near)
		return
	}
	text, isText := value.(string)
	place, sort := m.place(path, in)
	switch {
	case near != "":
		m.misspelt(at, near, value)
		m.fix(m.move(at, near, text, isText))
	case place == "" || !isText:
		m.add(at, "must be a key in labels or annotations; here it does nothing", m.right(name, text))
		m.fix(m.move(at, name, text, isText))
	case strings.HasPrefix(name, cluster.ExemptPrefix):
		m.exemption(path, at, place, sort, strings.TrimPrefix(name, cluster.ExemptPrefix), text)
	case m.looks && !m.hidden(path):
		// The rule itself sees it.
	default:
		if place == claimTemplate && m.hidden(path) {
			place = "PersistentVolumeClaim" // of a generic ephemeral volume
		}
		if wrong, remedy := checkKey(at, place, sort, name, text); wrong != nil {
			m.report(wrong, remedy)
			m.fix(m.move(at, name, text, isText))
		}
	}
}

// move returns the fix that moves a key to its right place, or nil: see [moveOwn]. No
// exemption from a rule that protects data is moved, for that lets through what was
// stopped: its author decides.
func (m *misplaced) move(at *field.Path, name, value string, isText bool) *Fix {
	exempted, ok := strings.CutPrefix(name, cluster.ExemptPrefix)
	switch {
	case !isText, m.foreign:
		return nil
	case !ok:
		return moveOwn(m.places, at, name, value)
	}
	r := ruleCalled(exempted)
	if r == nil || r.Loses == LosesData || strings.TrimSpace(value) == "" ||
		len(r.Checks) > 0 && !r.checks(m.kind.Kind) {
		return nil
	}
	return moveKey(m.places[0], annotation, at, name, value)
}

// fix gives the last finding a fix, from which its remedy is then made, with more
// words behind it.
func (m *misplaced) fix(f *Fix, more ...string) {
	if f != nil {
		last := &m.found[len(m.found)-1]
		last.Fix, last.Remedy = f, Remedy{f.Text() + strings.Join(more, "")}
	}
}

// place says what the metadata of a label or an annotation are of: a kind, a
// template, or "" if they are none.
func (m *misplaced) place(path *field.Path, in string) (place, sort string) {
	if in != label+"s" && in != annotation+"s" {
		return "", ""
	}
	elems := cluster.SplitPath(path.String())
	sort = strings.TrimSuffix(in, "s")
	if len(elems) < 2 || elems[len(elems)-2] != "metadata" {
		return "", ""
	}
	switch of := elems[:len(elems)-2]; {
	case len(of) == 0:
		return m.kind.Kind, sort
	case of[len(of)-1] == "template":
		return podTemplate, sort
	case of[len(of)-1] == "jobTemplate":
		return "Job", sort
	case of[len(of)-1] == "volumeClaimTemplate":
		return claimTemplate, sort
	default:
		if _, err := strconv.Atoi(of[len(of)-1]); err == nil && len(of) > 1 && of[len(of)-2] == "volumeClaimTemplates" {
			return claimTemplate, sort
		}
	}
	return "", ""
}

// hidden says whether metadata at a path are none of those that the rule looks at in
// a kind that it is about.
func (m *misplaced) hidden(path *field.Path) bool {
	elems := cluster.SplitPath(path.String())
	switch {
	case len(elems) == 2:
		return false
	case m.kind.Kind == "StatefulSet" && elems[1] == "volumeClaimTemplates":
		return false
	case m.kind.Kind == "StatefulSet", m.kind.Kind == "Deployment":
		return len(elems) != 4 || elems[1] != "template"
	}
	return true
}

// exemption finds what is wrong with the place of an exemption: at stands in path.
func (m *misplaced) exemption(path, at *field.Path, place, sort, rule, reason string) {
	if wrong, remedy := checkExemption(at, sort, rule, reason, ruleNames()); wrong != nil {
		if !m.looks || m.hidden(path) { // the rule itself says it elsewhere
			m.report(wrong, remedy)
			m.fix(m.move(at, cluster.ExemptPrefix+rule, reason, true))
		}
		return
	}
	r := ruleCalled(rule)
	kind := map[string]string{podTemplate: "Pod", claimTemplate: "PersistentVolumeClaim"}[place]
	inTemplate := kind != ""
	if !inTemplate {
		kind = m.kind.Kind
	}
	switch {
	case kind == "Namespace", len(r.Checks) == 0 && !inTemplate, r.Name == m.rule.Name && !inTemplate, r.checks(kind):
		return // it exempts
	case inTemplate && (len(r.Checks) == 0 || r.checks(m.kind.Kind)):
		m.add(at, fmt.Sprintf("must be an annotation of the %s itself; in a %s it exempts from nothing", m.kind.Kind, place),
			fmt.Sprintf("metadata: {annotations: {%s%s: %s}} of the %s", cluster.ExemptPrefix, rule, flowYAML(reason),
				m.kind.Kind))
		m.fix(m.move(at, cluster.ExemptPrefix+rule, reason, true), " of the "+m.kind.Kind)
	default:
		m.elsewhere(at, r, place, reason, "")
	}
}

// elsewhere reports an exemption that is right on other kinds.
func (m *misplaced) elsewhere(at *field.Path, r *Rule, place, reason, unless string) {
	var kinds []string
	for _, c := range r.Checks {
		if !slices.Contains(kinds, c.Kind.Kind) {
			kinds = append(kinds, c.Kind.Kind)
		}
	}
	m.add(at, fmt.Sprintf("must be an annotation of a %s; of a %s it exempts from nothing%s", oneOf(kinds), place, unless),
		fmt.Sprintf("metadata: {annotations: {%s%s: %s}} in that %s", cluster.ExemptPrefix, r.Name, flowYAML(reason),
			oneOf(kinds)))
}

// ruleNames returns the names that an exemption may have.
func ruleNames() (names []string) {
	for _, r := range slices.Concat(All, OfManifests) {
		names = append(names, r.Name)
	}
	return names
}

// ruleCalled returns the rule with a name, or nil.
func ruleCalled(name string) *Rule {
	all := slices.Concat(All, OfManifests)
	if i := slices.IndexFunc(all, func(r *Rule) bool { return r.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// right returns the lines that write a key where it has an effect.
func (m *misplaced) right(name, value string) string {
	if strings.HasPrefix(name, cluster.ExemptPrefix) {
		if value == "" {
			value = "<reason>"
		}
		return fmt.Sprintf("metadata: {annotations: {%s: %s}}", name, flowYAML(value))
	}
	var all []string
	for _, k := range ownKeys {
		all = append(all, k.name)
	}
	if i := slices.Index(all, nearest(name, all)); i >= 0 {
		return "write " + ownKeys[i].yaml(m.name, value)
	}
	return "remove it; there are " + keysFor(m.name)
}

func (m *misplaced) misspelt(at *field.Path, near string, value any) {
	m.add(at, "must be "+near+"; a misspelt prefix does nothing", near+": "+flowYAML(value))
}

func (m *misplaced) add(at *field.Path, detail, remedy string) {
	m.report(field.Forbidden(at, detail), remedy)
}

func (m *misplaced) report(wrong *field.Error, remedy string) {
	m.found = append(m.found, Finding{Rule: m.rule, Level: Warn, Error: wrong, Remedy: Remedy{remedy}})
}
