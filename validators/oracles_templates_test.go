package validators_test

import (
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/validators"
)

var _ = register(map[string]oracle{
	"claim-template-unmounted": template(func(_ *world, s sts, t *corev1.PersistentVolumeClaim) validators.Level {
		return warnIf(!mounted(&s.Spec.Template.Spec, t.Name))
	}),
	"claim-template-duplicate": created(func(_ *world, s sts) validators.Level {
		for i, t := range s.Spec.VolumeClaimTemplates {
			for _, other := range s.Spec.VolumeClaimTemplates[:i] {
				if other.Name == t.Name {
					return deny
				}
			}
		}
		return nothing
	}),
	"claim-template-shadows-volume": stored(func(w *world, s sts) validators.Level {
		for _, v := range s.Spec.Template.Spec.Volumes {
			claim := v.PersistentVolumeClaim
			if hasTemplate(s, v.Name) && (claim == nil || find(w.claims, s.Namespace, claim.ClaimName) != nil) {
				return warn
			}
		}
		return nothing
	}),
	"claim-template-pinned": template(func(w *world, s sts, t *corev1.PersistentVolumeClaim) validators.Level {
		if t.Spec.VolumeName != "" {
			if count(s.Spec.Replicas) > 1 {
				return deny
			}
			return nothing
		}
		return warnIf(t.Spec.Selector != nil && dynamic(classFor(w, t)))
	}),
	"claim-template-storage": template(func(w *world, _ sts, t *corev1.PersistentVolumeClaim) validators.Level {
		switch {
		case !t.Spec.Resources.Requests.Storage().IsZero() && len(t.Spec.AccessModes) > 0:
			return nothing
		case w.before(34): // the API server takes it
			return deny
		}
		return hint
	}),
	"claim-template-class": template(func(w *world, s sts, t *corev1.PersistentVolumeClaim) validators.Level {
		return classless(w, firstOf(s, t))
	}),
	"claim-template-reclaim": template(func(w *world, s sts, t *corev1.PersistentVolumeClaim) validators.Level {
		if !destroyer(classFor(w, t)) || wish(t) != "" {
			return nothing
		}
		switch wishFor(w, nil, t, s.Namespace) {
		case "Retain":
			return nothing
		case "Delete":
			return warn
		}
		return warnIf(w.retain == "off")
	}),
	"claim-template-access-mode": template(func(_ *world, _ sts, t *corev1.PersistentVolumeClaim) validators.Level {
		onlyRead := len(t.Spec.AccessModes) > 0
		for _, m := range t.Spec.AccessModes {
			if m == corev1.ReadWriteMany {
				return warn
			}
			onlyRead = onlyRead && m == corev1.ReadOnlyMany
		}
		return warnIf(onlyRead && t.Spec.DataSource == nil && t.Spec.DataSourceRef == nil)
	}),
	"claim-template-expandable": template(func(w *world, _ sts, t *corev1.PersistentVolumeClaim) validators.Level {
		sc := classFor(w, t)
		return warnIf(dynamic(sc) && (sc.AllowVolumeExpansion == nil || !*sc.AllowVolumeExpansion))
	}),
	"claim-template-binding": template(func(w *world, s sts, t *corev1.PersistentVolumeClaim) validators.Level {
		sc := classFor(w, t)
		return warnIf(dynamic(sc) && !waitsForPod(sc) && choosy(&s.Spec.Template.Spec))
	}),
})

// template asks about each claim template of a StatefulSet that is created.
func template(f func(w *world, s sts, t *corev1.PersistentVolumeClaim) validators.Level) oracle {
	return created(func(w *world, s sts) (level validators.Level) {
		for i := range s.Spec.VolumeClaimTemplates {
			level = max(level, f(w, s, &s.Spec.VolumeClaimTemplates[i]))
		}
		return level
	})
}

// choosy says whether Pods want particular zones or nodes, or different ones.
func choosy(pod *corev1.PodSpec) bool {
	place := func(key string) bool { return key == "topology.kubernetes.io/zone" }
	for key := range pod.NodeSelector {
		if place(key) {
			return true
		}
	}
	if len(pod.TopologySpreadConstraints) > 0 {
		return true
	}
	if pod.Affinity == nil {
		return false
	}
	if n := pod.Affinity.NodeAffinity; n != nil && n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range n.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, e := range term.MatchExpressions {
				if place(e.Key) {
					return true
				}
			}
		}
	}
	return pod.Affinity.PodAntiAffinity != nil
}

// pendsForEver says whether a claim without a volumeName will find neither a
// class nor a volume.
func pendsForEver(w *world, pvc *corev1.PersistentVolumeClaim) bool {
	if classFor(w, pvc) != nil {
		return false
	}
	if name := pvc.Spec.StorageClassName; name != nil && *name != "" {
		for _, pv := range w.volumes {
			if pv.Spec.StorageClassName == *name { // a class in name only
				return false
			}
		}
	}
	for _, pv := range w.volumes { // and one that is kept for the claim is of any class
		its := pv.Status.Phase == "Bound" && pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.Namespace == pvc.Namespace &&
			pv.Spec.ClaimRef.Name == pvc.Name
		if its || fits(pvc, pv) {
			return false
		}
	}
	return true
}

// fits says whether the volume controller may bind a claim to a volume.
func fits(pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	free := pv.Spec.ClaimRef == nil && (pv.Status.Phase == "" || pv.Status.Phase == "Pending" ||
		pv.Status.Phase == "Available")
	if !free && !isRefTo(pv.Spec.ClaimRef, pvc) || pv.DeletionTimestamp != nil {
		return false
	}
	return serves(pvc, pv) && (isRefTo(pv.Spec.ClaimRef, pvc) || classNamed(pvc) == pv.Spec.StorageClassName &&
		(pvc.Spec.Selector == nil || matches(pvc.Spec.Selector, pv.Labels)))
}

func classNamed(pvc *corev1.PersistentVolumeClaim) string {
	if pvc.Spec.StorageClassName == nil {
		return ""
	}
	return *pvc.Spec.StorageClassName
}

// serves says whether a volume is as large as a claim wants it, and can be
// mounted as it wants.
func serves(pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	block := func(mode *corev1.PersistentVolumeMode) bool {
		return mode != nil && *mode == corev1.PersistentVolumeBlock
	}
	for _, want := range pvc.Spec.AccessModes {
		has := false
		for _, m := range pv.Spec.AccessModes {
			has = has || m == want
		}
		if !has {
			return false
		}
	}
	return pv.Spec.Capacity.Storage().Cmp(*pvc.Spec.Resources.Requests.Storage()) >= 0 &&
		block(pvc.Spec.VolumeMode) == block(pv.Spec.VolumeMode) &&
		nameIn(pvc.Spec.VolumeAttributesClassName) == nameIn(pv.Spec.VolumeAttributesClassName)
}

// nameIn is the name in a field that may be left out.
func nameIn(name *string) string {
	if name == nil {
		return ""
	}
	return *name
}
