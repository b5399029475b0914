package cluster

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// A ClaimOf says that a claim has the name and the labels of the claim that a
// StatefulSet makes from a template for an ordinal.
type ClaimOf struct {
	StatefulSet *appsv1.StatefulSet
	Template    string
	Ordinal     int
}

// Record returns the record of the claim for the time when the StatefulSet is
// gone.
func (c ClaimOf) Record() ClaimRecord {
	return ClaimRecord{StatefulSet: c.StatefulSet.Name, Template: c.Template, Ordinal: c.Ordinal}
}

// A ClaimRecord is the content of [AnnotationClaimOf]: the claim that a volume
// was provisioned for, or that was recovered.
type ClaimRecord struct {
	StatefulSet string // its name
	Template    string // empty if Mounted is set
	Ordinal     int

	// Mounted is the name of a claim that the StatefulSet did not make but
	// mounts by its name; else empty.
	Mounted string
}

// String returns <statefulset>/<template>/<ordinal>, or <statefulset>/<claim>
// for a claim that is mounted by its name: the value of the annotation.
func (r ClaimRecord) String() string {
	if r.Mounted != "" {
		return r.StatefulSet + "/" + r.Mounted
	}
	return r.StatefulSet + "/" + r.Template + "/" + strconv.Itoa(r.Ordinal)
}

// ParseClaimRecord parses a value of the annotation as String wrote it.
func ParseClaimRecord(value string) (ClaimRecord, bool) {
	parts := strings.Split(value, "/")
	if len(parts) != 2 && len(parts) != 3 {
		return ClaimRecord{}, false
	}
	for _, name := range parts[:2] {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			return ClaimRecord{}, false
		}
	}
	if len(parts) == 2 {
		return ClaimRecord{StatefulSet: parts[0], Mounted: parts[1]}, true
	}
	n, ok := parseOrdinal(parts[2])
	return ClaimRecord{StatefulSet: parts[0], Template: parts[1], Ordinal: n}, ok
}

// RecordOf returns the record of a volume, if it has one that fits its claimRef.
func RecordOf(pv *corev1.PersistentVolume) (ClaimRecord, bool) {
	r, ok := ParseClaimRecord(pv.Annotations[AnnotationClaimOf])
	return r, ok && pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.Name == r.Claim()
}

// Claim returns the name of the claim.
func (r ClaimRecord) Claim() string {
	if r.Mounted != "" {
		return r.Mounted
	}
	return r.Template + "-" + r.StatefulSet + "-" + strconv.Itoa(r.Ordinal)
}

// InRange says whether the StatefulSet wants a Pod of that ordinal.
func (c ClaimOf) InRange() bool {
	start, replicas := Ordinals(c.StatefulSet)
	return c.Ordinal >= start && c.Ordinal-start < replicas
}

// Ordinals returns the first ordinal of a StatefulSet and the number of
// ordinals. Absent fields count as their defaults.
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
	return ClaimRecord{StatefulSet: sts.Name, Template: template, Ordinal: ordinal}.Claim()
}

// ClaimsOf returns the replicas that a claim may belong to, sorted by
// StatefulSet and template. There may be several: a-b-c-0 may be from template
// a of the StatefulSet b-c, or from template a-b of c. Only existing
// StatefulSets are returned.
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

// ClaimsOfNow is [ClaimsOf] with a live lookup. If v is live already, it looks
// nothing up, and asked is false.
func ClaimsOfNow(v *View, pvc *corev1.PersistentVolumeClaim) (of []ClaimOf, asked bool, err error) {
	live := v.Live()
	if _, _, ok := cutOrdinal(pvc.Name); live == nil || !ok {
		return nil, false, nil
	}
	of, err = ClaimsOf(live, pvc)
	return of, true, err
}

