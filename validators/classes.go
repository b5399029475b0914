package validators

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

// classOf returns the name of the class that a claim gets and the class itself,
// nil if it does not exist. A claim that names no class gets the default one
// (named is false); a claim that names the class "" gets none (named is true).
func classOf(v *cluster.View, pvc *corev1.PersistentVolumeClaim) (name string, class *storagev1.StorageClass,
	named bool, err error) {
	if !cluster.NamesClass(pvc) {
		classes, err := listClasses(v)
		if err != nil {
			return "", nil, false, err
		}
		if class := defaultClass(classes); class != nil {
			return class.Name, class, false, nil
		}
		return "", nil, false, nil
	}
	name = cluster.ClaimClass(pvc)
	if name == "" {
		return "", nil, true, nil
	}
	class, err = cluster.Get[storagev1.StorageClass](v, "", name)
	if err != nil {
		return "", nil, true, fmt.Errorf("get StorageClass %s: %w", name, err)
	}
	return name, class, true, nil
}

func listClasses(v *cluster.View) ([]storagev1.StorageClass, error) {
	list, err := cluster.List[storagev1.StorageClassList](v, cluster.Selection{})
	if err != nil {
		return nil, fmt.Errorf("list StorageClasses: %w", err)
	}
	return list.Items, nil
}

// defaultClass returns the class of claims that name none, or nil. Of several
// the newest wins, and of those the first by name, as in the API server's
// DefaultStorageClass admission.
func defaultClass(classes []storagev1.StorageClass) *storagev1.StorageClass {
	var found *storagev1.StorageClass
	for i := range classes {
		sc := &classes[i]
		if !isDefault(sc) {
			continue
		}
		if found == nil || found.CreationTimestamp.Before(&sc.CreationTimestamp) ||
			found.CreationTimestamp.Equal(&sc.CreationTimestamp) && sc.Name < found.Name {
			found = sc
		}
	}
	return found
}

// betaDefaultClass is the older name of [cluster.AnnotationDefaultClass], which
// the API server still honours.
const betaDefaultClass = "storageclass.beta.kubernetes.io/is-default-class"

func isDefault(sc *storagev1.StorageClass) bool {
	return sc.Annotations[cluster.AnnotationDefaultClass] == "true" || sc.Annotations[betaDefaultClass] == "true"
}

// provisions says whether a class, which may be nil, makes volumes.
func provisions(sc *storagev1.StorageClass) bool {
	return sc != nil && sc.Provisioner != cluster.NoProvisioner
}

// deletes says whether a class destroys the volumes that it made when their
// claims are deleted, which is its default.
func deletes(sc *storagev1.StorageClass) bool {
	return sc.ReclaimPolicy == nil || *sc.ReclaimPolicy == corev1.PersistentVolumeReclaimDelete
}

// waits says whether a class lets the scheduler choose the volume once the node
// is known.
func waits(sc *storagev1.StorageClass) bool {
	return sc != nil && sc.VolumeBindingMode != nil && *sc.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// offered lists the classes that exist for a message, the best for data first.
func offered(classes []storagev1.StorageClass) string {
	if len(classes) == 0 {
		return "the cluster has none"
	}
	var names []string
	for _, sc := range slices.SortedFunc(slices.Values(classes), better) {
		names = append(names, sc.Name)
	}
	return "there are: " + cluster.Few(names)
}

// A classless says why a claim has no class that makes a volume for it.
type classless struct {
	kind    classlessKind
	name    string                   // the class that does not exist
	classes []storagev1.StorageClass // those that exist
}

type classlessKind int

const (
	noClass   classlessKind = iota // the class it names does not exist
	noDefault                      // it names none, and there is no default class
)

// missingClass returns why a claim will get no volume for want of a class: its
// class does not exist and no volume names it, or there is no default class and
// no volume without a class fits. Else it returns nil.
func missingClass(v *cluster.View, pvc *corev1.PersistentVolumeClaim) (*classless, error) {
	name, class, named, err := classOf(v, pvc)
	if err != nil || class != nil || named && name == "" { // and wants none
		return nil, err
	}
	missing := &classless{name: name}
	if name != "" {
		// The name may stand for no class at all but mark volumes made by hand.
		pvs, err := cluster.Find(v, cluster.VolumesByClaim, "", cluster.OfClass(name))
		if err != nil {
			return nil, fmt.Errorf("list PersistentVolumes: %w", err)
		}
		if len(pvs) > 0 {
			return nil, nil
		}
	}
	// A volume reserved for a claim is bound to it, regardless of both classes.
	pvs, err := volumesFor(v, pvc)
	if err != nil {
		return nil, err
	}
	if bestVolume(v, pvc, pvs, false) != nil ||
		slices.ContainsFunc(pvs, func(pv *corev1.PersistentVolume) bool { return hasVolume(pvc, pv) }) {
		return nil, nil
	}
	if name == "" {
		missing.kind = noDefault
	}
	missing.classes, err = listClasses(v)
	return missing, err
}

// hasVolume says whether a volume is bound to the claim of that name.
func hasVolume(pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	ref := pv.Spec.ClaimRef
	return ref != nil && ref.Namespace == pvc.Namespace && ref.Name == pvc.Name && pv.Status.Phase == corev1.VolumeBound
}

// first returns the name of the class to suggest, or "": the best for data, and
// among equals the first by name.
func (c *classless) first() string {
	if len(c.classes) == 0 {
		return ""
	}
	return slices.MinFunc(c.classes, better).Name
}

// better sorts the class that is better for data first.
func better(a, b storagev1.StorageClass) int {
	return cmp.Or(cmp.Compare(wants(&a), wants(&b)), strings.Compare(a.Name, b.Name))
}

// wants counts how many properties that are good for data a class lacks:
// volumes outlive their claims, can be expanded, and are made where their Pods
// can run.
func wants(sc *storagev1.StorageClass) (n int) {
	if deletes(sc) {
		n += 4
	}
	if sc.AllowVolumeExpansion == nil || !*sc.AllowVolumeExpansion {
		n += 2
	}
	if !waits(sc) {
		n++
	}
	return n
}

// named returns the class to write into a manifest.
func (c *classless) named() string {
	if name := c.first(); name != "" {
		return fmt.Sprintf("storageClassName: %s (%s)", name, offered(c.classes))
	}
	return "storageClassName: <class>, one that the cluster has"
}

// notFound is field.NotFound with a detail.
func notFound(path *field.Path, value any, detail string) *field.Error {
	err := field.NotFound(path, value)
	err.Detail = detail
	return err
}
