package validators

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var workloadPlacement = &Rule{
	Name:  "workload-placement",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&corev1.Node{}, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{},
		&storagev1.StorageClass{}},
	Doc: `a Pod must be allowed to run where its volume is, or will be made

A volume with a nodeAffinity can be used on some nodes only, and a class with
allowedTopologies makes volumes for some nodes only. If the Pod's nodeSelector
or required nodeAffinity excludes all of these nodes, the Pod is Pending for
ever. Select nodes that can use the volume, or remove the selection: the
scheduler then follows the volume.

A class with volumeBindingMode: Immediate makes a volume as soon as there is a
claim, in any zone. Where the Pod asks for a zone, this rule reports such a
class for claims that are mounted by name and for generic ephemeral volumes;
claim-template-binding reports it for claim templates.

The rule compares values of the same label. Where the Pod or the volume names its
nodes, by kubernetes.io/hostname or metadata.name, it also compares what the other
requires with the labels of these nodes, such as their zone; in lint that needs
Nodes in the manifests or a cluster. Where neither names nodes, a node may come
that suits both. Where a volume made by hand may be bound instead of a new one,
the rule does not look at the class.`,

	Exempt: "the nodes are to get other labels, or the volume another node affinity, before the Pod is to run",

	Checks: ofPods(func(p *Pass, obj cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
		pod := podAreas(spec)
		if len(pod) == 0 || spec.NodeName != "" { // the scheduler is not asked
			return nil
		}
		var unknown error
		for _, c := range podClaims(obj, spec) {
			sites, err := c.sites(p.Cluster, obj)
			if errors.Is(err, cluster.ErrUnknown) {
				unknown = err
			} else if err != nil {
				return err
			}
			for _, s := range sites {
				reported, err := s.report(p, spec, pod, at)
				if errors.Is(err, cluster.ErrUnknown) {
					unknown = err
				} else if reported || err != nil {
					return cmp.Or(err, unknown)
				}
			}
		}
		return unknown
	}, []string{"nodeName", "nodeSelector", "affinity.nodeAffinity", "volumes[*].persistentVolumeClaim",
		"volumes[*].ephemeral"}, "spec.volumeClaimTemplates", "spec.replicas", "spec.ordinals"),
}

// Areas are alternatives, each of which requires something of labels of nodes, by
// their keys. That a field of nodes is required is by a key that is no label's.
type areas []map[string][]corev1.NodeSelectorRequirement

const ofField = "field "

// areasOf returns the alternatives of a node selector, without those that no node
// meets.
func areasOf(terms []corev1.NodeSelectorTerm) (all areas) {
	for _, t := range terms {
		alternative := map[string][]corev1.NodeSelectorRequirement{}
		for _, r := range t.MatchExpressions {
			alternative[r.Key] = append(alternative[r.Key], r)
		}
		for _, r := range t.MatchFields {
			alternative[ofField+r.Key] = append(alternative[ofField+r.Key], r)
		}
		if len(alternative) > 0 && excluded(alternative) == "" {
			all = append(all, alternative)
		}
	}
	return all
}

// podAreas returns where a Pod may run, or nil if that is everywhere or nowhere.
func podAreas(spec *corev1.PodSpec) areas {
	var selector []corev1.NodeSelectorRequirement
	for _, key := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
		selector = append(selector, corev1.NodeSelectorRequirement{
			Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{spec.NodeSelector[key]},
		})
	}
	terms := []corev1.NodeSelectorTerm{{}}
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil &&
		a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		terms = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		terms = slices.DeleteFunc(slices.Clone(terms), func(t corev1.NodeSelectorTerm) bool {
			return len(t.MatchExpressions)+len(t.MatchFields) == 0 // which no node meets
		})
	}
	for i := range terms {
		terms[i].MatchExpressions = slices.Concat(selector, terms[i].MatchExpressions)
	}
	return areasOf(terms)
}

// classAreas returns where a class makes volumes.
func classAreas(class *storagev1.StorageClass) areas {
	var terms []corev1.NodeSelectorTerm
	for _, allowed := range class.AllowedTopologies {
		var t corev1.NodeSelectorTerm
		for _, r := range allowed.MatchLabelExpressions {
			t.MatchExpressions = append(t.MatchExpressions, corev1.NodeSelectorRequirement{
				Key: r.Key, Operator: corev1.NodeSelectorOpIn, Values: r.Values,
			})
		}
		terms = append(terms, t)
	}
	return areasOf(terms)
}

// excluded returns the first key of whose values none meets all that is required, or
// "" if a node may have such labels.
func excluded(alternative map[string][]corev1.NodeSelectorRequirement) string {
	for _, key := range slices.Sorted(maps.Keys(alternative)) {
		if contradicts(alternative[key]) {
			return key
		}
	}
	return ""
}