// MountersOf returns the StatefulSets whose template mounts a claim by its
// name, sorted by name: its data is theirs as if they had made it.
func MountersOf(v *View, pvc *corev1.PersistentVolumeClaim) ([]*appsv1.StatefulSet, error) {
	sets, err := Find(v, StatefulSetsByMount, pvc.Namespace, pvc.Name)
	if err != nil {
		return nil, fmt.Errorf("list StatefulSets: %w", err)
	}
	slices.SortFunc(sets, func(a, b *appsv1.StatefulSet) int { return strings.Compare(a.Name, b.Name) })
	return sets, nil
}

// Mounts says whether a StatefulSet's template mounts a claim by its name.
func Mounts(sts *appsv1.StatefulSet, claim string) bool {
	return slices.Contains(ClaimsNamed(&sts.Spec.Template.Spec), claim)
}

// RecordFor returns the record of a claim: of its replica, or else of the first
// StatefulSet that mounts it by its name; and whether there is one.
func RecordFor(v *View, pvc *corev1.PersistentVolumeClaim) (ClaimRecord, bool, error) {
	of, err := ClaimsOf(v, pvc)
	if err != nil {
		return ClaimRecord{}, false, err
	}
	if len(of) > 0 {
		// Of several, the one with a Pod that its StatefulSet wants, or else
		// the first.
		return of[max(slices.IndexFunc(of, ClaimOf.InRange), 0)].Record(), true, nil
	}
	sets, err := MountersOf(v, pvc)
	if err != nil || len(sets) == 0 {
		return ClaimRecord{}, false, err
	}
	return ClaimRecord{StatefulSet: sets[0].Name, Mounted: pvc.Name}, true, nil
}

// makersOf returns the StatefulSets that may make claims with a name without
// the ordinal. Without an index it gets them by name, which is an end of base,
// if that takes less than a list of all.
func makersOf(v *View, namespace, base string) ([]*appsv1.StatefulSet, error) {
	few := strings.Count(base, "-") <= 3
	if few && v.environment.Finder != nil {
		for name := range setsNamed(base) {
			v.foresee(lookup{kind: (*appsv1.StatefulSet)(nil), namespace: namespace, name: name}, v.reads+1)
		}
	}
	if v.environment.Finder != nil || !few {
		sets, err := Find(v, StatefulSetsByClaim, namespace, base)
		if err != nil {
			return nil, fmt.Errorf("list StatefulSets: %w", err)
		}
		return sets, nil
	}
	var sets []*appsv1.StatefulSet
	for name := range setsNamed(base) {
		sts, err := Get[appsv1.StatefulSet](v, namespace, name)
		if err != nil {
			return nil, fmt.Errorf("get StatefulSet %s: %w", name, err)
		}
		if sts != nil {
			sets = append(sets, sts)
		}
	}
	return sets, nil
}

// setsNamed returns the names that a StatefulSet may have that makes claims
// with a name without the ordinal: c and b-c for a-b-c.
func setsNamed(base string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for more := true; more; {
			if _, base, more = strings.Cut(base, "-"); base != "" && !yield(base) {
				return
			}
		}
	}
}

// ClaimsAmong is [ClaimsOf] for a caller that has listed the StatefulSets of
// the namespace.
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
			// A claim that was recovered before its StatefulSet existed has no
			// labels, but a record.
			recorded := pvc.Annotations[AnnotationClaimOf] == c.Record().String()
			if base == t.Name+"-"+sts.Name && (recorded || HasMatchLabels(sts.Spec.Selector, pvc.Labels)) {
				of = append(of, c)
			}
		}
	}
	slices.SortFunc(of, func(a, b ClaimOf) int { return strings.Compare(a.Record().String(), b.Record().String()) })
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

// OrdinalOf returns the ordinal in the name of a StatefulSet's Pod, and whether
// the name is one.
func OrdinalOf(sts *appsv1.StatefulSet, pod string) (ordinal int, ok bool) {
	base, ordinal, ok := cutOrdinal(pod)
	return ordinal, ok && base == sts.Name
}

