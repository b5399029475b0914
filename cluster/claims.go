package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A ClaimOf says that a claim has the name and the labels of the one that a
// StatefulSet makes from a template for an ordinal.
type ClaimOf struct {
	StatefulSet *appsv1.StatefulSet
	Template    string
	Ordinal     int
}

// String returns <statefulset>/<template>/<ordinal>, the value of
// [AnnotationClaimOf].
func (c ClaimOf) String() string {
	return c.StatefulSet.Name + "/" + c.Template + "/" + strconv.Itoa(c.Ordinal)
}

// InRange says whether the StatefulSet wants a Pod of that ordinal.
func (c ClaimOf) InRange() bool {
	start, replicas := Ordinals(c.StatefulSet)
	return c.Ordinal >= start && c.Ordinal-start < replicas
}

// Ordinals returns the first ordinal of a StatefulSet and how many there are.
// What was not defaulted counts as its default.
func Ordinals(sts *appsv1.StatefulSet) (start, replicas int) {
	replicas = 1
	if sts.Spec.Replicas != nil {
		replicas = int(*sts.Spec.Replicas)
	}
	if sts.Spec.Ordinals != nil {
		start = int(sts.Spec.Ordinals.Start)
	}
	return start, replicas
}

// ClaimName returns the name of the claim that a StatefulSet makes from a
// template for an ordinal.
func ClaimName(sts *appsv1.StatefulSet, template string, ordinal int) string {
	return template + "-" + sts.Name + "-" + strconv.Itoa(ordinal)
}

// ClaimsOf returns what a claim may be of, sorted by StatefulSet and template.
// There may be several: a-b-c-0 is of the StatefulSet b-c by its template a,
// and of c by a-b. Those that do not exist any more are not among them.
func ClaimsOf(v *View, pvc *corev1.PersistentVolumeClaim) ([]ClaimOf, error) {
	base, _, ok := cutOrdinal(pvc.Name)
	if !ok {
		return nil, nil
	}
	sets, err := makersOf(v, pvc.Namespace, base)
	if err != nil {
		return nil, err
	}
	return claimsAmong(sets, pvc), nil
}

// ClaimsOfNow is [ClaimsOf] of the API server itself. It asks nothing where v is
// as fresh as can be.
func ClaimsOfNow(v *View, pvc *corev1.PersistentVolumeClaim) (of []ClaimOf, asked bool, err error) {
	live := v.Live()
	if _, _, ok := cutOrdinal(pvc.Name); live == nil || !ok {
		return nil, false, nil
	}
	of, err = ClaimsOf(live, pvc)
	return of, true, err
}

// makersOf returns the StatefulSets that may make claims of a name without the
// ordinal. Where nothing is indexed they are asked for by name, which is the end
// of the claim's, if that is less than to list them all.
func makersOf(v *View, namespace, base string) ([]*appsv1.StatefulSet, error) {
	if v.world.Finder != nil || strings.Count(base, "-") > 3 {
		sets, err := Find(v, StatefulSetsByClaim, namespace, base)
		if err != nil {
			return nil, fmt.Errorf("list StatefulSets: %w", err)
		}
		return sets, nil
	}
	var sets []*appsv1.StatefulSet
	for name := base; ; {
		var more bool
		if _, name, more = strings.Cut(name, "-"); !more {
			return sets, nil
		}
		if name == "" {
			continue
		}
		sts, err := Get[appsv1.StatefulSet](v, namespace, name)
		if err != nil {
			return nil, fmt.Errorf("get StatefulSet %s: %w", name, err)
		}
		if sts != nil {
			sets = append(sets, sts)
		}
	}
}

// ClaimsAmong is [ClaimsOf] for whoever has listed the StatefulSets of the
// namespace already.
func ClaimsAmong(sets []appsv1.StatefulSet, pvc *corev1.PersistentVolumeClaim) []ClaimOf {
	return claimsAmong(pointers(sets), pvc)
}

