package validators

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// copied is said of a key on a custom resource, which no rule reads.
const copied = ", unless its operator copies it to one"

// foreignKey finds what is wrong with a key in a custom resource. What stands among
// labels or annotations in it, but in those of its own, may be passed on to an object
// that rules read: such a key is wrong only if it does nothing anywhere.
func (m *misplaced) foreignKey(path, at *field.Path, name string, value any, near string) {
	if len(validation.IsQualifiedName(name)) > 0 {
		return // a pattern of keys, as policies have
	}
	text, isText := value.(string)
	sort, own := listedIn(path)
	rule, exemption := strings.CutPrefix(name, cluster.ExemptPrefix)
	switch i := slices.IndexFunc(ownKeys, func(k key) bool { return k.name == name }); {
	case near != "":
		m.misspelt(at, near, value)
	case sort == "":
		m.add(at, "must be a key in labels or annotations; Stayput reads no other", m.right(name, text))
	case !isText: // the API server refuses it, or something else writes it
	case exemption:
		m.foreignExemption(at, sort, rule, text, own)
	case i < 0, ownKeys[i].sort != sort:
		m.report(checkKey(at, m.name, sort, name, text))
	case own:
		wrong, remedy := checkKey(at, m.name, sort, name, text)
		wrong.Detail += copied
		m.report(wrong, remedy)
	case strings.ContainsAny(text, "{}$()*?<>|!"): // a template or a pattern
	default: // as if it were passed on to where it belongs
		if wrong, remedy := checkKey(at, ownKeys[i].kinds[0], sort, name, text); wrong != nil {
			m.report(wrong, remedy)
		}
	}
}

// listedIn says whether a path in a custom resource is among labels or annotations, and
// whether these are its own.
func listedIn(path *field.Path) (sort string, own bool) {
	if path == nil {
		return "", false
	}
	elems := cluster.SplitPath(path.String())
	for _, elem := range slices.Backward(elems) {
		for _, sort := range []string{label, annotation} {
			if strings.Contains(strings.ToLower(elem), sort) {
				return sort, len(elems) == 2 && elems[0] == "metadata"
			}
		}
	}
	return "", false
}

// aboutOthers says whether what has a name in a custom resource is about the keys of other
// objects.
func aboutOthers(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "selector") || strings.Contains(name, "match")
}

// foreignExemption finds what is wrong with an exemption in a custom resource.
func (m *misplaced) foreignExemption(at *field.Path, sort, rule, reason string, own bool) {
	if wrong, remedy := checkExemption(at, sort, rule, reason, ruleNames()); wrong != nil {
		m.report(wrong, remedy)
		return
	}
	if r := ruleCalled(rule); own && len(r.Checks) > 0 && r.Name != m.rule.Name {
		m.elsewhere(at, r, m.name, reason, copied)
	}
}
