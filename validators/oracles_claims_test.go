package validators_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/validators"
)

type pvc = *corev1.PersistentVolumeClaim

var _ = register(map[string]oracle{
	"claim-class": gravest(created(classless), ephemeral(classless), updated(func(w *world, old, c pvc) validators.Level {
		if old.Spec.StorageClassName != nil || c.Spec.StorageClassName == nil {
			return nothing
		}
		return classless(w, c)
	})),
	"claim-volume": gravest(updated(func(w *world, old, c pvc) validators.Level {
		if old.Spec.VolumeName != "" || c.Spec.VolumeName == "" {
			return nothing
		}
		pv := find(w.volumes, "", c.Spec.VolumeName)
		if pv == nil || pv.Spec.ClaimRef != nil {
			return warnIf(pv == nil || !isRefTo(pv.Spec.ClaimRef, c))
		}
		class := classNamed(c)
		if sc := classFor(w, c); c.Spec.StorageClassName == nil && sc != nil {
			class = sc.Name
		}
		return warnIf(pv.DeletionTimestamp != nil || !serves(c, pv) || class != pv.Spec.StorageClassName)
	}), created(func(w *world, c pvc) validators.Level {
		// Nobody has a volume of one class who asked for another, but by a reservation.
		lies := func(pv *corev1.PersistentVolume) bool {
			return classNamed(c) != "" && pv.Spec.StorageClassName != "" && classNamed(c) != pv.Spec.StorageClassName &&
				c.Status.Phase != "Bound"
		}
		// Nor does a selector say anything about a volume that is chosen by name.
		overlooked := func(pv *corev1.PersistentVolume) bool {
			return c.Spec.Selector != nil && !matches(c.Spec.Selector, pv.Labels) && c.Status.Phase != "Bound"
		}
		if c.Spec.VolumeName == "" {
			if gets := reservedFor(w, c); gets != nil {
				return warnIf(lies(gets) || overlooked(gets))
			}
			for _, pv := range w.volumes { // never its, for attributes alone
				like := c.DeepCopy()
				like.Spec.VolumeAttributesClassName = pv.Spec.VolumeAttributesClassName
				if pv.DeletionTimestamp == nil && isRefTo(pv.Spec.ClaimRef, c) && serves(like, pv) {
					return warnIf(c.Status.Phase != "Bound")
				}
			}
			return nothing
		}
		pv := find(w.volumes, "", c.Spec.VolumeName)
		if pv == nil || pv.Spec.ClaimRef != nil {
			return warnIf(pv == nil || !isRefTo(pv.Spec.ClaimRef, c) || lies(pv) || overlooked(pv))
		}
		class := classNamed(c)
		if sc := classFor(w, c); c.Spec.StorageClassName == nil && sc != nil {
			class = sc.Name // as the API server fills in
		}
		return warnIf(pv.DeletionTimestamp != nil || !serves(c, pv) || class != pv.Spec.StorageClassName || overlooked(pv))
	})),
	"claim-oversized-volume": created(func(w *world, c pvc) validators.Level {
		asked, sc := c.Spec.Resources.Requests.Storage(), classFor(w, c)
		if c.Spec.VolumeName != "" || asked.IsZero() || dynamic(sc) {
			return nothing
		}
		best := gets(w, c, w.volumes)
		return warnIf(best != nil && best.Spec.ClaimRef == nil && best.Spec.Capacity.Storage().Value()*10 > asked.Value()*11)
	}),
	"claim-unbindable": gravest(
		created(func(w *world, c pvc) validators.Level {
			if c.Status.Phase == corev1.ClaimBound {
				return nothing
			}
			return handless(w, c)
		}),
		ephemeral(handless),
		created(func(w *world, s sts) validators.Level {
			left := slices.Clone(w.volumes)
			take := func(name string) {
				left = slices.DeleteFunc(left, func(v *corev1.PersistentVolume) bool { return v.Name == name })
			}
			var free []*corev1.PersistentVolume // where the Pods may run, or kept for somebody
			for _, t := range s.Spec.VolumeClaimTemplates {
				take(t.Spec.VolumeName)
			}
			short := map[string]bool{}
			for _, n := range ordinalsOf(s) {
				for i, t := range s.Spec.VolumeClaimTemplates {
					first, c := firstOf(s, &t), firstOf(s, &t)
					c.Name = fmt.Sprintf("%s-%s-%d", t.Name, s.Name, n)
					key := fmt.Sprint(i)
					if t.Spec.VolumeName != "" || dynamic(classFor(w, c)) || classless(w, first) == warn || short[key] {
						continue
					}
					free = nil
					for _, v := range w.volumes {
						kept := v.Spec.ClaimRef != nil
						if kept || slices.Contains(left, v) && reachable(&s.Spec.Template.Spec, v) {
							free = append(free, v)
						}
					}
					switch has := gets(w, c, free); {
					case bound(w, c):
					case has != nil:
						take(has.Name)
					default:
						short[key] = true
					}
				}
			}
			return warnIf(len(short) > 0)
		}),
	),
	"claim-reclaim": created(func(w *world, c pvc) validators.Level {
		if c.Spec.VolumeName != "" {
			pv := volumeHad(w, c)
			return warnIf(pv != nil && pv.Spec.PersistentVolumeReclaimPolicy == "Delete" && byProvisioner(pv) &&
				wish(pv, c) != "Delete")
		}
		if pv := reservedFor(w, c); pv != nil { // whose class is another's word
			return warnIf(pv.Spec.PersistentVolumeReclaimPolicy == "Delete" && byProvisioner(pv) && wish(pv, c) != "Delete")
		}
		if !destroyer(classFor(w, c)) || wish(c) != "" {
			return nothing
		}
		switch wishFor(w, nil, c, c.Namespace) {
		case "Retain":
			return nothing
		case "Delete":
			return warn
		}
		operated := slices.ContainsFunc(c.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "Cluster" })
		sets := ofStatefulSets(w, c) || len(setsNaming(w, c)) > 0
		kept := map[string]bool{"all": true, "owned": operated || sets, "statefulsets": sets}
		return warnIf(!kept[w.retain])
	}),
	"claim-in-use": deleted(func(w *world, c pvc) validators.Level {
		needed, known, operated := false, false, true
		for _, u := range usesOf(w, c) {
			if u.set.DeletionTimestamp == nil {
				known = true
				if slices.Contains(ordinalsOf(u.set), u.ordinal) {
					needed, operated = true, operated && ofOperator(u.set)
				}
			}
		}
		pv := volumeHad(w, c)
		made := surelyOfStatefulSets(w, c) || pv != nil && claimRecorded(pv) == c.Name
		destroyed := made && !collected(w, c) && pv != nil && pv.Spec.PersistentVolumeReclaimPolicy == "Delete" &&
			wishFor(w, pv, c, c.Namespace) != "Delete"
		owner := ownerOf(c)
		policys := owner != nil && (owner.Kind == "Pod" && strings.HasSuffix(c.Name, "-"+owner.Name) ||
			owner.Kind == "StatefulSet" && owner.APIVersion == "apps/v1")
		if needed {
			goes := pv != nil && (pv.Spec.PersistentVolumeReclaimPolicy != "Retain" || pv.DeletionTimestamp != nil)
			return denyIf(!operated || goes || !strings.HasPrefix(w.user, "system:serviceaccount:") ||
				strings.Contains(w.user, ":kube-system:"))
		}
		if destroyed {
			return deny
		}
		if owner != nil && !policys {
			return warn // an operator's
		}
		users := slices.DeleteFunc(setsNaming(w, c), func(s sts) bool { return s.DeletionTimestamp != nil })
		if len(users) > 0 && pv != nil {
			lost := pv.Spec.PersistentVolumeReclaimPolicy == "Delete" && wishFor(w, pv, c, c.Namespace) != "Delete"
			if lost && !collected(w, c) {
				return deny
			}
			known = known || pv.Spec.PersistentVolumeReclaimPolicy == "Retain"
		}
		for _, pod := range in(w.pods, c.Namespace) {
			for _, v := range pod.Spec.Volumes {
				if runs(pod) && v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == c.Name {
					return warn
				}
			}
		}
		if pv != nil && pv.Spec.PersistentVolumeReclaimPolicy != "Retain" && wishFor(w, pv, c, c.Namespace) != "Delete" {
			known = known || len(users) > 0
			for _, d := range in(w.deployments, c.Namespace) {
				known = known || naming(d.Spec.Template, c) && d.DeletionTimestamp == nil
			}
			for _, o := range in(w.cronJobs, c.Namespace) {
				known = known || naming(o.Spec.JobTemplate.Spec.Template, c) && o.DeletionTimestamp == nil
			}
			for _, j := range in(w.jobs, c.Namespace) {
				over := slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
					return c.Status == "True" && c.Type != batchv1.JobSuspended
				})
				owner := ownerOf(j)
				known = known || naming(j.Spec.Template, c) && j.DeletionTimestamp == nil && !over &&
					(owner == nil || owner.Kind != "CronJob")
			}
		}
		left := pv != nil && pv.DeletionTimestamp != nil && pv.Spec.PersistentVolumeReclaimPolicy == "Retain"
		return warnIf(known || left)
	}),
})

