package validators_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"stayput.dev/validators"
)

type pv = *corev1.PersistentVolume

type class = *storagev1.StorageClass

var _ = register(map[string]oracle{
	"volume-reclaim": gravest(
		stored(func(_ *world, v pv) validators.Level {
			return warnIf(!byProvisioner(v) && v.Spec.PersistentVolumeReclaimPolicy != "Retain" && wish(v) != "Delete")
		}),
		created(func(_ *world, v pv) validators.Level {
			return warnIf(v.DeletionTimestamp != nil && v.Spec.ClaimRef != nil && wish(v) != "Delete")
		}),
		updated(func(_ *world, old, v pv) validators.Level {
			return warnIf(old.Spec.PersistentVolumeReclaimPolicy == "Retain" &&
				v.Spec.PersistentVolumeReclaimPolicy == "Delete" && v.Spec.ClaimRef != nil && wish(v) != "Delete")
		}),
	),
	"volume-in-use": deleted(func(w *world, v pv) validators.Level {
		if v.Status.Phase != corev1.VolumeBound || v.Spec.ClaimRef == nil {
			return nothing
		}
		c := find(w.claims, v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name)
		if c == nil || !isRefTo(v.Spec.ClaimRef, c) || c.DeletionTimestamp != nil {
			return nothing
		}
		return denyIf(byProvisioner(v))
	}),
	"volume-same-disk": gravest(
		stored(func(w *world, v pv) validators.Level {
			goes := func(v pv) bool { // with its claim
				return v.Spec.PersistentVolumeReclaimPolicy == "Delete" &&
					(v.Annotations["pv.kubernetes.io/provisioned-by"] != "" || v.Spec.HostPath != nil)
			}
			succeeded := func(v pv) bool {
				over := v.DeletionTimestamp != nil || v.Status.Phase == "Released" || v.Status.Phase == "Failed"
				return over && !goes(v)
			}
			alone := func(v pv) bool {
				for _, m := range v.Spec.AccessModes {
					if m == corev1.ReadWriteOnce || m == corev1.ReadWriteOncePod {
						return true
					}
				}
				return false
			}
			for _, other := range w.volumes {
				if other.Name != v.Name && oneDisk(v, other) && !succeeded(v) && !succeeded(other) &&
					(goes(v) || goes(other) || alone(v) || alone(other)) {
					return warn
				}
			}
			return nothing
		}),
		ofAnyPod(func(w *world, o Object, pod *corev1.PodSpec) validators.Level {
			var claims []string
			s, isSet := o.(sts)
			if isSet {
				for _, t := range s.Spec.VolumeClaimTemplates {
					claims = append(claims, fmt.Sprintf("%s-%s-%d", t.Name, s.Name, firstOrdinal(s)))
				}
			}
			for _, v := range pod.Volumes {
				if v.PersistentVolumeClaim != nil && !(isSet && hasTemplate(s, v.Name)) {
					claims = append(claims, v.PersistentVolumeClaim.ClaimName)
				}
			}
			if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil }) {
				return nothing // claims are made, each with a volume of its own
			}
			slices.Sort(claims)
			var had []pv
			for _, name := range slices.Compact(claims) {
				c := find(w.claims, o.GetNamespace(), name)
				if c == nil {
					continue
				}
				v := volumeHad(w, c)
				if v == nil || v.Spec.CSI == nil {
					continue
				}
				for _, other := range had {
					if oneDisk(v, other) {
						return warn
					}
				}
				had = append(had, v)
			}
			return nothing
		}),
	),
	"volume-stale-claim": gravest(
		created(func(w *world, v pv) validators.Level {
			ref := v.Spec.ClaimRef
			if ref == nil || ref.UID == "" {
				return nothing
			}
			if c := find(w.claims, ref.Namespace, ref.Name); c != nil && c.UID == ref.UID {
				return nothing
			}
			asked := !strings.HasPrefix(w.user, "system:") // a person
			return denyIf(v.Spec.PersistentVolumeReclaimPolicy != "Retain" && asked)
		}),
		updated(func(w *world, old, v pv) validators.Level { // a uid that it did not have
			ref := v.Spec.ClaimRef
			if ref == nil || ref.UID == "" || old.Spec.ClaimRef != nil && old.Spec.ClaimRef.UID == ref.UID &&
				old.Spec.ClaimRef.Name == ref.Name && old.Spec.ClaimRef.Namespace == ref.Namespace {
				return nothing
			}
			if c := find(w.claims, ref.Namespace, ref.Name); c != nil && c.UID == ref.UID {
				return nothing
			}
			return denyIf(v.Spec.PersistentVolumeReclaimPolicy != "Retain" && !strings.HasPrefix(w.user, "system:"))
		}),
		created(func(_ *world, c pvc) validators.Level {
			_, was := c.Annotations["pv.kubernetes.io/bind-completed"]
			return warnIf(was)
		}),
	),
	"protected": func(_ *world, old, obj Object) validators.Level {
		if old == nil || old.GetLabels()["stayput.dev/protect"] != "true" {
			return nothing
		}
		s, isSet := old.(*appsv1.StatefulSet)
		switch old.(type) {
		case *appsv1.StatefulSet, pvc, pv, *corev1.Namespace:
			if obj == nil || isSet && count(s.Spec.Replicas) > 0 && count(obj.(*appsv1.StatefulSet).Spec.Replicas) == 0 {
				return deny
			}
		}
		return nothing
	},
	"finalizer-removed": gravest(
		updated(func(w *world, old, c pvc) validators.Level {
			if !lostGuard(w, old, c, "kubernetes.io/pvc-protection") {
				return nothing
			}
			for _, pod := range in(w.pods, c.Namespace) {
				over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
				if !over && naming(corev1.PodTemplateSpec{Spec: pod.Spec}, c) {
					return warn
				}
			}
			return nothing
		}),
		updated(func(w *world, old, v pv) validators.Level {
			if ref := old.Spec.ClaimRef; lostGuard(w, old, v, "kubernetes.io/pv-protection") && ref != nil &&
				old.Status.Phase == corev1.VolumeBound {
				if c := find(w.claims, ref.Namespace, ref.Name); c != nil && isRefTo(ref, c) {
					return warn
				}
			}
			return warnIf(old.Spec.PersistentVolumeReclaimPolicy != "Retain" &&
				(lostGuard(w, old, v, "external-provisioner.volume.kubernetes.io/finalizer") ||
					lostGuard(w, old, v, "kubernetes.io/pv-controller")))
		}),
	),
	"volume-host-path": created(func(w *world, v pv) validators.Level {
		return warnIf(v.Spec.HostPath != nil && v.Spec.NodeAffinity == nil && len(w.nodes) != 1)
	}),
	"storageclass-reclaim": created(func(_ *world, sc class) validators.Level {
		return warnIf(sc.ReclaimPolicy != nil && destroyer(sc)) // who leaves it out has chosen nothing
	}),
	"storageclass-in-use": deleted(func(w *world, sc class) validators.Level {
		for _, s := range w.statefulSets {
			for _, t := range s.Spec.VolumeClaimTemplates {
				its := classFor(w, &corev1.PersistentVolumeClaim{Spec: t.Spec})
				last := !otherDefault(w, sc) || t.Spec.StorageClassName != nil // or the next default makes it
				if s.DeletionTimestamp == nil && its != nil && its.Name == sc.Name && last {
					return warn
				}
			}
		}
		return nothing
	}),
	"storageclass-default": gravest(
		stored(func(w *world, sc class) validators.Level {
			for _, o := range w.classes {
				if isDefault(o) && o.Name < sc.Name { // which is told, for nobody asks for anything here
					return nothing
				}
			}
			return warnIf(isDefault(sc) && otherDefault(w, sc))
		}),
		updated(func(w *world, old, sc class) validators.Level {
			return warnIf(isDefault(old) && !isDefault(sc) && !otherDefault(w, sc))
		}),
	),
	"namespace-data": deleted(func(w *world, ns *corev1.Namespace) (level validators.Level) {
		for _, c := range in(w.claims, ns.Name) {
			v := volumeHad(w, c)
			if v != nil && v.DeletionTimestamp != nil && v.Spec.PersistentVolumeReclaimPolicy == "Retain" &&
				c.Status.Phase == corev1.ClaimBound && c.DeletionTimestamp == nil {
				level = max(level, warn) // nothing remembers the disk
			}
			if v == nil || v.Spec.PersistentVolumeReclaimPolicy == "Retain" || c.Status.Phase != corev1.ClaimBound ||
				c.DeletionTimestamp != nil || wishFor(w, v, c, ns.Name) == "Delete" {
				continue
			}
			mounted := slices.ContainsFunc(setsNaming(w, c), func(s sts) bool { return s.DeletionTimestamp == nil })
			level = max(level, denyIf(surelyOfStatefulSets(w, c) || claimRecorded(v) != "" || mounted))
		}
		return level
	}),
	"definition-data": deleted(func(w *world, d definition) validators.Level {
		for _, c := range w.claims {
			v, ns := volumeHad(w, c), find(w.namespaces, "", c.Namespace)
			going := c.DeletionTimestamp != nil || ns != nil && ns.DeletionTimestamp != nil
			if v != nil && v.Spec.PersistentVolumeReclaimPolicy != "Retain" && c.Status.Phase == corev1.ClaimBound && !going &&
				wishFor(w, v, c, c.Namespace) != "Delete" && goneWith(w, d, c) {
				return deny
			}
		}
		return nothing
	}),
	"field-fixed": gravest(
		updated(func(_ *world, old, s sts) validators.Level {
			policy := func(s sts) string {
				if s.Spec.PodManagementPolicy == "" {
					return "OrderedReady"
				}
				return string(s.Spec.PodManagementPolicy)
			}
			return hintIf(old.Spec.ServiceName != s.Spec.ServiceName || policy(old) != policy(s) ||
				!equality.Semantic.DeepEqual(old.Spec.Selector, s.Spec.Selector) ||
				!equality.Semantic.DeepEqual(old.Spec.VolumeClaimTemplates, s.Spec.VolumeClaimTemplates))
		}),
		updated(func(_ *world, old, d deployment) validators.Level {
			return hintIf(!equality.Semantic.DeepEqual(old.Spec.Selector, d.Spec.Selector))
		}),
		updated(func(_ *world, old, svc *corev1.Service) validators.Level {
			was, is := old.Spec.ClusterIP, svc.Spec.ClusterIP
			return hintIf(was != "" && is != "" && was != is && old.Spec.Type != "ExternalName" &&
				svc.Spec.Type != "ExternalName")
		}),
		updated(func(_ *world, old, sc class) validators.Level {
			reclaim := func(sc class) corev1.PersistentVolumeReclaimPolicy {
				if sc.ReclaimPolicy == nil {
					return "Delete"
				}
				return *sc.ReclaimPolicy
			}
			return hintIf(old.Provisioner != sc.Provisioner || reclaim(old) != reclaim(sc) ||
				waitsForPod(old) != waitsForPod(sc) || !reflect.DeepEqual(old.Parameters, sc.Parameters))
		}),
		updated(func(w *world, old, c pvc) validators.Level {
			was, is := old.Spec.Resources.Requests.Storage(), c.Spec.Resources.Requests.Storage()
			changed := old.Spec.StorageClassName != nil && !reflect.DeepEqual(old.Spec.StorageClassName, c.Spec.StorageClassName)
			before, after := nameIn(old.Spec.VolumeAttributesClassName), nameIn(c.Spec.VolumeAttributesClassName)
			switch {
			case before != after && w.before(34): // and a new one is dropped
				if before != "" {
					return hint
				}
			case before != after &&
				(old.Status.Phase != corev1.ClaimBound || after == "" && old.Status.CurrentVolumeAttributesClassName != nil):
				return hint
			}
			changed = changed || old.Spec.VolumeName != "" && c.Spec.VolumeName != old.Spec.VolumeName
			if changed || old.Status.Phase != corev1.ClaimBound && is.Cmp(*was) != 0 {
				return hint
			}
			if is.Cmp(*was) < 0 { // back, after an expansion that failed, but not to what there is
				return hintIf(is.Cmp(*old.Status.Capacity.Storage()) <= 0 || w.before(32))
			}
			sc := find(w.classes, "", classNamed(c))
			return hintIf(is.Cmp(*was) > 0 && (sc == nil || sc.AllowVolumeExpansion == nil || !*sc.AllowVolumeExpansion))
		}),
	),
})

