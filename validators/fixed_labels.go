package validators

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
	"stayput.dev/internal/pattern"
)

var fixedLabels = &Rule{
	Name:  "fixed-labels",
	Level: Warn,
	Loses: LosesTime,
	Doc: `what changes with a release must not be in a field that never changes

The selector of a StatefulSet or a Deployment can never be changed, nor can the
claim templates and the serviceName of a StatefulSet. A label there that holds a
version, such as helm.sh/chart or app.kubernetes.io/version, is different in the
next release, and the API server refuses the whole update. A name or a value that
contains the version of the object's own labels has the same effect, also inside
a claim template: in its selector, or as its class, volume or data source. A
label by which a tool tracks what it has applied, such as
argocd.argoproj.io/instance, does more harm in a claim template, or in a selector
whose labels every claim gets: no claim is in a manifest, and the tool prunes the
claims, at the latest when the StatefulSet is deleted.

Remove such labels from these fields; the object itself and its Pod template may
have them. An object that exists must be made anew for that, around its Pods:
kubectl delete with --cascade=orphan, then kubectl apply; it adopts them. Take a
tracking label off the claims as well, which keep what they were made with. Where
a value only has a version in it, write the same value in every release.
The rule ignores an object whose own name contains the version, because each
release then has its own object. app.kubernetes.io/instance may be in a selector,
unless a tool tracks by it: the object then has the tool's value and its Pods have
the release's.`,

	Exempt: "the value is written by hand and is the same in every release",

	Checks: []Check{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			c := changing{obj: sts, name: sts.Name, kind: "sts", selects: sts.Spec.Selector, instance: trackedInstance(sts),
				versions: versionsOf(sts.Labels)}
			// Paths and commands are made where something is found: they take memory.
			selects := fixture{"selector", len(sts.Spec.VolumeClaimTemplates) > 0}
			c.selector(p, sts.Spec.Selector, selects, specSelector, never)
			c.text(p, sts.Spec.ServiceName, "name", func() *field.Path { return serviceNamePath }, func() string {
				return fmt.Sprintf("%s && kubectl rollout restart sts %s -n %s", c.anew(), sts.Name, sts.Namespace)
			})
			for i := range sts.Spec.VolumeClaimTemplates {
				t := &sts.Spec.VolumeClaimTemplates[i]
				at := func(elems ...string) func() *field.Path {
					return func() *field.Path { return templatesPath.Index(i).Child(elems[0], elems[1:]...) }
				}
				c.labels(p, t.Labels, fixture{"claim template", true}, at("metadata", "labels"), c.anew)
				c.keys(p, t.Annotations, fixture{"claim template", false}, at("metadata", "annotations"))
				c.selector(p, t.Spec.Selector, fixture{"selector", false}, at("spec", "selector"), c.anew)
				c.text(p, t.Name, "name", at("metadata", "name"), never)
				c.text(p, t.Spec.VolumeName, "name", at("spec", "volumeName"), c.anew)
				c.text(p, ptr.Deref(t.Spec.StorageClassName, ""), "name", at("spec", "storageClassName"), c.anew)
				c.text(p, ptr.Deref(t.Spec.VolumeAttributesClassName, ""), "name",
					at("spec", "volumeAttributesClassName"), c.anew)
				// Where both stand they are the same.
				if from := t.Spec.DataSource; from != nil {
					c.text(p, from.Name, "name", at("spec", "dataSource", "name"), c.anew)
				} else if from := t.Spec.DataSourceRef; from != nil {
					c.text(p, from.Name, "name", at("spec", "dataSourceRef", "name"), c.anew)
				}
			}
			return nil
		}),
		OnCreate(func(p *Pass, d *appsv1.Deployment) error {
			c := changing{obj: d, name: d.Name, kind: "deploy", versions: versionsOf(d.Labels)}
			c.selector(p, d.Spec.Selector, fixture{"selector", false}, specSelector, never)
			return nil
		}),
	},
}

func specSelector() *field.Path { return specPath.Child("selector") }