// gets returns which of some volumes a claim gets that chooses none: the scheduler takes
// the smallest, the controller of those with the fewest modes; before them what is
// reserved for the claim.
func gets(w *world, c pvc, volumes []*corev1.PersistentVolume) (best *corev1.PersistentVolume) {
	sc, named := classFor(w, c), c.DeepCopy()
	if c.Spec.StorageClassName == nil && sc != nil {
		named.Spec.StorageClassName = &sc.Name
	}
	for _, pv := range volumes {
		if !fits(named, pv) {
			continue
		}
		if best == nil {
			best = pv
			continue
		}
		fewer := len(pv.Spec.AccessModes) - len(best.Spec.AccessModes)
		if sc != nil && waitsForPod(sc) {
			fewer = 0
		}
		order := pv.Spec.Capacity.Storage().Cmp(*best.Spec.Capacity.Storage())
		reserved, smaller := pv.Spec.ClaimRef != nil, order < 0 || order == 0 && pv.Name < best.Name
		if fewer < 0 || fewer == 0 && best.Spec.ClaimRef == nil && (reserved || smaller) {
			best = pv
		}
	}
	return best
}

// handless says whether a claim that chooses no volume gets one neither by a class, of
// which others may speak, nor by hand.
func handless(w *world, c pvc) validators.Level {
	sc := classFor(w, c)
	if c.Spec.VolumeName != "" || dynamic(sc) && c.Spec.Selector == nil || classless(w, c) == warn ||
		gets(w, c, w.volumes) != nil || bound(w, c) {
		return nothing
	}
	for _, pv := range w.volumes { // of which claim-volume speaks
		like := c.DeepCopy()
		like.Spec.VolumeAttributesClassName = pv.Spec.VolumeAttributesClassName
		if pv.DeletionTimestamp == nil && isRefTo(pv.Spec.ClaimRef, c) && serves(like, pv) {
			return nothing
		}
	}
	return warn
}