func hintIf(found bool) validators.Level {
	if found {
		return hint
	}
	return nothing
}

// oneDisk says whether two volumes are of one disk.
func oneDisk(a, b pv) bool {
	if a.Spec.CSI != nil || b.Spec.CSI != nil {
		return a.Spec.CSI != nil && b.Spec.CSI != nil && a.Spec.CSI.Driver == b.Spec.CSI.Driver &&
			a.Spec.CSI.VolumeHandle == b.Spec.CSI.VolumeHandle
	}
	directory := func(v pv) string {
		if v.Spec.Local != nil {
			return v.Spec.Local.Path
		}
		return v.Spec.HostPath.Path
	}
	onOne := func(v pv) bool { // the only node to which a volume of these clusters is tied
		return v.Spec.NodeAffinity != nil &&
			v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Key == "kubernetes.io/hostname"
	}
	return directory(a) == directory(b) && onOne(a) && onOne(b)
}

// otherDefault says whether another class is the default.
func otherDefault(w *world, self class) bool {
	for _, sc := range w.classes {
		if sc.Name != self.Name && isDefault(sc) {
			return true
		}
	}
	return false
}

// lostGuard says whether a person takes a finalizer off an object that is being
// deleted.
func lostGuard(w *world, old, obj Object, finalizer string) bool {
	return !strings.HasPrefix(w.user, "system:") && old.GetDeletionTimestamp() != nil &&
		slices.Contains(old.GetFinalizers(), finalizer) && !slices.Contains(obj.GetFinalizers(), finalizer)
}

// goneWith says whether the garbage collector takes an object once there is no custom
// resource that a definition defines: some owner goes, and none stays.
func goneWith(w *world, d definition, o Object) (goes bool) {
	for _, ref := range o.GetOwnerReferences() {
		group, _, _ := strings.Cut(ref.APIVersion, "/")
		s := find(w.statefulSets, o.GetNamespace(), ref.Name)
		_, isSet := o.(sts)
		leader := find(w.pods, o.GetNamespace(), ref.Name)
		switch {
		case group == d.Spec.Group && ref.Kind == d.Spec.Names.Kind:
			goes = true
		case group == "apps" && ref.Kind == "StatefulSet":
			if s != nil && s.UID == ref.UID {
				if goes = goneWith(w, d, s); !goes {
					return false
				}
			}
		case ref.APIVersion == "v1" && ref.Kind == "Pod" && isSet:
			if leader != nil && leader.UID == ref.UID {
				if goes = goneWith(w, d, leader); !goes {
					return false
				}
			}
		default:
			return false
		}
	}
	return goes
}