// A fixture is a part of an object that the API server never changes.
type fixture struct {
	name  string
	marks bool // every claim of the StatefulSet gets the labels that stand there
}

// changing finds what changes with a release of an object.
type changing struct {
	obj      cluster.Object
	name     string                // its
	kind     string                // its, as kubectl knows it
	versions []string              // of the object
	instance string                // the value of app.kubernetes.io/instance by which a tool tracks, or ""
	selects  *metav1.LabelSelector // whose labels the claims of a StatefulSet get
}

// labelInstance tells apart the Pods of two releases of an application.
const labelInstance = "app.kubernetes.io/instance"

const nextRelease = "the next release changes it, and is refused"

// report gives a remedy of a manifest and, for a cluster, the commands without
// which the API server refuses it: the object exists when the message is read. Without
// commands the field had better stay as it is.
func (c changing) report(p *Pass, err *field.Error, remedy, commands string) {
	const same = "keep it the same in every release"
	switch {
	case p.Cluster.Manifests():
		p.Report(err, remedy)
	case commands == "":
		p.Report(err, same)
	default:
		p.Report(err, remedy, ", then "+commands)
		p.Recreates(same)
	}
}

// anew returns the commands that make the object anew, around its Pods.
func (c changing) anew() string { return orphaning(c.kind, c.obj) + " && " + applyAgain }

// never is the way to change a field that had better stay as it is.
func never() string { return "" }

// keys reports the labels or annotations of a fixture that change, all of them at
// the worst.
func (c changing) keys(p *Pass, labels map[string]string, in fixture, path func() *field.Path) {
	var found []string
	for key, value := range labels {
		if c.tracks(key, value) || c.released(key, value) {
			found = append(found, key)
		}
	}
	if len(found) == 0 {
		return
	}
	slices.Sort(found)
	worst, cost, commands := found[0], nextRelease, c.anew()
	if i := slices.IndexFunc(found, func(key string) bool { return c.tracks(key, labels[key]) }); i >= 0 {
		worst, cost = found[i], "another application's value is refused"
		if in.marks {
			cost = "its tool prunes the claims, which are in no manifest"
			commands = untracked(c.obj, c.selects, worst, labels[worst]) + commands
		}
	}
	c.report(p, field.Invalid(path().Key(worst), short(labels[worst]), "must not be in a "+in.name+"; "+cost),
		fmt.Sprintf("remove %s from the %s", strings.Join(found, " and "), in.name), commands)
}

// untracked returns the command, with && at the end, that takes a label by which a
// tool tracks off the claims of a StatefulSet, which keep what they were made with.
func untracked(sts cluster.Object, selects *metav1.LabelSelector, key, value string) string {
	of := map[string]string{key: value}
	if selects != nil {
		maps.Copy(of, selects.MatchLabels)
	}
	return fmt.Sprintf("kubectl label pvc -l '%s' -n %s %s- && ",
		formatSelector(&metav1.LabelSelector{MatchLabels: of}), sts.GetNamespace(), key)
}

// labels reports what [changing.keys] does, and values with a version in them.
// Change returns the commands that change one.
func (c changing) labels(p *Pass, labels map[string]string, in fixture, path func() *field.Path, change func() string) {
	c.keys(p, labels, in, path)
	var versioned []string
	for key, value := range labels {
		if c.version(value) != "" && !c.tracks(key, value) && !c.released(key, value) {
			versioned = append(versioned, key)
		}
	}
	slices.Sort(versioned)
	for _, key := range versioned {
		c.text(p, labels[key], "value", func() *field.Path { return path().Key(key) }, change)
	}
}

// tracks says whether a tool tracks by a label. A claim has the label of the
// selector where both it and the template have one.
func (c changing) tracks(key, value string) bool {
	if c.selects != nil {
		if of, ok := c.selects.MatchLabels[key]; ok && of != value {
			return false
		}
	}
	return trackers[key] || key == labelInstance && c.instance != "" && value == c.instance
}