// bound says whether a volume is bound to a claim of that name.
func bound(w *world, c pvc) bool {
	return slices.ContainsFunc(w.volumes, func(v *corev1.PersistentVolume) bool {
		return v.Status.Phase == corev1.VolumeBound && v.Spec.ClaimRef != nil &&
			v.Spec.ClaimRef.Namespace == c.Namespace && v.Spec.ClaimRef.Name == c.Name
	})
}

// naming says whether a Pod template mounts a claim by its name.
func naming(t corev1.PodTemplateSpec, c pvc) bool {
	return slices.ContainsFunc(t.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == c.Name
	})
}

// setsNaming returns the StatefulSets that mount a claim by its name.
func setsNaming(w *world, c pvc) (sets []sts) {
	for _, s := range in(w.statefulSets, c.Namespace) {
		if naming(s.Spec.Template, c) {
			sets = append(sets, s)
		}
	}
	return sets
}

// classless says whether a claim waits for ever for a class.
func classless(w *world, c pvc) validators.Level {
	none := c.Spec.StorageClassName != nil && *c.Spec.StorageClassName == "" // and wants none
	return warnIf(c.Spec.VolumeName == "" && !none && pendsForEver(w, c))
}

// reservedFor returns the volume that a claim gets because its claimRef says so.
func reservedFor(w *world, c pvc) (gets *corev1.PersistentVolume) {
	for _, pv := range w.volumes {
		if pv.DeletionTimestamp == nil && isRefTo(pv.Spec.ClaimRef, c) && serves(c, pv) &&
			(gets == nil || len(pv.Spec.AccessModes) < len(gets.Spec.AccessModes) ||
				len(pv.Spec.AccessModes) == len(gets.Spec.AccessModes) && pv.Name < gets.Name) {
			gets = pv
		}
	}
	return gets
}

