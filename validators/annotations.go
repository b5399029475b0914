package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// ownPrefix is the prefix of all Stayput's keys except those of exemptions.
const ownPrefix = "stayput.dev/"

// A key is a label or an annotation by which people and Stayput talk to each
// other.
type key struct {
	name  string
	sort  string   // label or annotation
	kinds []string // kinds whose metadata may have it
	words []string // allowed values, or
	form  string   // a description of allowed values, with valid
	valid func(value string) bool
	mark  bool // only Stayput writes it
}

const (
	label      = "label"
	annotation = "annotation"

	podTemplate   = "Pod template"
	claimTemplate = "claim template"
)

// ownKeys are all keys except those of exemptions, sorted by name.
var ownKeys = []key{
	{name: cluster.AnnotationClaimOf, sort: annotation, kinds: []string{"PersistentVolume", "PersistentVolumeClaim"},
		form: "<statefulset>/<template>/<ordinal> or <statefulset>/<claim>", valid: isClaimOf, mark: true},
	{name: cluster.LabelInject, sort: label, kinds: []string{"Namespace"}, words: []string{cluster.InjectEnabled}},
	{name: cluster.LabelMode, sort: label, kinds: []string{"Namespace"}, words: modeWords()},
	{name: cluster.LabelProtect, sort: label,
		kinds: []string{"StatefulSet", "PersistentVolumeClaim", claimTemplate, "PersistentVolume", "Namespace"},
		words: []string{cluster.ProtectTrue}},
	{name: cluster.AnnotationReclaim, sort: annotation,
		kinds: []string{"PersistentVolumeClaim", claimTemplate, "PersistentVolume", "Namespace"},
		words: []string{string(corev1.PersistentVolumeReclaimRetain), string(corev1.PersistentVolumeReclaimDelete)}},
	{name: cluster.AnnotationReclaimDefaulted, sort: annotation, kinds: []string{"StorageClass"}, words: []string{"true"},
		mark: true},
	{name: cluster.AnnotationReclaimSet, sort: annotation, kinds: []string{"PersistentVolume"},
		form: "<Retain or Delete>/<volume, claim, namespace or configuration>", valid: isReclaimMark, mark: true},
	{name: cluster.LabelSubdomain, sort: label, kinds: []string{"Pod", podTemplate},
		form: "the name of a Service", valid: func(v string) bool { return len(validation.IsDNS1123Label(v)) == 0 }},
}

func (k key) allows(value string) bool {
	if k.words != nil {
		return slices.Contains(k.words, value)
	}
	return k.valid(value)
}

func (k key) values() string {
	if k.words != nil {
		return oneOf(k.words)
	}
	return k.form
}

