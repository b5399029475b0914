package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

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
next release, and the API server refuses the whole update; a name that contains
the version has the same effect. A label by which a tool tracks what it has
applied, such as argocd.argoproj.io/instance, does more harm in a claim
template: every claim gets the label, but no claim is in a manifest, and the
tool prunes the claims, at the latest when the StatefulSet is deleted.

Remove such labels from these fields; the object itself and its Pod template may
have them. The rule ignores an object whose own name contains the version,
because each release then has its own object. app.kubernetes.io/instance may be
in a selector, unless a tool tracks by it: the object then has the tool's value
and its Pods have the release's.`,

	Exempt: "the value is written by hand and is the same in every release",

	Checks: []Check{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			c := changing{name: sts.Name, instance: trackedInstance(sts)}
			// Paths are made where something is found: they take memory.
			c.selector(p, sts.Spec.Selector, specSelector)
			versions := versionsOf(sts.Labels)
			c.text(p, sts.Spec.ServiceName, versions, func() *field.Path { return serviceNamePath })
			for i := range sts.Spec.VolumeClaimTemplates {
				t := &sts.Spec.VolumeClaimTemplates[i]
				at := func(elems ...string) *field.Path { return templatesPath.Index(i).Child(elems[0], elems[1:]...) }
				c.keys(p, t.Labels, aClaimTemplate, func() *field.Path { return at("metadata", "labels") })
				c.keys(p, t.Annotations, aClaimTemplate, func() *field.Path { return at("metadata", "annotations") })
				c.selector(p, t.Spec.Selector, func() *field.Path { return at("spec", "selector") })
				c.text(p, t.Name, versions, func() *field.Path { return at("metadata", "name") })
			}
			return nil
		}),
		OnCreate(func(p *Pass, d *appsv1.Deployment) error {
			changing{name: d.Name}.selector(p, d.Spec.Selector, specSelector)
			return nil
		}),
	},
}

func specSelector() *field.Path { return specPath.Child("selector") }

// A fixture is a part of an object that the API server never changes.
type fixture string

const (
	aClaimTemplate fixture = "claim template"
	aSelector      fixture = "selector"
)

// changing finds what changes with a release of an object.
type changing struct {
	name     string // the object's
	instance string // the value of app.kubernetes.io/instance by which a tool tracks, or ""
}

// labelInstance tells apart the Pods of two releases of an application.
const labelInstance = "app.kubernetes.io/instance"

const nextRelease = "the next release changes it, and is refused"

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
	worst, cost := found[0], nextRelease
	if i := slices.IndexFunc(found, func(key string) bool { return c.tracks(key, labels[key]) }); i >= 0 {
		worst, cost = found[i], "another application's value is refused"
		if in == aClaimTemplate {
			cost = "its tool prunes the claims, which are in no manifest"
		}
	}
	p.Report(field.Invalid(path().Key(worst), short(labels[worst]), "must not be in a "+string(in)+"; "+cost),
		fmt.Sprintf("remove %s from the %s", strings.Join(found, " and "), in))
}

// tracks says whether a tool tracks by a label.
func (c changing) tracks(key, value string) bool {
	return trackers[key] || key == labelInstance && c.instance != "" && value == c.instance
}

// selector reports labels that change and that a selector requires.
func (c changing) selector(p *Pass, sel *metav1.LabelSelector, path func() *field.Path) {
	if sel == nil {
		return
	}
	c.keys(p, sel.MatchLabels, aSelector, func() *field.Path { return path().Child("matchLabels") })
	for i, e := range sel.MatchExpressions {
		j := slices.IndexFunc(e.Values, func(v string) bool { return trackers[e.Key] || c.released(e.Key, v) })
		if j >= 0 {
			p.Report(field.Invalid(path().Child("matchExpressions").Index(i), short(e.Values[j]),
				"must not be selected by; the next release changes "+short(e.Key)+", and is refused"),
				"remove it from the selector")
		}
	}
}

// text reports a name that has a version of the object in it.
func (c changing) text(p *Pass, text string, versions []string, path func() *field.Path) {
	for _, v := range versions {
		if hasVersion(text, v) && !hasVersion(c.name, v) {
			p.Report(field.Invalid(path(), short(text), "must not have version "+v+" in it; "+nextRelease),
				"a name without the version")
			return
		}
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