func claimsAmong(sets []*appsv1.StatefulSet, pvc *corev1.PersistentVolumeClaim) []ClaimOf {
	base, ordinal, ok := cutOrdinal(pvc.Name)
	if !ok {
		return nil
	}
	var of []ClaimOf
	for _, sts := range sets {
		if !strings.HasSuffix(base, "-"+sts.Name) {
			continue
		}
		for _, t := range sts.Spec.VolumeClaimTemplates {
			c := ClaimOf{sts, t.Name, ordinal}
			// A claim that was recovered before its StatefulSet was there has
			// no labels, but a record.
			recorded := pvc.Annotations[AnnotationClaimOf] == c.String()
			if base == t.Name+"-"+sts.Name && (recorded || HasMatchLabels(sts.Spec.Selector, pvc.Labels)) {
				of = append(of, c)
			}
		}
	}
	slices.SortFunc(of, func(a, b ClaimOf) int { return strings.Compare(a.String(), b.String()) })
	return of
}

// HasMatchLabels says whether labels hold the selector's matchLabels, which
// the StatefulSet controller puts on every claim that it makes.
func HasMatchLabels(sel *metav1.LabelSelector, on map[string]string) bool {
	if sel == nil {
		return true
	}
	return labels.SelectorFromSet(sel.MatchLabels).Matches(labels.Set(on))
}

// OrdinalOf returns the ordinal of the Pod of a StatefulSet that has a name, and
// whether it is such a name.
func OrdinalOf(sts *appsv1.StatefulSet, pod string) (ordinal int, ok bool) {
	base, ordinal, ok := cutOrdinal(pod)
	return ordinal, ok && base == sts.Name
}

// cutOrdinal splits a-b-7 into a-b and 7. Like the StatefulSet controller, it
// takes only ordinals that are written as the controller writes them.
func cutOrdinal(name string) (base string, ordinal int, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != name[i+1:] {
		return "", 0, false
	}
	return name[:i], int(n), true
}

// MadeByStatefulSet says whether the StatefulSet controller made a claim whose
// StatefulSet may be gone: kube-controller-manager wrote its access modes, and
// no Pod owns it (the claims of generic ephemeral volumes are written by
// kube-controller-manager too).
func MadeByStatefulSet(pvc *corev1.PersistentVolumeClaim) bool {
	if _, _, ok := cutOrdinal(pvc.Name); !ok {
		return false
	}
	for _, o := range pvc.OwnerReferences {
		if o.Kind == "Pod" && o.Controller != nil && *o.Controller && !statefulSetPod(pvc, o.Name) {
			return false
		}
	}
	return wroteAccessModes(pvc.ManagedFields)
}

// Orphaned says whether a Pod of a name and host name was left behind by the
// StatefulSet that made a claim: it has no controller any more, and the claim is
// that of its ordinal. Whether it lives is for the caller to say.
func Orphaned(pod *metav1.ObjectMeta, hostname string, pvc *corev1.PersistentVolumeClaim) bool {
	return metav1.GetControllerOfNoCopy(pod) == nil && hostname == pod.Name &&
		strings.HasSuffix(pvc.Name, "-"+pod.Name) && MadeByStatefulSet(pvc)
}

// wroteAccessModes says whether kube-controller-manager made a claim, rather
// than bound it.
func wroteAccessModes(fields []metav1.ManagedFieldsEntry) bool {
	return slices.ContainsFunc(fields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == "kube-controller-manager" && e.FieldsV1 != nil &&
			strings.Contains(e.FieldsV1.GetRawString(), `"f:accessModes"`) && e.Subresource == ""
	})
}

// madeByStatefulSet is the least of which [wroteAccessModes] is true.
func madeByStatefulSet() []metav1.ManagedFieldsEntry {
	fields := new(metav1.FieldsV1)
	fields.SetRawString(`{"f:spec":{"f:accessModes":{}}}`)
	return []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", FieldsV1: fields}}
}

// statefulSetPod tells a condemned Pod of a StatefulSet, which owns its claims
// while whenScaled is Delete (data-db-0 of db-0), from a Pod with a generic
// ephemeral volume (db-0-data of db-0).
func statefulSetPod(pvc *corev1.PersistentVolumeClaim, pod string) bool {
	return strings.HasSuffix(pvc.Name, "-"+pod)
}

// StripManagedFields removes the managed fields of an object, but of those of a
// claim leaves what [MadeByStatefulSet] looks for.
func StripManagedFields(obj client.Object) {
	pvc, ok := obj.(*corev1.PersistentVolumeClaim)
	if ok && wroteAccessModes(pvc.ManagedFields) {
		pvc.ManagedFields = madeByStatefulSet()
		return
	}
	obj.SetManagedFields(nil)
}