// contradicts says whether no label can meet all requirements of one key.
func contradicts(all []corev1.NodeSelectorRequirement) bool {
	in := slices.IndexFunc(all, func(r corev1.NodeSelectorRequirement) bool {
		return r.Operator == corev1.NodeSelectorOpIn
	})
	if in >= 0 {
		return !slices.ContainsFunc(all[in].Values, func(value string) bool {
			return !slices.ContainsFunc(all, func(r corev1.NodeSelectorRequirement) bool { return !admits(r, value) })
		})
	}
	absent := func(r corev1.NodeSelectorRequirement) bool { return r.Operator == corev1.NodeSelectorOpDoesNotExist }
	return slices.ContainsFunc(all, absent) && slices.ContainsFunc(all, func(r corev1.NodeSelectorRequirement) bool {
		return !absent(r) && r.Operator != corev1.NodeSelectorOpNotIn
	})
}

// admits says whether a label with this value meets a requirement.
func admits(r corev1.NodeSelectorRequirement, value string) bool {
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpDoesNotExist:
		return false
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			return true // the API server refuses it
		}
		bound, bad := strconv.ParseInt(r.Values[0], 10, 64)
		n, err := strconv.ParseInt(value, 10, 64)
		if bad != nil || err != nil {
			return bad != nil
		}
		return r.Operator == corev1.NodeSelectorOpGt && n > bound || r.Operator == corev1.NodeSelectorOpLt && n < bound
	}
	return true
}

// without returns the key by which two areas exclude each other and what the second
// requires of it, or "" if a node may be in both.
func (a areas) without(b areas) (key string, wants []corev1.NodeSelectorRequirement) {
	if len(b) == 0 {
		return "", nil
	}
	for _, mine := range a {
		for _, other := range b {
			both := map[string][]corev1.NodeSelectorRequirement{}
			for k, required := range mine {
				both[k] = slices.Concat(required, other[k])
			}
			clash := excluded(both)
			if clash == "" {
				return "", nil
			}
			if key == "" {
				key, wants = clash, other[clash]
			}
		}
	}
	return key, wants
}

// A site is where a volume is, or will be made.
type site struct {
	what string // volume disk is, class fast makes volumes
	areas
	anywhere string // the class that makes the volume before the Pod is placed, or ""
	claim    string // in a sentence
}

// sites returns the sites of a claim's volumes.
func (c podClaim) sites(v *cluster.View, obj cluster.Object) ([]site, error) {
	switch c.by {
	case aTemplate:
		return c.templateSites(v, obj.(*appsv1.StatefulSet)) // nothing else has claim templates
	case anEphemeral:
		return c.madeBy(v, c.made())
	}
	pvc, err := c.object(v, obj.GetNamespace())
	if err != nil || pvc == nil {
		return nil, err
	}
	return c.of(v, pvc)
}

// templateSites is sites of a claim template: of the claims that are there, and of
// one that will be made.
func (c podClaim) templateSites(v *cluster.View, sts *appsv1.StatefulSet) (all []site, err error) {
	claims, err := replicaClaims(v, sts)
	if err != nil && !(errors.Is(err, cluster.ErrUnknown) && v.Manifests()) {
		return nil, err
	}
	wanted, there := ordinals(sts), map[int]bool{}
	for _, r := range claims {
		if r.template.Name != c.template.Name || !wanted.has(r.ordinal) {
			continue
		}
		there[r.ordinal] = true
		some, err := c.of(v, r.claim)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	made := false
	const maxLookups = 16 // of ordinals to come; those without a volume of their own are alike
	for ordinal := wanted.start; ordinal < min(wanted.end(), wanted.start+maxLookups); ordinal++ {
		if there[ordinal] {
			continue
		}
		some, err := c.of(v, claimAt(sts, c.template, ordinal))
		if err != nil {
			return nil, err
		}
		if len(some) > 0 && some[0].claim != "" {
			if made {
				continue
			}
			made = true
		}
		all = append(all, some...)
	}
	return all, nil
}

// of returns the sites of one claim: of its volume, of the one that is reserved for
// it, or of the class that makes it.
func (c podClaim) of(v *cluster.View, pvc *corev1.PersistentVolumeClaim) ([]site, error) {
	if name := pvc.Spec.VolumeName; name != "" {
		pv, err := cluster.Get[corev1.PersistentVolume](v, "", name)
		if err != nil {
			return nil, fmt.Errorf("get PersistentVolume %s: %w", name, err)
		}
		return volumeSite(pv), nil
	}
	pvs, err := volumesFor(v, pvc)
	if err != nil && !(errors.Is(err, cluster.ErrUnknown) && v.Manifests()) {
		return nil, err
	}
	for _, pv := range pvs {
		if cluster.Reserves(pv, pvc) {
			return volumeSite(pv), nil
		}
	}
	return c.madeBy(v, pvc)
}

func volumeSite(pv *corev1.PersistentVolume) []site {
	if pv == nil || pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return nil
	}
	terms := pv.Spec.NodeAffinity.Required.NodeSelectorTerms
	return []site{{what: fmt.Sprintf("volume %s is", pv.Name), areas: areasOf(terms)}}
}