// selector reports labels that change and that a selector requires.
func (c changing) selector(p *Pass, sel *metav1.LabelSelector, in fixture, path func() *field.Path,
	change func() string) {
	if sel == nil {
		return
	}
	c.labels(p, sel.MatchLabels, in, func() *field.Path { return path().Child("matchLabels") }, change)
	for i, e := range sel.MatchExpressions {
		at := func() *field.Path { return path().Child("matchExpressions").Index(i) }
		j := slices.IndexFunc(e.Values, func(v string) bool { return trackers[e.Key] || c.released(e.Key, v) })
		if j >= 0 {
			c.report(p, field.Invalid(at(), short(e.Values[j]),
				"must not be selected by; the next release changes "+short(e.Key)+", and is refused"),
				"remove it from the selector", c.anew())
		} else if j := slices.IndexFunc(e.Values, func(v string) bool { return c.version(v) != "" }); j >= 0 {
			c.text(p, e.Values[j], "value", at, change)
		}
	}
}

// version returns the version of the object that a text has in it, or "".
func (c changing) version(text string) string {
	for _, v := range c.versions {
		if hasVersion(text, v) && !hasVersion(c.name, v) {
			return v
		}
	}
	return ""
}

// text reports a name or a value that has a version of the object in it. Change
// returns the commands that change it.
func (c changing) text(p *Pass, text, what string, path func() *field.Path, change func() string) {
	if v := c.version(text); v != "" {
		c.report(p, field.Invalid(path(), short(text), "must not have version "+v+" in it; "+nextRelease),
			"a "+what+" without the version", change())
	}
}

// trackedInstance returns the label of a StatefulSet by which a tool tracks it:
// one that differs from its Pods'.
func trackedInstance(sts *appsv1.StatefulSet) string {
	own, pods := sts.Labels[labelInstance], sts.Spec.Template.Labels[labelInstance]
	if pods == "" || own == pods {
		return ""
	}
	return own
}

// trackers are labels by which tools find, and prune, what they have applied.
// Sources: argoproj/argo-cd docs/user-guide/resource_tracking.md; KEP-3659, kubectl
// apply --prune --applyset; rancher/wrangler pkg/apply.
var trackers = map[string]bool{
	"argocd.argoproj.io/instance": true, "applyset.kubernetes.io/part-of": true, "objectset.rio.cattle.io/hash": true,
}

// released says whether a label or an annotation differs in every release of the
// object.
func (c changing) released(key, value string) bool {
	switch key {
	case "helm.sh/chart", "kubectl.kubernetes.io/restartedAt", "skaffold.dev/run-id":
		return true
	}
	_, name, qualified := strings.Cut(key, "/")
	if !qualified {
		name = key
	}
	switch {
	case strings.HasPrefix(key, "checksum/"):
		return true
	case name == "version" && (key == "app.kubernetes.io/version" || versionNumber().MatchString(value)):
		return !hasVersion(c.name, value)
	}
	return name == "chart" && versionNumber().MatchString(value)
}

// versionNumber matches the version in a label's value.
var versionNumber = pattern.Lazy(`(^|-)v?\d+\.\d+`)

// versionsOf returns the versions that an object's labels tell, those with a dot.
func versionsOf(labels map[string]string) (versions []string) {
	for _, key := range []string{"app.kubernetes.io/version", "helm.sh/chart"} {
		if at := versionNumber().FindStringIndex(labels[key]); at != nil {
			versions = append(versions, strings.Trim(labels[key][at[0]:], "-v"))
		}
	}
	return versions
}

// hasVersion says whether a name has a version in it, with dots or with the hyphens
// that names have for them.
func hasVersion(name, version string) bool {
	if version = strings.TrimPrefix(version, "v"); version == "" {
		return false
	}
	name, version = strings.ReplaceAll(name, ".", "-"), strings.ReplaceAll(version, ".", "-")
	for from := 0; ; {
		i := strings.Index(name[from:], version)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(version)
		if (start == 0 || !digit(name[start-1])) && (end == len(name) || !digit(name[end])) {
			return true
		}
		from = start + 1
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