// cutOrdinal splits a-b-7 into a-b and 7. Like the StatefulSet controller, it
// accepts only ordinals in the controller's form.
func cutOrdinal(name string) (base string, ordinal int, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return "", 0, false
	}
	if ordinal, ok = parseOrdinal(name[i+1:]); !ok {
		return "", 0, false
	}
	return name[:i], ordinal, true
}

// Numbered splits the name of a Pod as the StatefulSet controller does that looks
// for Pods to adopt, where a number may begin with zeros: db-01 is db and 1. Own
// says whether the controller writes the number so. Source:
// k8s.io/kubernetes@v1.37.1 pkg/controller/statefulset/stateful_set_utils.go, getParentNameAndOrdinal.
func Numbered(pod string) (set string, ordinal int, own, ok bool) {
	i := strings.LastIndexByte(pod, '-')
	if i <= 0 || strings.Trim(pod[i+1:], "0123456789") != "" {
		return "", 0, false, false
	}
	n, err := strconv.ParseInt(pod[i+1:], 10, 32)
	if err != nil {
		return "", 0, false, false
	}
	return pod[:i], int(n), strconv.FormatInt(n, 10) == pod[i+1:], true
}

// Strays says whether a Pod has a name by which a StatefulSet adopts it, though none
// made it: nobody controls it, and it lacks the hostname that a StatefulSet gives. The
// name of the StatefulSet comes with it.
func Strays(pod *corev1.Pod) (set string, ordinal int, ok bool) {
	set, ordinal, own, ok := Numbered(pod.Name)
	if !ok || own && pod.Spec.Hostname == pod.Name || metav1.GetControllerOfNoCopy(pod) != nil {
		return "", 0, false
	}
	return set, ordinal, true
}

// parseOrdinal reads an ordinal that is written as the controller writes it.
func parseOrdinal(s string) (int, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}

// MadeByStatefulSet says whether the StatefulSet controller made a claim,
// judging by the claim alone, because the StatefulSet may be gone:
// kube-controller-manager wrote its access modes, and no Pod owns it as the
// claim of a generic ephemeral volume, which kube-controller-manager writes
// too. A denial must use [MadeByStatefulSetNow], because anybody can write that
// owner.
func MadeByStatefulSet(pvc *corev1.PersistentVolumeClaim) bool {
	return madeByController(pvc) && ephemeralOwner(pvc) == nil
}

// MadeByStatefulSetNow is [MadeByStatefulSet], but looks up the owning Pod at
// the API server. The owner counts if the Pod has such a volume and is not
// younger than the claim, or if it is gone: the garbage collector then deletes
// the claim anyway.
func MadeByStatefulSetNow(v *View, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if !madeByController(pvc) {
		return false, nil
	}
	owner := ephemeralOwner(pvc)
	if owner == nil {
		return true, nil
	}
	if live := v.Live(); live != nil {
		v = live
	}
	pod, err := Get[corev1.Pod](v, pvc.Namespace, owner.Name)
	if err != nil {
		return false, fmt.Errorf("get Pod %s: %w", owner.Name, err)
	}
	if pod == nil || pod.UID != owner.UID {
		return len(pvc.OwnerReferences) > 1, nil // the other owners may keep it
	}
	ephemeral := slices.ContainsFunc(pod.Spec.Volumes, func(vol corev1.Volume) bool {
		return vol.Ephemeral != nil && pod.Name+"-"+vol.Name == pvc.Name
	})
	return !ephemeral || pod.CreationTimestamp.After(pvc.CreationTimestamp.Time), nil
}

// madeByController says whether kube-controller-manager made a claim whose name
// ends in an ordinal.
func madeByController(pvc *corev1.PersistentVolumeClaim) bool {
	_, _, ok := cutOrdinal(pvc.Name)
	return ok && wroteAccessModes(pvc.ManagedFields)
}

