package validators_test

import (
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// What Kubernetes does, in the words of the oracles: the plainest way to say it,
// for worlds in which no ordinal is above a hundred.

func find[T Object](all []T, namespace, name string) (found T) {
	for _, o := range all {
		if o.GetNamespace() == namespace && o.GetName() == name {
			return o
		}
	}
	return found
}

// in returns what lives in a namespace.
func in[T Object](all []T, namespace string) (found []T) {
	for _, o := range all {
		if o.GetNamespace() == namespace {
			found = append(found, o)
		}
	}
	return found
}

// count is a number of replicas: 1 where nobody says.
func count(replicas *int32) int {
	if replicas == nil {
		return 1
	}
	return int(*replicas)
}

// ordinalsOf returns the ordinals of the Pods that a StatefulSet wants.
func ordinalsOf(sts *appsv1.StatefulSet) (all []int) {
	start := 0
	if sts.Spec.Ordinals != nil {
		start = int(sts.Spec.Ordinals.Start)
	}
	for i := range count(sts.Spec.Replicas) {
		all = append(all, start+i)
	}
	return all
}

// without returns the ordinals that are not among others.
func without(all, others []int) (left []int) {
	for _, n := range all {
		if !slices.Contains(others, n) {
			left = append(left, n)
		}
	}
	return left
}

// claimsFor returns the claims that exist for the given ordinals of a
// StatefulSet.
func claimsFor(w *world, sts *appsv1.StatefulSet, ordinals []int) (found []*corev1.PersistentVolumeClaim) {
	for _, t := range sts.Spec.VolumeClaimTemplates {
		for _, n := range ordinals {
			if pvc := find(w.claims, sts.Namespace, t.Name+"-"+sts.Name+"-"+strconv.Itoa(n)); pvc != nil {
				found = append(found, pvc)
			}
		}
	}
	return found
}

// upTo are the ordinals below a number.
func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func matches(sel *metav1.LabelSelector, on map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(sel) // nil matches nothing, {} everything
	return err == nil && s.Matches(labels.Set(on))
}

// selects says whether a Service has the Pods with some labels as endpoints.
func selects(svc *corev1.Service, on map[string]string) bool {
	return len(svc.Spec.Selector) > 0 && labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(on))
}

func headless(svc *corev1.Service) bool {
	return svc.Spec.Type != corev1.ServiceTypeExternalName && svc.Spec.ClusterIP == "None"
}

// classFor returns the class of a claim: the one that it names, or the default,
// the newest of several, and of those the first by name.
func classFor(w *world, pvc *corev1.PersistentVolumeClaim) *storagev1.StorageClass {
	if pvc.Spec.StorageClassName != nil {
		return find(w.classes, "", *pvc.Spec.StorageClassName)
	}
	var best *storagev1.StorageClass
	for _, sc := range w.classes {
		newer := best == nil || sc.CreationTimestamp.After(best.CreationTimestamp.Time)
		same := best != nil && sc.CreationTimestamp.Equal(&best.CreationTimestamp)
		if isDefault(sc) && (newer || same && sc.Name < best.Name) {
			best = sc
		}
	}
	return best
}

func isDefault(sc *storagev1.StorageClass) bool {
	return sc.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" ||
		sc.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
}

// dynamic says whether a class makes volumes.
func dynamic(sc *storagev1.StorageClass) bool {
	return sc != nil && sc.Provisioner != "kubernetes.io/no-provisioner"
}

// destroyer says whether it makes volumes that go with their claims.
func destroyer(sc *storagev1.StorageClass) bool {
	return dynamic(sc) && (sc.ReclaimPolicy == nil || *sc.ReclaimPolicy == corev1.PersistentVolumeReclaimDelete)
}

func waitsForPod(sc *storagev1.StorageClass) bool {
	return sc.VolumeBindingMode != nil && *sc.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// volumeHad returns the volume that a claim is bound to.
func volumeHad(w *world, pvc *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	pv := find(w.volumes, "", pvc.Spec.VolumeName)
	if pvc.Spec.VolumeName == "" || pv == nil || !isRefTo(pv.Spec.ClaimRef, pvc) {
		return nil
	}
	return pv
}

// isRefTo says whether a claimRef is about a claim; without a uid it is about
// whichever has the name.
func isRefTo(ref *corev1.ObjectReference, pvc *corev1.PersistentVolumeClaim) bool {
	return ref != nil && ref.Namespace == pvc.Namespace && ref.Name == pvc.Name && (ref.UID == "" || ref.UID == pvc.UID)
}

// wish returns what the nearest reclaim-policy annotation of some objects says.
func wish(of ...Object) string {
	for _, o := range of {
		if p := o.GetAnnotations()["stayput.dev/reclaim-policy"]; p == "Retain" || p == "Delete" {
			return p
		}
	}
	return ""
}

// wishFor is the wish of a volume, a claim, and the Namespace of it; each may be
// missing.
func wishFor(w *world, pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim, namespace string) string {
	var of []Object
	if pv != nil {
		of = append(of, pv)
	}
	if pvc != nil {
		of = append(of, pvc)
	}
	if ns := find(w.namespaces, "", namespace); ns != nil {
		of = append(of, ns)
	}
	return wish(of...)
}

// fitsOne says whether modes let only one node mount a volume.
func fitsOne(modes []corev1.PersistentVolumeAccessMode) bool {
	for _, m := range modes {
		if m != corev1.ReadWriteOnce && m != corev1.ReadWriteOncePod {
			return false
		}
	}
	return len(modes) > 0
}

// allContainers are those of a Pod, init containers too.
func allContainers(s *corev1.PodSpec) []corev1.Container {
	return slices.Concat(s.InitContainers, s.Containers)
}

// written says whether a Pod may write a volume: a container mounts it so.
func written(s *corev1.PodSpec, volume string) bool {
	for _, c := range allContainers(s) {
		for _, m := range c.VolumeMounts {
			if m.Name == volume && !m.ReadOnly {
				return true
			}
		}
		for _, d := range c.VolumeDevices {
			if d.Name == volume {
				return true
			}
		}
	}
	return false
}

// mounted says whether a container mounts a volume, or has it as a device.
func mounted(s *corev1.PodSpec, volume string) bool {
	for _, c := range allContainers(s) {
		for _, m := range c.VolumeMounts {
			if m.Name == volume {
				return true
			}
		}
		for _, d := range c.VolumeDevices {
			if d.Name == volume {
				return true
			}
		}
	}
	return false
}

func runs(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// templatesBeside returns the labels of the templates of all workloads in a
// namespace but one, with how many replicas each has.
func templatesBeside(w *world, self Object) (found []map[string]string, replicas []int) {
	for _, s := range in(w.statefulSets, self.GetNamespace()) {
		if _, same := self.(*appsv1.StatefulSet); s.DeletionTimestamp == nil && (!same || s.Name != self.GetName()) {
			found, replicas = append(found, s.Spec.Template.Labels), append(replicas, count(s.Spec.Replicas))
		}
	}
	for _, d := range in(w.deployments, self.GetNamespace()) {
		if _, same := self.(*appsv1.Deployment); d.DeletionTimestamp == nil && (!same || d.Name != self.GetName()) {
			found, replicas = append(found, d.Spec.Template.Labels), append(replicas, count(d.Spec.Replicas))
		}
	}
	return found, replicas
}

func ownerOf(o Object) *metav1.OwnerReference { return metav1.GetControllerOfNoCopy(o) }