// madeBy returns the site of a volume that a class will make.
func (c podClaim) madeBy(v *cluster.View, pvc *corev1.PersistentVolumeClaim) ([]site, error) {
	name, class, _, err := classOf(v, pvc)
	if err != nil || !provisions(class) {
		return nil, err
	}
	classed := *pvc
	classed.Spec.StorageClassName = &name // as the API server writes the default
	pvs, err := volumesFor(v, &classed)
	if err != nil && !(errors.Is(err, cluster.ErrUnknown) && v.Manifests()) {
		return nil, err
	}
	if slices.ContainsFunc(pvs, func(pv *corev1.PersistentVolume) bool { return pv.Spec.ClaimRef == nil }) {
		return nil, nil // it may be bound to one of these
	}
	s := site{what: fmt.Sprintf("class %s makes volumes", name), areas: classAreas(class), claim: c.claimName()}
	if len(class.AllowedTopologies) == 0 && !waits(class) && c.by != aTemplate {
		s.anywhere = name
	}
	return []site{s}, nil
}

// report says whether a Pod cannot run where a volume is, and reports it.
func (s site) report(p *Pass, spec *corev1.PodSpec, pod areas, at *field.Path) (bool, error) {
	if s.anywhere != "" {
		key := askedZone(pod)
		if key == "" {
			return false, nil
		}
		path, value := placedBy(spec, at, key)
		p.Report(field.Invalid(path, short(value), fmt.Sprintf(
			"is too late for %s: class %s makes its volume first, in any zone", s.claim, s.anywhere)),
			"a class with volumeBindingMode: WaitForFirstConsumer")
		return true, nil
	}
	key, wants := pod.without(s.areas)
	if key == "" {
		return s.onNodes(p, spec, pod, at)
	}
	path, value := placedBy(spec, at, key)
	p.Report(field.Invalid(path, short(value),
		fmt.Sprintf("must be %s, where %s; the Pod stays Pending", wanted(wants), s.what)), dropped(spec, key))
	return true, nil
}

// dropped says how a Pod no longer requires something of a label of nodes.
func dropped(spec *corev1.PodSpec, key string) string {
	if _, selected := spec.NodeSelector[key]; selected {
		return "remove it"
	}
	return fmt.Sprintf("leave %s out of that term", strings.TrimPrefix(key, ofField))
}

// placedBy returns the field by which a Pod requires something of a label of nodes,
// and what that is.
func placedBy(spec *corev1.PodSpec, at *field.Path, key string) (path *field.Path, value string) {
	if value, ok := spec.NodeSelector[key]; ok {
		return at.Child("nodeSelector").Key(key), value
	}
	return at.Child("affinity", "nodeAffinity"), strings.TrimPrefix(key, ofField)
}

// wanted returns what is required of one label, for a message.
func wanted(all []corev1.NodeSelectorRequirement) string {
	var texts []string
	for _, r := range all {
		switch r.Operator {
		case corev1.NodeSelectorOpIn:
			texts = append(texts, cluster.Few(r.Values))
		case corev1.NodeSelectorOpNotIn:
			texts = append(texts, "not "+cluster.Few(r.Values))
		default:
			texts = append(texts, strings.TrimSpace(string(r.Operator)+" "+cluster.Few(r.Values)))
		}
	}
	return short(strings.Join(texts, " and "))
}

// askedZone returns the label by which all alternatives ask for zones, or "".
func askedZone(pod areas) string {
	first := ""
	for _, alternative := range pod {
		zone := ""
		for _, key := range slices.Sorted(maps.Keys(alternative)) {
			if zonal(key) && zone == "" {
				zone = key
			}
		}
		if zone == "" {
			return ""
		}
		if first == "" {
			first = zone
		}
	}
	if pod.admitAll(first) {
		return ""
	}
	return first
}

// admitAll says whether the alternatives that require something of one label alone
// admit, together, every value and its absence, as do NotIn [a] and In [a].
func (a areas) admitAll(key string) bool {
	values := []string{"any other"}
	for _, alternative := range a {
		for _, r := range alternative[key] {
			values = append(values, r.Values...)
		}
	}
	admitted := func(meets func(corev1.NodeSelectorRequirement) bool) bool {
		return slices.ContainsFunc(a, func(alternative map[string][]corev1.NodeSelectorRequirement) bool {
			return len(alternative) == 1 && len(alternative[key]) > 0 &&
				!slices.ContainsFunc(alternative[key], func(r corev1.NodeSelectorRequirement) bool { return !meets(r) })
		})
	}
	for _, value := range values {
		if !admitted(func(r corev1.NodeSelectorRequirement) bool { return admits(r, value) }) {
			return false
		}
	}
	return admitted(func(r corev1.NodeSelectorRequirement) bool {
		return r.Operator == corev1.NodeSelectorOpNotIn || r.Operator == corev1.NodeSelectorOpDoesNotExist
	})
}
