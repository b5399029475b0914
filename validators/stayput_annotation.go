package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// withStayputAnnotation returns rules and the rule about Stayput's own labels
// and annotations, sorted by name. That rule must know the names of the others,
// so it cannot be a variable among them.
func withStayputAnnotation(rules ...*Rule) []*Rule {
	names := []string{"stayput-annotation"}
	for _, r := range slices.Concat(rules, OfManifests) {
		names = append(names, r.Name)
	}
	rules = append(rules, &Rule{
		Name:  "stayput-annotation",
		Level: Deny,
		Loses: LosesData,
		Runs:  keyRuns,
		Doc: `Stayput's labels and annotations must be ones that it knows

Kubernetes accepts a label or an annotation with a mistake in it, and it has no
effect: data that should be retained is deleted with its claim, a Pod that
should have a DNS name never gets one, and no message says so. Every key that
begins with stayput.dev/ or exempt.stayput.dev/ must be spelled correctly, be on
a kind of object and in the list (labels or annotations) where it has an effect,
and have a valid value. An exemption must name a rule that exists, and give a
reason: exempt.stayput.dev/claim-in-use: "the cache can be rebuilt".

Lint looks for such keys in all of a manifest, and warns of one where admission
does not look: on another kind of object, in a template in which an exemption has
no effect, outside of labels and annotations, or with a misspelt prefix. lint --fix
moves it to its right place if there is one: not where that has another value,
or where the key would then let data be destroyed.

In a custom resource, lint warns of a key among the labels and annotations of the
resource itself. Stayput does not read them, and some operators copy them to what
they make: exempt the resource from this rule where yours does. Labels and
annotations elsewhere in it may be those of the Pods, claims or workloads that it
stands for. Lint warns there of what does nothing on any of them: a misspelt key,
an exemption from a rule that does not exist, a value that is not allowed.`,

		Exempt: "another tool of yours uses the prefix for itself",

		Checks: []Check{
			On(checkKeys[*appsv1.StatefulSet](names)).Of(ownKeysIn("metadata", "spec.template.metadata",
				"spec.volumeClaimTemplates")...),
			On(checkKeys[*appsv1.Deployment](names)).Of(ownKeysIn("metadata", "spec.template.metadata")...),
			On(checkKeys[*corev1.PersistentVolumeClaim](names)).Of(ownKeysIn("metadata")...),
			On(checkKeys[*corev1.PersistentVolume](names)).Of(ownKeysIn("metadata")...),
			On(checkKeys[*storagev1.StorageClass](names)).Of(ownKeysIn("metadata")...),
			On(checkKeys[*corev1.Service](names)).Of(ownKeysIn("metadata")...),
			On(checkKeys[*corev1.Namespace](names)).Of(ownKeysIn("metadata")...),
			// The keys of a Pod have an effect only when it is created.
			OnCreate(checkKeys[*corev1.Pod](names)),
		},
	})
	slices.SortFunc(rules, func(a, b *Rule) int { return strings.Compare(a.Name, b.Name) })
	return rules
}

// keyRuns says whether a remnant has the label or annotation of the Pod
// template that was found.
func keyRuns(_ *cluster.View, obj cluster.Object, left *remnants) (func(*Finding) bool, error) {
	var template *metav1.ObjectMeta
	switch obj := obj.(type) {
	case *appsv1.StatefulSet:
		template = &obj.Spec.Template.ObjectMeta
	case *appsv1.Deployment:
		template = &obj.Spec.Template.ObjectMeta
	}
	return func(denial *Finding) bool {
		at := cluster.SplitPath(denial.Field)
		if len(at) != 5 || at[1] != "template" { // spec.template.metadata.labels[key]
			return false
		}
		list := func(meta *metav1.ObjectMeta) map[string]string {
			if at[3] == label+"s" {
				return meta.Labels
			}
			return meta.Annotations
		}
		is := list(template)[at[4]]
		return left.any(func(r remnant) bool {
			was, ok := list(r.meta)[at[4]]
			return ok && was == is
		})
	}, nil
}

