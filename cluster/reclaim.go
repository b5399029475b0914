package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Retain says which volumes are retained when no annotation decides.
type Retain string

const (
	RetainStatefulSets Retain = "statefulsets" // those of claims that a StatefulSet made or mounts by name
	RetainOwned        Retain = "owned"        // also those of claims that a custom resource owns
	RetainAll          Retain = "all"          // all that were provisioned for a claim
	RetainOff          Retain = "off"          // none
)

// A Reclaim is the reclaim policy that is wanted for a volume, and who decided.
type Reclaim struct {
	// Policy is Retain, Delete, or empty if nothing is wanted.
	Policy corev1.PersistentVolumeReclaimPolicy

	// From says who decided.
	From Decider
}

// A Decider says who decided a reclaim policy, as in [AnnotationReclaimSet].
type Decider string

const (
	FromVolume        Decider = "volume"    // by annotation, as the next two
	FromClaim         Decider = "claim"     // or its template
	FromNamespace     Decider = "namespace" // of the claim
	FromConfiguration Decider = "configuration"
)

// String returns the decider for use in a sentence.
func (d Decider) String() string { return "the " + string(d) }

// Mark returns the value of [AnnotationReclaimSet] that records the policy.
func (r Reclaim) Mark() string { return string(r.Policy) + "/" + string(r.From) }

// ParseMark parses a value of [AnnotationReclaimSet] as Mark wrote it.
func ParseMark(value string) (Reclaim, bool) {
	policy, who, _ := strings.Cut(value, "/")
	r := Reclaim{corev1.PersistentVolumeReclaimPolicy(policy), Decider(who)}
	known := r.Policy == corev1.PersistentVolumeReclaimRetain || r.Policy == corev1.PersistentVolumeReclaimDelete
	return r, known && slices.Contains([]Decider{FromVolume, FromClaim, FromNamespace, FromConfiguration}, r.From)
}

// Own says whether an annotation of the volume or its claim decided.
func (r Reclaim) Own() bool { return r.From == FromVolume || r.From == FromClaim }

// ReclaimByAnnotation returns the policy of the nearest annotation: the
// volume's, the claim's (which the StatefulSet controller copies from its
// template), or the Namespace's. Volume and claim may be nil. Invalid values
// count as absent, because the rule stayput-annotation refuses them when they
// are written.
func ReclaimByAnnotation(v *View, pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) (Reclaim, error) {
	if pv != nil {
		if r, ok := annotated(pv.Annotations, FromVolume); ok {
			return r, nil
		}
	}
	if pvc == nil {
		return Reclaim{}, nil
	}
	if r, ok := annotated(pvc.Annotations, FromClaim); ok {
		return r, nil
	}
	ns, err := Get[corev1.Namespace](v, "", pvc.Namespace)
	if err != nil {
		return Reclaim{}, fmt.Errorf("get Namespace %s: %w", pvc.Namespace, err)
	}
	if ns != nil {
		if r, ok := annotated(ns.Annotations, FromNamespace); ok {
			return r, nil
		}
	}
	return Reclaim{}, nil
}

// WantedReclaim returns the reclaim policy that a volume of a claim should
// have: by annotation, or else by the configuration. If a kind is not known, it
// returns what is wanted if it is empty, together with the error, which is
// [ErrUnknown].
func WantedReclaim(v *View, pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) (Reclaim, error) {
	r, unknown := ReclaimByAnnotation(v, pv, pvc)
	if Failed(unknown) != nil || r.Policy != "" {
		return r, unknown
	}
	retained := Reclaim{corev1.PersistentVolumeReclaimRetain, FromConfiguration}
	switch v.Retain() {
	case RetainAll:
		return retained, unknown
	case RetainOff:
		return Reclaim{}, unknown
	}
	if pv != nil && pv.Annotations[AnnotationClaimOf] != "" {
		return retained, unknown
	}
	if pvc == nil {
		return Reclaim{}, unknown
	}
	if v.Retain() == RetainOwned && ForeignOwner(pvc) != nil {
		return retained, unknown
	}
	used, err := usedByStatefulSet(v, pvc)
	if Failed(err) != nil {
		return Reclaim{}, err
	}
	if used {
		return retained, cmp.Or(unknown, err)
	}
	return Reclaim{}, cmp.Or(unknown, err)
}

// usedByStatefulSet says whether a StatefulSet made a claim or mounts it by its
// name. If a kind is not known, it takes it as empty and returns the error, too.
func usedByStatefulSet(v *View, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	of, unknown := ClaimsOf(v, pvc)
	if Failed(unknown) != nil || len(of) > 0 || MadeByStatefulSet(pvc) {
		return true, unknown
	}
	mounters, err := MountersOf(v, pvc)
	return len(mounters) > 0, cmp.Or(Failed(err), unknown, err)
}

// Stale says whether a volume's claimRef has the uid of a claim that does not
// exist: such a volume becomes Released as soon as it is created, and is
// reclaimed by its policy. It asks the API server before it returns true,
// because the claim may be newer than the cache. A uid in a manifest is of no
// use: a claim that is applied again gets a new one.
func Stale(v *View, pv *corev1.PersistentVolume) (bool, error) {
	ref := pv.Spec.ClaimRef
	if ref == nil || ref.UID == "" {
		return false, nil
	}
	for _, view := range []*View{v, v.Live()} {
		if view == nil {
			break
		}
		pvc, err := Get[corev1.PersistentVolumeClaim](view, ref.Namespace, ref.Name)
		if err != nil {
			return false, fmt.Errorf("get PersistentVolumeClaim %s/%s: %w", ref.Namespace, ref.Name, err)
		}
		if pvc != nil && pvc.UID == ref.UID {
			return false, nil
		}
	}
	return true, nil
}

func annotated(annotations map[string]string, from Decider) (Reclaim, bool) {
	switch p := corev1.PersistentVolumeReclaimPolicy(annotations[AnnotationReclaim]); p {
	case corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete:
		return Reclaim{p, from}, true
	}
	return Reclaim{}, false
}