// ofOperator says whether a controller of no group of Kubernetes' own has an object,
// or any has a StatefulSet.
func ofOperator(o Object) bool {
	owner := ownerOf(o)
	if owner == nil {
		return false
	}
	if _, ok := o.(sts); ok {
		return true
	}
	group, _, _ := strings.Cut(owner.APIVersion, "/")
	return strings.Contains(group, ".example.")
}

// claimRecorded returns the name of the claim that a volume was made for.
func claimRecorded(v *corev1.PersistentVolume) string {
	parts := strings.Split(v.Annotations["stayput.dev/claim-of"], "/")
	if len(parts) != 3 || len(parts[2]) > 1 && parts[2][0] == '0' {
		return ""
	}
	return parts[1] + "-" + parts[0] + "-" + parts[2]
}

func byProvisioner(pv *corev1.PersistentVolume) bool {
	return pv.Annotations["pv.kubernetes.io/provisioned-by"] != ""
}

// A use is that a claim is the one of a StatefulSet for an ordinal.
type use struct {
	set     sts
	ordinal int
}

// usesOf returns what a claim is for, by name and labels, or by the record that
// stayput recover makes.
func usesOf(w *world, c pvc) (all []use) {
	for _, s := range in(w.statefulSets, c.Namespace) {
		for _, t := range s.Spec.VolumeClaimTemplates {
			for n := range 100 {
				record := s.Name + "/" + t.Name + "/" + strconv.Itoa(n)
				labelled := true
				if s.Spec.Selector != nil {
					for k, v := range s.Spec.Selector.MatchLabels {
						has, ok := c.Labels[k] // an empty value is not the same as none
						labelled = labelled && ok && has == v
					}
				}
				if c.Name == t.Name+"-"+s.Name+"-"+strconv.Itoa(n) &&
					(labelled || c.Annotations["stayput.dev/claim-of"] == record) {
					all = append(all, use{s, n})
				}
			}
		}
	}
	return all
}

// ofStatefulSets says whether a StatefulSet made a claim: one that exists, or the
// managed fields say that kube-controller-manager wrote it, for no other Pod.
func ofStatefulSets(w *world, c pvc) bool {
	if len(usesOf(w, c)) > 0 {
		return true
	}
	ordinal := c.Name[strings.LastIndex("-"+c.Name, "-"):]
	if n, err := strconv.Atoi(ordinal); err != nil || strconv.Itoa(n) != ordinal || !strings.Contains(c.Name, "-") {
		return false
	}
	if o := ownerOf(c); o != nil && o.Kind == "Pod" && strings.HasPrefix(c.Name, o.Name+"-") {
		return false // a generic ephemeral volume
	}
	return wroteModes(c)
}

// surelyOfStatefulSets is ofStatefulSets, but believes no Pod that is written on
// the claim: it is there, was first, and has the volume, or it is not, and nothing
// else has the claim.
func surelyOfStatefulSets(w *world, c pvc) bool {
	alone := c.DeepCopy()
	alone.OwnerReferences = nil
	switch o := ownerOf(c); {
	case ofStatefulSets(w, c) || !ofStatefulSets(w, alone):
		return ofStatefulSets(w, c)
	default:
		pod := find(w.pods, c.Namespace, o.Name)
		if pod == nil || pod.UID != o.UID {
			return len(c.OwnerReferences) != 1
		}
		for _, v := range pod.Spec.Volumes {
			if v.Ephemeral != nil && v.Name == strings.TrimPrefix(c.Name, pod.Name+"-") {
				return c.CreationTimestamp.Time.Before(pod.CreationTimestamp.Time)
			}
		}
		return true
	}
}

// collected says whether all of the owners of a claim are gone, which the garbage
// collector waits for.
func collected(w *world, c pvc) bool {
	there := 0
	for _, o := range c.OwnerReferences {
		pod, set := find(w.pods, c.Namespace, o.Name), find(w.statefulSets, c.Namespace, o.Name)
		switch {
		case o.Kind == "Pod" && (pod == nil || pod.UID != o.UID):
		case o.Kind == "StatefulSet" && o.APIVersion == "apps/v1" && (set == nil || set.UID != o.UID):
		default:
			there++
		}
	}
	return there == 0 && len(c.OwnerReferences) > 0
}

func wroteModes(c pvc) bool {
	for _, f := range c.ManagedFields {
		if f.Manager == "kube-controller-manager" && strings.Contains(f.FieldsV1.GetRawString(), "f:accessModes") {
			return true
		}
	}
	return false
}
