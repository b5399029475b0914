package validators

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var apiVersion = &Rule{
	Name:  "api-version",
	Level: Hint,
	Loses: LosesTime,
	Doc: `the apiVersion is one that Kubernetes serves

An API server that no longer serves a version refuses the manifest: no matches
for kind. Lint reads it in the version that replaces its own, with what the old
one had by default, and reviews that: a Deployment of extensions/v1beta1 without
a selector selects its template's labels, and a StatefulSet of apps/v1beta1
without an update strategy has OnDelete. What the new version has by default
otherwise must be written with it. A version that the Kubernetes which is
reviewed for (--kubernetes-version) still serves is a warning.`,
	Exempt: "never: the API server refuses the object whatever its annotations say",
}

// A Retirement is what became of the version that an object is written in.
type Retirement struct {
	Kind, Version, Instead string // Instead is "" if nothing replaces it
	Since                  int    // the first minor of Kubernetes that does not serve it
	Defaults               []Setting
	Caution                string
}

// NotServed is the finding about an object of a version that is no longer served,
// or will not be: by API servers of some releases, which may be unknown.
func NotServed(r Retirement, by cluster.Versions) Finding {
	f := apiVersion.finding("apiVersion", "")
	served := by.Known() && by.Oldest.Minor < r.Since
	f.Type, f.BadValue = field.ErrorTypeInvalid, r.Version
	f.Detail = fmt.Sprintf("a %s of this version is not served since Kubernetes 1.%d", r.Kind, r.Since)
	switch {
	case served && by.Newest.Minor < r.Since:
		f.Detail += fmt.Sprintf("; %s still serves it", by)
	case served:
		f.Detail += fmt.Sprintf("; of %s, only the older ones serve it", by)
	case by.Known():
		f.Detail += "; the API server refuses it"
	}
	if served || !by.Known() {
		f.Level = Warn
	}
	if r.Caution != "" {
		f.Detail += "; " + r.Caution
	}
	switch {
	case r.Instead == "":
		f.Remedy = Remedy{"remove it; nothing replaces it"}
	case r.Caution != "": // what is written means something else there
		f.Remedy = Remedy{"apiVersion: " + r.Instead + ", and what means the same in it"}
	default:
		f.Fix = &Fix{Set: append([]Setting{{Path: "apiVersion", Value: r.Instead, shown: 1}}, r.Defaults...)}
		f.Remedy = Remedy{f.Fix.Text()}
	}
	return f
}

// DefaultOf is a field that must be written so that it keeps the value that it had
// by default.
func DefaultOf(path string, value any) Setting {
	return Setting{Path: path, Value: value, shown: len(cluster.SplitPath(path))}
}