// ownKeysIn returns what [checkKeys] reads in objects with metadata at the
// given paths. Claim templates are a list, which never changes.
func ownKeysIn(metadata ...string) (reads []string) {
	for _, path := range metadata {
		if path == templatesPath.String() {
			reads = append(reads, path)
			continue
		}
		for _, list := range []string{".labels[", ".annotations["} {
			reads = append(reads, path+list+ownPrefix+"*]", path+list+cluster.ExemptPrefix+"*]")
		}
	}
	return reads
}

func checkKeys[T cluster.Object](rules []string) func(*Pass, T) error {
	kind := cluster.KindOf[T]().Kind
	return func(p *Pass, obj T) error {
		for _, pl := range places(kind, obj, false) {
			checkList(p, kind, obj, pl, label, pl.meta.GetLabels(), rules)
			checkList(p, kind, obj, pl, annotation, pl.meta.GetAnnotations(), rules)
		}
		return nil
	}
}

// checkList checks the labels or the annotations of one of the places of an object.
// It stops after many mistakes, because a hostile request may have thousands of keys.
func checkList(p *Pass, kind string, obj cluster.Object, pl place, sort string, list map[string]string,
	rules []string) {
	const most = 20
	var own []string
	for name := range list {
		if strings.HasPrefix(name, ownPrefix) || strings.HasPrefix(name, cluster.ExemptPrefix) {
			own = append(own, name)
		}
	}
	slices.Sort(own)
	mistakes := 0
	for i, name := range own {
		if mistakes == most {
			p.Report(field.Forbidden(pl.path.Child(sort+"s"),
				fmt.Sprintf("must be keys that Stayput knows; %d more have not been looked at", len(own)-i)),
				"mend those named first")
			return
		}
		path, value := pl.path.Child(sort+"s").Key(name), list[name]
		var wrong *field.Error
		var remedy string
		if rule, ok := strings.CutPrefix(name, cluster.ExemptPrefix); ok {
			wrong, remedy = checkExemption(path, sort, rule, value, rules)
		} else {
			wrong, remedy = checkKey(path, pl.kind, sort, name, value)
		}
		if wrong == nil {
			continue
		}
		mistakes++
		if fix := moveOwn(places(kind, obj, true), path, name, value); fix != nil {
			p.ReportFix(wrong, fix)
		} else {
			p.Report(wrong, remedy)
		}
	}
}

// checkKey returns what is wrong with a key, or nil, and the remedy.
func checkKey(path *field.Path, kind, sort, name, value string) (wrong *field.Error, remedy string) {
	i := slices.IndexFunc(ownKeys, func(k key) bool { return k.name == name })
	if i < 0 {
		var all []string
		for _, k := range ownKeys {
			all = append(all, k.name)
		}
		remedy = "remove it; there are " + keysFor(kind)
		if i := slices.Index(all, nearest(name, all)); i >= 0 {
			remedy = "write " + ownKeys[i].yaml(kind, value)
		}
		return field.Forbidden(path, "must be a key that Stayput knows; this one does nothing"), remedy
	}
	switch k := ownKeys[i]; {
	case k.sort != sort || !slices.Contains(k.kinds, kind):
		return field.Forbidden(path, "must be "+k.place()+"; here it does nothing"), "write " + k.yaml(kind, value)
	case !k.allows(value):
		return field.Invalid(path, short(value), "must be "+k.values()+"; anything else does nothing"), "write " +
			k.yaml(kind, value)
	}
	return nil, ""
}

// checkExemption is checkKey for an exemption.
func checkExemption(path *field.Path, sort, rule, reason string, rules []string) (wrong *field.Error, remedy string) {
	exempt := func(rule string) string {
		return "metadata: {annotations: {" + cluster.ExemptPrefix + rule + `: "<reason>"}}`
	}
	switch {
	case !slices.Contains(rules, rule):
		remedy = "remove it; stayput rules lists the rules"
		if rule := nearest(rule, rules); rule != "" {
			remedy = exempt(rule)
		}
		return field.Forbidden(path, "must name a rule after the slash; no rule is called that, so nothing is exempt"), remedy
	case sort == label:
		return field.Forbidden(path, "must be an annotation, whose value is the reason; a label exempts from nothing"),
			exempt(rule)
	case strings.TrimSpace(reason) == "":
		return field.Required(path, "must say why; an exemption without a reason has no effect"), exempt(rule)
	}
	return nil, ""
}
