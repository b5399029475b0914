package validators

import (
	"slices"
	"strings"

	"stayput.dev/cluster"
)

// What several rules know of the releases of Kubernetes. Source: k8s.io/kubernetes
// pkg/features/kube_features.go, and its changelogs for what was turned off in a
// patch.
var (
	attributesClasses = &cluster.Feature{
		With: "the attributes class of a claim is kept, can be changed once the claim is bound, and must be that of the " +
			"volume that the claim gets",
		Without: "volumeAttributesClassName is dropped",
		Gate:    "VolumeAttributesClass", Gated: cluster.Version{Minor: 29}, Locked: cluster.Version{Minor: 36},
		On: []cluster.Span{{From: cluster.Version{Minor: 34}}},
	}
	hostnameOverride = &cluster.Feature{
		With: "hostnameOverride is kept", Without: "it is dropped",
		Gate: "HostnameOverride", Gated: cluster.Version{Minor: 34}, Locked: cluster.Version{Minor: 37},
		On: []cluster.Span{{From: cluster.Version{Minor: 35}}},
	}
	serviceDigits = &cluster.Feature{
		With:    "the name of a Service may begin with a digit",
		Without: "such a Service is refused, and what names it can never have it",
		Gate:    "RelaxedServiceNameValidation", Gated: cluster.Version{Minor: 34}, Locked: cluster.Version{Minor: 37},
		On: []cluster.Span{{From: cluster.Version{Minor: 36}}},
	}
	maxUnavailables = &cluster.Feature{
		With:    "maxUnavailable of a StatefulSet is kept and counts",
		Without: "it is dropped, and one Pod is replaced after the other",
		Gate:    "MaxUnavailableStatefulSet", Gated: cluster.Version{Minor: 24},
		On: []cluster.Span{{From: cluster.Version{Minor: 35}, Before: cluster.Version{Minor: 35, Patch: 4}},
			{From: cluster.Version{Minor: 37}}},
	}
)

// has says whether the API servers have a feature, which must be one of the
// rule's Versions: nothing is known of others.
func (p *Pass) has(f *cluster.Feature) cluster.Presence {
	if !slices.Contains(p.rule.Versions, f) {
		return cluster.Unsure
	}
	return f.In(p.Cluster.Kubernetes())
}

// keeps says whether a field that came with a feature may have an effect. In a
// manifest, and at the mutating webhook, it may be one that the API server is
// about to drop; later what is there has been kept, by default or by a gate.
func (p *Pass) keeps(f *cluster.Feature) bool {
	return !p.has(f).Unlikely() || !p.Cluster.Manifests() && p.rule.Level != Hint
}

// VersionText returns what versions of Kubernetes decide about the rule, in lines
// of about 80 characters, or "" if all supported ones are alike.
func (r *Rule) VersionText() string {
	var sentences []string
	for _, f := range r.Versions {
		sentences = append(sentences, f.String())
	}
	return wrapped(strings.Join(sentences, " "), 82)
}

// wrapped breaks a text into lines of at most width bytes.
func wrapped(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