// oneOf joins alternatives: a, b or c.
func oneOf(words []string) string {
	last := len(words) - 1
	if last <= 0 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func modeWords() (words []string) {
	for _, m := range Modes() {
		words = append(words, string(m))
	}
	return words
}

func isClaimOf(value string) bool {
	_, ok := cluster.ParseClaimRecord(value)
	return ok
}

func isReclaimMark(value string) bool {
	_, ok := cluster.ParseMark(value)
	return ok
}

// A place is the metadata of an object or of a template in it.
type place struct {
	kind string
	path *field.Path
	meta metav1.Object
}

// places returns all places in an object that have labels and annotations.
// Empty says that claim templates without any count, too.
func places(kind string, obj cluster.Object, empty bool) []place {
	all := make([]place, 1, 4)
	all[0] = place{kind, metadataPath, obj}
	switch obj := obj.(type) {
	case *appsv1.Deployment:
		all = append(all, place{podTemplate, templateMetaPath, &obj.Spec.Template})
	case *appsv1.StatefulSet:
		all = append(all, place{podTemplate, templateMetaPath, &obj.Spec.Template})
		for i := range obj.Spec.VolumeClaimTemplates {
			if t := &obj.Spec.VolumeClaimTemplates[i]; empty || len(t.Labels)+len(t.Annotations) > 0 {
				all = append(all, place{claimTemplate, templatesPath.Index(i).Child("metadata"), t})
			}
		}
	}
	return all
}

// moveOwn returns the fix that moves one of Stayput's own keys, which stands at a
// path, to where it has an effect in the object that has the places. It returns nil
// where there is no such place, or several, or one that has the key with another
// value; and where the key would begin to have data destroyed.
func moveOwn(all []place, at *field.Path, name, value string) *Fix {
	i := slices.IndexFunc(ownKeys, func(k key) bool { return k.name == name })
	if i < 0 || ownKeys[i].mark || !ownKeys[i].allows(value) || value == string(corev1.PersistentVolumeReclaimDelete) {
		return nil
	}
	k := ownKeys[i]
	var to []place
	for _, pl := range all {
		if !slices.Contains(k.kinds, pl.kind) {
			continue
		}
		if leadsInto(at, pl.path) {
			to = []place{pl}
			break
		}
		to = append(to, pl)
	}
	if len(to) != 1 {
		return nil
	}
	return moveKey(to[0], k.sort, at, name, value)
}

// leadsInto says whether a path leads into what is at another one.
func leadsInto(path, in *field.Path) bool {
	elems, of := cluster.SplitPath(path.String()), cluster.SplitPath(in.String())
	return len(elems) > len(of) && begins(elems, of)
}

// begins says whether the elements of a path begin with those of another.
func begins(path, with []string) bool {
	return len(with) <= len(path) && slices.Equal(with, path[:len(with)])
}

// moveKey returns the fix that moves a key to the labels or annotations of a place,
// or nil if it stands there, or has another value there.
func moveKey(to place, sort string, at *field.Path, name, value string) *Fix {
	list, path := to.meta.GetLabels(), to.path.Child(sort+"s").Key(name)
	if sort == annotation {
		list = to.meta.GetAnnotations()
	}
	is, there := list[name]
	switch {
	case there && is != value, path.String() == at.String():
		return nil
	case there:
		return removing("", at)
	case leadsInto(at, to.path.Child(sort+"s")): // under another name
		return moving(at, path, value, 1)
	case leadsInto(at, to.path):
		return moving(at, path, value, 3)
	}
	shown := len(cluster.SplitPath(path.String()))
	if strings.HasPrefix(path.String(), templatesPath.String()) {
		shown--
	}
	return moving(at, path, value, shown)
}

// place names the object that must have the label or annotation.
func (k key) place() string {
	article := "a "
	if k.sort == annotation {
		article = "an "
	}
	return article + k.sort + " of a " + oneOf(k.kinds)
}

// yaml returns the lines that write a key in its place, relative to an object
// or a template of kind.
func (k key) yaml(kind, value string) string {
	if !k.allows(value) {
		value = nearest(value, k.words)
	}
	if len(k.words) == 1 {
		value = k.words[0]
	}
	if value = flowYAML(short(value)); value == `""` {
		value = "<" + strings.Trim(k.values(), "<>") + ">"
	}
	meta := fmt.Sprintf("metadata: {%ss: {%s: %s}}", k.sort, k.name, value)
	inWorkload := kind == "StatefulSet" || kind == "Deployment" || kind == podTemplate || kind == claimTemplate
	switch {
	case slices.Contains(k.kinds, kind):
		return meta
	case slices.Contains(k.kinds, podTemplate) && inWorkload:
		return "spec: {template: {" + meta + "}}"
	case slices.Contains(k.kinds, claimTemplate) && (kind == "StatefulSet" || kind == podTemplate):
		return "volumeClaimTemplates: [{" + meta + "}]"
	}
	return fmt.Sprintf("%s in a %s", meta, k.kinds[0])
}

// keysFor lists the keys that the metadata of an object or a template of kind
// may have.
func keysFor(kind string) string {
	var all []string
	for _, k := range ownKeys {
		if slices.Contains(k.kinds, kind) && !k.mark {
			all = append(all, fmt.Sprintf("%s %s: %s", k.sort, k.name, k.values()))
		}
	}
	return strings.Join(append(all, annotation+" "+cluster.ExemptPrefix+"<rule>: <reason>"), ", ")
}

// nearest returns the first of words that is at most two typos away from word
// and nearer than the others, or "".
func nearest(word string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		if n := typos(word, w, least); n < least {
			best, least = w, n
		}
	}
	return best
}

// typos returns the Levenshtein distance of a and b: the number of letters
// inserted, left out or replaced. It stops at limit.
func typos(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal, least := row[0], i+1
		row[0] = i + 1
		for j := range len(b) {
			n := diagonal
			if a[i] != b[j] {
				n = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], n
			least = min(least, n)
		}
		if least >= limit {
			return limit
		}
	}
	return min(row[len(b)], limit)
}

// short cuts a value to the length that a message has room for.
func short(value string) string {
	const most = 64
	if runes := []rune(value); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return value
}
