package validators

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// OfManifests are the rules about how a manifest is written, sorted by name. They
// have no checks: what they are about is not in the object that the API server
// gets. Lint finds it, and [Policy.Written] judges.
var OfManifests = []*Rule{apiVersion, unknownField}

// Split parts rules of [All] from those of [OfManifests].
func Split(rules []*Rule) (live, ofManifests []*Rule) {
	for _, r := range rules {
		if len(r.Checks) > 0 {
			live = append(live, r)
		} else {
			ofManifests = append(ofManifests, r)
		}
	}
	return live, ofManifests
}

// finding returns a finding of a rule that has no checks.
func (r *Rule) finding(path, detail string, remedy ...string) Finding {
	return Finding{Rule: r, Level: r.Level, Remedy: remedy,
		Error: &field.Error{Type: field.ErrorTypeForbidden, Field: path, Detail: detail}}
}

// Written applies the policy to what lint found in the text of an object's
// manifest, by rules of [OfManifests] or of [All]: their levels, the mode of the
// namespace, and exemptions.
func (p *Policy) Written(v *cluster.View, obj cluster.Object, found []Finding) (Verdict, error) {
	if len(found) == 0 {
		return Verdict{}, nil
	}
	ns, err := namespaceOf(v, obj)
	if err != nil {
		return Verdict{}, err
	}
	var applied []Finding
	rules := slices.Concat(p.Rules, p.OfManifests)
	for _, f := range found {
		i := slices.IndexFunc(rules, func(r *Rule) bool { return r.Name == f.Rule.Name })
		if i < 0 {
			continue // it is off
		}
		if f.Level == f.Rule.Level {
			f.Level = rules[i].Level
		}
		f.Rule = rules[i]
		applied = append(applied, f)
	}
	return p.judge(v.Request, ns, nil, obj, applied, nil), nil
}