// ephemeralOwner returns the Pod that controls a claim if the claim has the
// name of one of its generic ephemeral volumes, or else nil. The condemned Pod
// of a StatefulSet, which owns its claims while whenScaled is Delete, does not
// count: that of data-db-0 is db-0, and not data or data-db.
func ephemeralOwner(pvc *corev1.PersistentVolumeClaim) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(pvc)
	if owner == nil || owner.Kind != "Pod" || !strings.HasPrefix(pvc.Name, owner.Name+"-") {
		return nil
	}
	return owner
}

// GoesByItself says whether the garbage collector deletes a claim in any case:
// it has owners, and each is a Pod or a StatefulSet that the API server no
// longer has. For other owners that is not known, and it is false.
func GoesByItself(v *View, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if live := v.Live(); live != nil {
		v = live
	}
	for _, o := range pvc.OwnerReferences {
		gv, err := schema.ParseGroupVersion(o.APIVersion)
		if err != nil {
			return false, nil
		}
		var uid types.UID
		switch (schema.GroupKind{Group: gv.Group, Kind: o.Kind}) {
		case schema.GroupKind{Kind: "Pod"}:
			pod, err := Get[corev1.Pod](v, pvc.Namespace, o.Name)
			if err != nil {
				return false, fmt.Errorf("get Pod %s: %w", o.Name, err)
			}
			if pod == nil {
				continue
			}
			uid = pod.UID
		case schema.GroupKind{Group: appsv1.GroupName, Kind: "StatefulSet"}:
			sts, err := Get[appsv1.StatefulSet](v, pvc.Namespace, o.Name)
			if err != nil {
				return false, fmt.Errorf("get StatefulSet %s: %w", o.Name, err)
			}
			if sts == nil {
				continue
			}
			uid = sts.UID
		default:
			return false, nil
		}
		if uid == o.UID {
			return false, nil
		}
	}
	return len(pvc.OwnerReferences) > 0, nil
}

// Orphaned says whether a Pod with a name and hostname was left behind by the
// StatefulSet that made a claim: it has no controller any more, and the claim
// belongs to its ordinal. The caller must check whether the Pod is alive.
func Orphaned(pod *metav1.ObjectMeta, hostname string, pvc *corev1.PersistentVolumeClaim) bool {
	return metav1.GetControllerOfNoCopy(pod) == nil && MadeFor(pod, hostname, pvc)
}

// MadeFor says whether a StatefulSet made a claim for a Pod with a name and hostname.
func MadeFor(pod *metav1.ObjectMeta, hostname string, pvc *corev1.PersistentVolumeClaim) bool {
	return hostname == pod.Name && strings.HasSuffix(pvc.Name, "-"+pod.Name) && MadeByStatefulSet(pvc)
}

// wroteAccessModes says whether kube-controller-manager created a claim, and
// did not only bind it.
func wroteAccessModes(fields []metav1.ManagedFieldsEntry) bool {
	return slices.ContainsFunc(fields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == "kube-controller-manager" && e.FieldsV1 != nil &&
			strings.Contains(e.FieldsV1.GetRawString(), `"f:accessModes"`) && e.Subresource == ""
	})
}

// madeByStatefulSet returns the smallest value for which [wroteAccessModes] is
// true.
func madeByStatefulSet() []metav1.ManagedFieldsEntry {
	fields := new(metav1.FieldsV1)
	fields.SetRawString(`{"f:spec":{"f:accessModes":{}}}`)
	return []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", FieldsV1: fields}}
}

// StripManagedFields removes the managed fields of an object, but keeps for a
// claim what [MadeByStatefulSet] reads.
func StripManagedFields(obj Object) {
	pvc, ok := obj.(*corev1.PersistentVolumeClaim)
	if ok && wroteAccessModes(pvc.ManagedFields) {
		pvc.ManagedFields = madeByStatefulSet()
		return
	}
	obj.SetManagedFields(nil)
}
