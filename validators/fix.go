package validators

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// A Fix is how a finding is mended in manifests, as data: fields to take out and
// to set in one object, an object to add, or all of these. It takes out no object,
// and nothing that holds data. The text of the remedy is made from it.
type Fix struct {
	// Of is the object whose fields change: nil for the one that the finding
	// is about.
	Of *Named

	// Remove are the paths of fields to take out, of one mapping and in the order
	// of the remedy. Those that are not there need nothing.
	Remove []string

	// Set are the fields to set, in the order of the remedy.
	Set []Setting

	// Without are the paths of fields of that object that exclude those. Where
	// its author wrote one, the fix is no longer whole.
	Without []string

	// Add is the object to add, as JSON decodes it, or nil.
	Add map[string]any

	from string // what the text calls the mapping of Remove; empty for the field of the finding itself
}

// A Named is an object without its content.
type Named struct {
	Kind            schema.GroupKind
	Namespace, Name string
}

// A Setting is a field and its value: a string, a boolean, a number, or maps
// and slices of these as in JSON.
type Setting struct {
	Path  string // as in a [Finding]: spec.template.spec.containers[0].image
	Value any

	// From is the path of the field, one of Remove, whose value this is: it is
	// moved as its author wrote it. Empty if there is none.
	From string

	shown int // how many names at the end of the path the text has
}

// setting returns the fix that sets one field. The text of the remedy has as
// many names of the end of its path as shown says.
func setting(path *field.Path, value any, shown int) *Fix {
	return (&Fix{}).set(path, value, shown)
}

// removing returns the fix that takes fields out of a mapping, which the text of
// the remedy calls from. If that is empty, the field is that of the finding.
func removing(from string, paths ...*field.Path) *Fix {
	f := &Fix{from: from}
	for _, path := range paths {
		f.Remove = append(f.Remove, path.String())
	}
	return f
}

// moving returns the fix that puts the value of a field at another path: see
// [setting].
func moving(from, to *field.Path, value any, shown int) *Fix {
	f := removing("", from).set(to, value, shown)
	f.Set[0].From = from.String()
	return f
}

// set has the fix set a field, too: see [setting].
func (f *Fix) set(path *field.Path, value any, shown int) *Fix {
	f.Set = append(f.Set, Setting{Path: path.String(), Value: value, shown: shown})
	return f
}

// in has the fix set its fields in another object.
func (f *Fix) in(kind schema.GroupVersionKind, obj cluster.Object) *Fix {
	f.Of = &Named{kind.GroupKind(), obj.GetNamespace(), obj.GetName()}
	return f
}

// without says which fields exclude those that the fix sets.
func (f *Fix) without(paths ...string) *Fix {
	f.Without = paths
	return f
}

// and has the fix add an object.
func (f *Fix) and(object map[string]any) *Fix {
	f.Add = object
	return f
}

// adding returns the fix that adds an object.
func adding(object map[string]any) *Fix { return (&Fix{}).and(object) }

// Text returns the fix in words, as a remedy begins: the fields in flow style,
// and the object to apply.
func (f *Fix) Text() string {
	text := f.removal()
	for i := 0; i < len(f.Set); i++ {
		s := f.Set[i]
		switch {
		case s.From != "" && s.shown == 1:
			text = "rename it: "
		case s.From != "":
			text = "move it to "
		case i > 0:
			text += ", "
		case text != "":
			text += ", and set "
		}
		n := s.besides(f.Set[i+1:])
		text += s.text(f.Set[i+1 : i+1+n])
		i += n
	}
	if f.Of != nil {
		text += " in " + f.Of.Kind.Kind + " " + f.Of.Name
	}
	if f.Add == nil {
		return text
	}
	if text != "" {
		text += ", and "
	}
	return text + "apply " + flowYAML(f.Add)
}

// removal returns in words what the fix takes out.
func (f *Fix) removal() string {
	switch {
	case len(f.Remove) == 0:
		return ""
	case f.from == "":
		return "remove it"
	}
	var fields []string
	for _, path := range f.Remove {
		elems := cluster.SplitPath(path)
		fields = append(fields, elems[len(elems)-1])
	}
	return "remove " + strings.Join(fields, " and ") + " from " + f.from
}

