package validators

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
)

// statefulSetFixed reports changes of fields of a StatefulSet that are
// immutable.
func statefulSetFixed(p *Pass, old, sts *appsv1.StatefulSet) {
	spec := specPath
	again := orphaning("sts", sts) + " && " + applyAgain
	newPods := func() string {
		return fmt.Sprintf("kubectl delete pod -l '%s' -n %s", formatSelector(old.Spec.Selector), sts.Namespace)
	}

	p.selectorFixed(&selecting{old, "sts", "pod", old.Spec.Selector, old.Spec.Template.Labels},
		&selecting{sts, "sts", "pod", sts.Spec.Selector, sts.Spec.Template.Labels})
	if old.Spec.ServiceName != sts.Spec.ServiceName {
		p.ReportRecreating(field.Invalid(spec.Child("serviceName"), sts.Spec.ServiceName,
			"cannot be changed; Pods keep the old name"),
			fmt.Sprintf("%s && kubectl rollout restart sts %s -n %s", again, sts.Name, sts.Namespace),
			keepAs(old.Spec.ServiceName))
	}
	policy := func(sts *appsv1.StatefulSet) appsv1.PodManagementPolicyType {
		return cmp.Or(sts.Spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	}
	if policy(old) != policy(sts) {
		p.ReportRecreating(field.Invalid(spec.Child("podManagementPolicy"), policy(sts),
			"cannot be changed in a StatefulSet that exists"),
			again+"; the Pods run on", keepAs(policy(old)))
	}
	if !equality.Semantic.DeepEqual(old.Spec.VolumeClaimTemplates, sts.Spec.VolumeClaimTemplates) {
		templatesFixed(p, old, sts, again, newPods)
	}
}

// orphaning returns the command that deletes a workload and leaves what it controls.
func orphaning(kind string, obj cluster.Object) string {
	return fmt.Sprintf("kubectl delete %s %s -n %s --cascade=orphan", kind, obj.GetName(), obj.GetNamespace())
}

// A selecting is a workload, and what its selector decides.
type selecting struct {
	obj            cluster.Object
	kind, controls string // its kind, and that of what it adopts, as kubectl knows them
	selector       *metav1.LabelSelector
	template       map[string]string // the labels of its Pod template
}

// matches says whether the selector of a workload matches the labels of a Pod
// template.
func (s *selecting) matches(template map[string]string) bool {
	sel, err := selectorOf(s.selector)
	return err == nil && sel.Matches(labels.Set(template))
}

// asks returns the arguments of kubectl label by which whatever another selector
// matches comes to match that of a workload, too: none if it asks for less.
func (s *selecting) asks(was *metav1.LabelSelector) (marks []string) {
	mark := func(key string) {
		to := key + "-"
		if value, ok := s.template[key]; ok {
			to = key + "=" + value
		}
		if !slices.Contains(marks, to) {
			marks = append(marks, to)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(selectorLabels(s.selector))) {
		if had, ok := selectorLabels(was)[key]; !ok || had != s.selector.MatchLabels[key] {
			mark(key)
		}
	}
	if s.selector == nil {
		return nil
	}
	for _, e := range s.selector.MatchExpressions {
		if was == nil || !slices.ContainsFunc(was.MatchExpressions,
			func(had metav1.LabelSelectorRequirement) bool { return equality.Semantic.DeepEqual(had, e) }) {
			mark(e.Key)
		}
	}
	return marks
}

// selectorFixed reports a selector that differs. What a workload controls is adopted
// by the one that is made anew if its selector matches: Pods, which their StatefulSet then
// replaces one by one, or ReplicaSets, whose Pods their Deployment replaces as in
// any rollout. What has not the labels is given them in between, so that nothing
// stops. Only a Deployment that never runs two Pods at a time is deleted with its
// Pods: it would not wait for those that have not the new labels.
func (p *Pass) selectorFixed(was, is *selecting) {
	d := selectorDiffers(specSelector(), was.selector, is.selector)
	if d == nil {
		return
	}
	brief := d.keep()
	if !is.matches(is.template) { // which is refused anew, too
		p.Report(d.problem("Pods would be orphaned"), brief)
		return
	}
	commands := ""
	if sts, ok := was.obj.(*appsv1.StatefulSet); ok && len(sts.Spec.VolumeClaimTemplates) > 0 &&
		trackers[d.key] && d.had && !d.has {
		commands = untracked(sts, was.selector, d.key, d.was)
	}
	marks, after := is.asks(was.selector), ""
	deployment, ok := was.obj.(*appsv1.Deployment)
	switch {
	case len(marks) == 0:
		commands += orphaning(is.kind, is.obj)
	case ok && deployment.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType && !is.matches(was.template):
		commands += fmt.Sprintf("kubectl delete %s %s -n %s --cascade=foreground", is.kind, is.obj.GetName(),
			is.obj.GetNamespace())
		after = "; in between it has no Pods"
	default:
		commands += fmt.Sprintf("%s && kubectl label %s -l '%s' -n %s %s --overwrite", orphaning(is.kind, is.obj),
			is.controls, formatSelector(was.selector), is.obj.GetNamespace(), strings.Join(marks, " "))
	}
	p.Report(d.problem("Pods would be orphaned"), brief, fmt.Sprintf(", or %s && %s%s", commands, applyAgain, after))
	p.Recreates(brief)
}

// templatesFixed reports claim templates that differ. The StatefulSet
// controller does not compare claims with their templates, but it cannot add a
// claim to a Pod that exists: somebody must delete the Pod.
func templatesFixed(p *Pass, old, sts *appsv1.StatefulSet, again string, newPods func() string) {
	path := templatesPath
	before := map[string]*corev1.PersistentVolumeClaim{}
	for i := range old.Spec.VolumeClaimTemplates {
		t := &old.Spec.VolumeClaimTemplates[i]
		before[t.Name] = t
	}
	said := false
	for i := range sts.Spec.VolumeClaimTemplates {
		is := &sts.Spec.VolumeClaimTemplates[i]
		was := before[is.Name]
		delete(before, is.Name)
		switch {
		case was == nil:
			p.ReportRecreating(field.Invalid(path.Index(i).Child("metadata", "name"), is.Name,
				"cannot be added; Pods lack the volume"),
				again+" && "+newPods(), "leave it out")
		case equality.Semantic.DeepEqual(was, is):
			continue
		default:
			templateFixed(p, path.Index(i), old, was, is, again)
		}
		said = true
	}
	if removed := slices.Sorted(maps.Keys(before)); len(removed) > 0 {
		p.ReportRecreating(field.Forbidden(path,
			"cannot lose template "+cluster.Few(removed)+"; the claims made of it stay, with their data"), again, "keep it")
	} else if !said {
		p.Report(field.Forbidden(path, "cannot be put in another order"), "write the templates in the order they had")
	}
}

func templateFixed(p *Pass, path *field.Path, old *appsv1.StatefulSet, was, is *corev1.PersistentVolumeClaim,
	again string) {
	before, after := was.Spec.Resources.Requests[corev1.ResourceStorage],
		is.Spec.Resources.Requests[corev1.ResourceStorage]
	storage := path.Child("spec", "resources", "requests").Key(string(corev1.ResourceStorage))
	anew := again + ", for new replicas alone"
	switch order := after.Cmp(before); {
	case order > 0:
		p.ReportRecreating(field.Invalid(storage, after.String(), "cannot be changed; each claim must grow by itself"),
			patchClaims(old, was.Name, fmt.Sprintf(`{"resources":{"requests":{"storage":"%s"}}}`, &after))+again,
			keepAs(before.String()))
	case order < 0:
		p.ReportRecreating(field.Invalid(storage, after.String(), "cannot be changed; no volume shrinks"), anew,
			keepAs(before.String()))
	case !equality.Semantic.DeepEqual(was.Spec.StorageClassName, is.Spec.StorageClassName):
		p.ReportRecreating(field.Invalid(path.Child("spec", "storageClassName"), ptr.Deref(is.Spec.StorageClassName, ""),
			"cannot be changed; claims stay in their class"),
			anew, keepAs(ptr.Deref(was.Spec.StorageClassName, "")))
	case !sameAttributes(was.Spec.VolumeAttributesClassName, is.Spec.VolumeAttributesClassName):
		p.attributesFixed(path.Child("spec", "volumeAttributesClassName"), old, was, is, again)
	default:
		for _, meta := range []struct {
			name    string
			was, is map[string]string
		}{{"labels", was.Labels, is.Labels}, {"annotations", was.Annotations, is.Annotations}} {
			if d, differs := keyDiffers(path.Child("metadata", meta.name), meta.was, meta.is); differs {
				if meta.name == "labels" && d.had && !d.has && trackers[d.key] {
					again = untracked(old, old.Spec.Selector, d.key, d.was) + again
				}
				p.keyFixed(d, again)
				return
			}
		}
		if d := selectorDiffers(path.Child("spec", "selector"), was.Spec.Selector, is.Spec.Selector); d != nil {
			p.ReportRecreating(d.problem("claims stay as they are"), anew, d.keep())
			return
		}
		if name := differingField(was, is); name != "" {
			path = path.Child("spec", name)
		}
		p.ReportRecreating(field.Forbidden(path, "cannot be changed; claims stay as they are"), anew, "keep it as it was")
	}
}

// attributesFixed reports a changed attributes class of a claim template. The
// class of each claim can be changed in place, but not removed.
func (p *Pass) attributesFixed(path *field.Path, old *appsv1.StatefulSet, was, is *corev1.PersistentVolumeClaim,
	again string) {
	before, after := ptr.Deref(was.Spec.VolumeAttributesClassName, ""), ptr.Deref(is.Spec.VolumeAttributesClassName, "")
	keep := keepAs(before)
	if before == "" {
		keep = "leave it out"
	}
	if after == "" {
		p.ReportRecreating(field.Forbidden(path, "cannot be taken out; claims keep the class they have"),
			again+", for new replicas alone", keep)
		return
	}
	if p.has(attributesClasses).Unlikely() {
		p.ReportRecreating(field.Invalid(path, after, "cannot be changed; claims have no such class before Kubernetes 1.34"),
			again+", for claims of then", keep)
		return
	}
	p.ReportRecreating(field.Invalid(path, after, "cannot be changed; each claim must change by itself"),
		patchClaims(old, was.Name, fmt.Sprintf(`{"volumeAttributesClassName":"%s"}`, after))+again, keep)
}

// keyFixed reports a changed label or annotation of a claim template. A value
// that changes with each release should not be in a template.
func (p *Pass) keyFixed(d *difference, again string) {
	brief := d.keep()
	ways := []string{brief, "; or, to end this, take it out of the template", ": " + again}
	switch {
	case !d.had:
		ways = []string{brief, "; or " + again}
	case !d.has:
		ways = []string{brief, "; or, to end this, " + again}
	}
	p.Report(d.problem("claims stay as they are"), ways...)
	p.Recreates(brief)
}

// A difference is a value that a field, or a key of a map, had before an update
// and has after it.
type difference struct {
	path     *field.Path
	key      string // of a map, or ""
	was, is  string
	had, has bool
}

// problem says that the value cannot be changed, and what follows from that.
func (d *difference) problem(follows string) *field.Error {
	switch {
	case d.had && d.has:
		return field.Invalid(d.path, short(d.is), "cannot be changed; "+follows)
	case d.has:
		return field.Invalid(d.path, short(d.is), "cannot be added; "+follows)
	default:
		return field.Forbidden(d.path, "cannot be taken out; "+follows)
	}
}

// keep returns the remedy that leaves the value as it was.
func (d *difference) keep() string {
	if !d.had {
		return "leave it out"
	}
	return keepAs(d.was)
}

// keepAs returns the short remedy for a changed field: to keep the old value.
func keepAs[T ~string](was T) string { return fmt.Sprintf("keep %q", short(string(was))) }

// keyDiffers returns the first key, by name, of the map at path that has
// another value, was added or was taken out, or false if there is none.
func keyDiffers(path *field.Path, was, is map[string]string) (*difference, bool) {
	key, differs := "", false
	for _, list := range []map[string]string{was, is} {
		for k := range list {
			before, had := was[k]
			after, has := is[k]
			if (had != has || before != after) && (!differs || k < key) {
				key, differs = k, true
			}
		}
	}
	d := &difference{path: path.Key(key), key: key}
	d.was, d.had = was[key]
	d.is, d.has = is[key]
	return d, differs
}

// selectorDiffers returns in what the selector at path differs: in a label that
// it asks for, or else in its expressions or whether it is there. It returns nil
// if both are the same.
func selectorDiffers(path *field.Path, was, is *metav1.LabelSelector) *difference {
	if equality.Semantic.DeepEqual(was, is) {
		return nil
	}
	if was == nil || is == nil {
		return &difference{path, "", formatSelector(was), formatSelector(is), was != nil, is != nil}
	}
	if d, differs := keyDiffers(path.Child("matchLabels"), was.MatchLabels, is.MatchLabels); differs {
		return d
	}
	expressions := func(sel *metav1.LabelSelector) string {
		return formatSelector(&metav1.LabelSelector{MatchExpressions: sel.MatchExpressions})
	}
	return &difference{path.Child("matchExpressions"), "", expressions(was), expressions(is),
		len(was.MatchExpressions) > 0, len(is.MatchExpressions) > 0}
}

// differingField returns the field of the spec in which two templates differ,
// or "" if it is none of those that claims are made from.
func differingField(was, is *corev1.PersistentVolumeClaim) string {
	for _, f := range []struct {
		name    string
		was, is any
	}{
		{"accessModes", was.Spec.AccessModes, is.Spec.AccessModes},
		{"resources", was.Spec.Resources, is.Spec.Resources},
		{"volumeName", was.Spec.VolumeName, is.Spec.VolumeName},
		{"volumeMode", was.Spec.VolumeMode, is.Spec.VolumeMode},
		{"dataSource", was.Spec.DataSource, is.Spec.DataSource},
		{"dataSourceRef", was.Spec.DataSourceRef, is.Spec.DataSourceRef},
	} {
		if !equality.Semantic.DeepEqual(f.was, f.is) {
			return f.name
		}
	}
	return ""
}

// patchClaims returns the command, with && at the end, that writes fields into
// the spec of the claims of all replicas.
func patchClaims(sts *appsv1.StatefulSet, template, spec string) string {
	start, replicas := cluster.Ordinals(sts)
	patch := func(claim string) string {
		return fmt.Sprintf(`kubectl patch pvc %s -n %s -p '{"spec":%s}'`, claim, sts.Namespace, spec)
	}
	switch replicas {
	case 0:
		return ""
	case 1:
		return patch(cluster.ClaimName(sts, template, start)) + " && "
	}
	return fmt.Sprintf("for i in $(seq %d %d); do %s; done && ", start, start+replicas-1,
		patch(template+"-"+sts.Name+"-$i"))
}