// besides returns how many of the settings that follow are of the same mapping.
func (s Setting) besides(more []Setting) (n int) {
	elems := cluster.SplitPath(s.Path)
	last := len(elems) - 1
	for s.shown > 1 && n < len(more) && more[n].shown == s.shown {
		if other := cluster.SplitPath(more[n].Path); len(other) != len(elems) || !slices.Equal(other[:last], elems[:last]) {
			break
		}
		n++
	}
	return n
}

// text returns a setting in flow style, with more of the same mapping:
// rollingUpdate: {maxUnavailable: 1}.
func (s Setting) text(more []Setting) string {
	elems := cluster.SplitPath(s.Path)
	last := len(elems) - 1
	value, begin := s.Value, len(elems)-s.shown
	if len(more) > 0 {
		all := map[string]any{elems[last]: value}
		for _, m := range more {
			all[cluster.SplitPath(m.Path)[last]] = m.Value
		}
		value, elems = all, elems[:last]
	}
	elems = elems[begin:]
	for _, elem := range slices.Backward(elems[1:]) {
		if _, err := strconv.Atoi(elem); err == nil {
			value = []any{value}
		} else {
			value = map[string]any{elem: value}
		}
	}
	return elems[0] + ": " + flowYAML(value)
}

// changeable are the fields that an object of a kind, once it exists, may get
// without being made anew, and without another name, selector, class, mount or
// number of replicas. Annotations are those of every kind.
var changeable = map[schema.GroupKind][]string{
	{Group: "apps", Kind: "StatefulSet"}: {"spec.template.spec", "spec.updateStrategy", "spec.minReadySeconds",
		"spec.persistentVolumeClaimRetentionPolicy", "spec.revisionHistoryLimit", "spec.template.metadata.annotations"},
	{Group: "apps", Kind: "Deployment"}: {"spec.template.spec", "spec.strategy", "spec.minReadySeconds",
		"spec.template.metadata.annotations"},
	{Kind: "Service"}:                              {"spec.publishNotReadyAddresses"},
	{Kind: "PersistentVolume"}:                     {"spec.persistentVolumeReclaimPolicy"},
	{Group: "policy", Kind: "PodDisruptionBudget"}: {"spec.maxUnavailable", "spec.minAvailable"},
}

// names are fields that name something, or choose Pods or nodes by labels.
var names = []string{
	"name", "hostname", "subdomain", "claimName", "mountPath", "subPath", "volumeName", "serviceName",
	"storageClassName", "volumeAttributesClassName", "nodeSelector", "nodeName", "selector", "labels", "replicas",
	"hostnameOverride",
}

// OnlyNew says whether the fix, of a finding about an object of a kind, changes a
// field that is changed in new objects alone: one that cannot change later, or
// whose change leads to other Pods, other data or another number of replicas.
func (f *Fix) OnlyNew(kind schema.GroupKind) bool {
	if f.Of != nil {
		kind = f.Of.Kind
	}
	return slices.ContainsFunc(f.Remove, func(of string) bool { return !ownIdle(of) && onlyNew(kind, of) }) ||
		slices.ContainsFunc(f.Set, func(s Setting) bool {
			return s.Path != protectPath.String() && onlyNew(kind, s.Path) // protection changes nothing else
		})
}

// ownIdle says whether a path, of what is taken out, leads to one of Stayput's keys
// that nothing reads: in the object's own labels, or where the API server knows no
// such field.
func ownIdle(of string) bool {
	path := cluster.SplitPath(of)
	if own, near := ownish(path[len(path)-1]); !own && near == "" {
		return false
	}
	in := ""
	if len(path) > 1 {
		in = path[len(path)-2]
	}
	return in != label+"s" && in != annotation+"s" || len(path) == 3
}

// onlyNew is [Fix.OnlyNew] for one field.
func onlyNew(kind schema.GroupKind, of string) bool {
	path := cluster.SplitPath(of)
	if of == "apiVersion" { // another form of the same object
		return false
	}
	if slices.ContainsFunc(path, func(elem string) bool { return slices.Contains(names, elem) }) {
		return true
	}
	may := slices.Concat(changeable[kind], []string{"metadata.annotations"})
	return !slices.ContainsFunc(may, func(prefix string) bool {
		return begins(path, cluster.SplitPath(prefix))
	})
}
