package validators

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
)

var claimVolume = &Rule{
	Name:  "claim-volume",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&corev1.PersistentVolume{}, &storagev1.StorageClass{}, &corev1.Pod{}},
	Doc: `a claim that names a volume must be able to have it

A claim with a volumeName gets that volume or none. It is Pending for as long as
the volume does not exist, is smaller than what the claim asks for, has another
class, attributes class, volume mode or access modes, or belongs to another
claim. A Released volume still belongs to its old claim, with the data, until
its claimRef is removed. Where a default class exists, a claim for a volume
without a class must say storageClassName: "".

If a volume's claimRef names the claim, the two are bound, whatever class each
has, with volumeName or without. The claim may then say a fast class and have a
slow disk, for good. Kubernetes also ignores the selector of the claim, as it
does for a volume that volumeName names. If the attributes classes differ,
though, the two are bound only where claimRef and volumeName name each other;
otherwise the claim waits, or its StorageClass provisions a new, empty volume.

A Pending claim may be given a volumeName later, but only once. If that is wrong,
only a new claim mends it; the old one has no data.`,

	Versions: []*cluster.Feature{attributesClasses},

	Exempt: "the volume is changed or given free before the claim is needed",

	Checks: []Check{OnUpdate(volumeNamed).Of("spec.volumeName"), OnCreate(func(p *Pass,
		pvc *corev1.PersistentVolumeClaim) error {
		if pvc.Spec.VolumeName == "" {
			return p.reservedElse(pvc)
		}
		path := field.NewPath("spec", "volumeName")
		pv, err := cluster.Get[corev1.PersistentVolume](p.Cluster, "", pvc.Spec.VolumeName)
		if err != nil {
			return fmt.Errorf("get PersistentVolume %s: %w", pvc.Spec.VolumeName, err)
		}
		if pv == nil {
			p.Report(notFound(path, pvc.Spec.VolumeName,
				"must exist; the claim stays Pending until it does, and so does every Pod that mounts it"),
				"create the PersistentVolume", ", or choose one that is Available"+p.Mend("", ": kubectl get pv"))
			return nil
		}
		if reservedFor(pv, pvc) { // the controller checks nothing else
			p.otherClass(pvc, pv)
			p.otherSelector(pvc, pv, "is reserved for the claim")
			return nil
		}
		class, _, _, err := classOf(p.Cluster, pvc)
		if err != nil {
			return err
		}
		if why, remedy, _ := p.misfit(pv, pvc, class); why != "" {
			p.Report(field.Invalid(path, pv.Name,
				fmt.Sprintf("must fit the claim, and %s; claim and Pods stay Pending", why)), remedy...)
			return nil
		}
		p.otherSelector(pvc, pv, "the claim names")
		return nil
	})},
}

// volumeNamed reports a wrong volume that a claim is given after it was made.
func volumeNamed(p *Pass, old, pvc *corev1.PersistentVolumeClaim) error {
	if old.Spec.VolumeName != "" || pvc.Spec.VolumeName == "" {
		return nil // field-fixed
	}
	path := specPath.Child("volumeName")
	pv, err := cluster.Get[corev1.PersistentVolume](p.Cluster, "", pvc.Spec.VolumeName)
	if err != nil {
		return fmt.Errorf("get PersistentVolume %s: %w", pvc.Spec.VolumeName, err)
	}
	found, remedy, with := notFound(path, pvc.Spec.VolumeName, "must exist"), Remedy{"create the PersistentVolume"}, ""
	if pv != nil {
		class, _, _, err := classOf(p.Cluster, pvc)
		if err != nil || reservedFor(pv, pvc) {
			return err
		}
		why := ""
		if why, remedy, with = p.misfit(pv, pvc, class); why == "" {
			return nil
		}
		found = field.Invalid(path, pv.Name, "must fit the claim, and "+why)
	}
	found.Detail += "; claim and Pods stay Pending, and the name is final"
	nothing, err := holdsNothing(p.Cluster, old)
	switch {
	case err != nil:
		return err
	case pv != nil && claimGone(pv):
		p.Report(found, remedy...)
		return nil
	case pv == nil && !nothing:
		p.Report(found, remedy...)
		return nil
	case !nothing:
		p.Report(found, "make another claim"+with)
		return nil
	case pv == nil:
		p.Report(found, remedy[0], ", or "+remade(pvc)+" with another")
	default:
		p.Report(found, remade(pvc)+with)
	}
	p.Recreates("choose another volume: kubectl get pv")
	return nil
}

// reservedElse reports two cases: a volume is reserved for the claim and bound
// to it although its class or labels differ; or it is not bound to it because
// its attributes class differs.
func (p *Pass) reservedElse(pvc *corev1.PersistentVolumeClaim) error {
	if pvc.Status.Phase == corev1.ClaimBound {
		return nil
	}
	reserved, err := reservedVolumes(p.Cluster, pvc)
	if err != nil || len(reserved) == 0 {
		return err
	}
	if pv := bestVolume(p.Cluster, pvc, reserved, false); pv != nil {
		p.otherClass(pvc, pv)
		p.otherSelector(pvc, pv, "is reserved for the claim")
		return nil
	}
	if pv := attributesApart(p.Cluster, pvc, reserved); pv != nil {
		is := ptr.Deref(pv.Spec.VolumeAttributesClassName, "")
		p.Report(field.Invalid(specPath.Child("volumeAttributesClassName"),
			ptr.Deref(pvc.Spec.VolumeAttributesClassName, ""),
			fmt.Sprintf("must be %q, as that of volume %s, which is reserved for the claim and would never be bound to it",
				is, pv.Name)),
			p.attributesOf(pv))
	}
	return nil
}

// attributesApart returns the volume that is reserved for a claim and would be bound
// to it if its attributes class did not differ, or nil.
func attributesApart(v *cluster.View, pvc *corev1.PersistentVolumeClaim, reserved []*corev1.PersistentVolume,
) *corev1.PersistentVolume {
	anyAttributes := *pvc
	for _, pv := range reserved {
		anyAttributes.Spec.VolumeAttributesClassName = pv.Spec.VolumeAttributesClassName
		if bestVolume(v, &anyAttributes, []*corev1.PersistentVolume{pv}, false) != nil {
			return pv
		}
	}
	return nil
}

// reservedVolumes returns the volumes with a claimRef to the claim.
func reservedVolumes(v *cluster.View, pvc *corev1.PersistentVolumeClaim) ([]*corev1.PersistentVolume, error) {
	pvs, err := volumesFor(v, pvc)
	if err != nil {
		return nil, err
	}
	var reserved []*corev1.PersistentVolume
	for _, pv := range pvs {
		if pv.Spec.ClaimRef != nil {
			reserved = append(reserved, pv)
		}
	}
	return reserved, nil
}

// attributesOf returns the remedy that gives a claim the attributes class of a
// volume. Before Kubernetes 1.34 a claim may be unable to have one.
func (p *Pass) attributesOf(pv *corev1.PersistentVolume) string {
	switch name := ptr.Deref(pv.Spec.VolumeAttributesClassName, ""); {
	case name == "":
		return "leave volumeAttributesClassName out"
	case p.has(attributesClasses).Unlikely():
		return "choose a volume without volumeAttributesClassName" + p.Mend("", ": kubectl get pv")
	default:
		return fmt.Sprintf("volumeAttributesClassName: %s in the claim", name)
	}
}

// otherSelector reports a selector that does not match the volume which the
// claim will be bound to anyway.
func (p *Pass) otherSelector(pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, why string) {
	if pvc.Status.Phase == corev1.ClaimBound || selectorMatches(pvc, pv) {
		return
	}
	p.Report(field.Invalid(specPath.Child("selector"), short(formatSelector(pvc.Spec.Selector)),
		fmt.Sprintf("must match volume %s, which %s; it is bound all the same, and the selector is not looked at",
			pv.Name, why)),
		"remove the selector")
}

// selectorMatches says whether a claim's selector, if it has one, matches a volume.
func selectorMatches(pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	if pvc.Spec.Selector == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(pvc.Spec.Selector)
	return err != nil || selector.Matches(labels.Set(pv.Labels)) // the API server refuses a malformed one
}

// otherClass reports a claim that names a class and is bound to a volume of
// another class. A volume without a class was made by hand, for any claim.
func (p *Pass) otherClass(pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
	is, says := cluster.VolumeClass(pv), cluster.ClaimClass(pvc)
	if is == "" || says == "" || is == says || pvc.Status.Phase == corev1.ClaimBound {
		return
	}
	p.Report(field.Invalid(field.NewPath("spec", "storageClassName"), says,
		fmt.Sprintf("must be %s, the class of volume %s, which is reserved for the claim; it is bound all the same, and "+
			"the disk is of that class", is, pv.Name)),
		fmt.Sprintf("storageClassName: %q in the claim", is))
}

// reservedFor says whether a volume's claimRef names the claim. Manifests have
// no uid to tell a claim from an earlier one of the same name.
func reservedFor(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	ref := pv.Spec.ClaimRef
	return ref != nil && (cluster.Reserves(pv, pvc) ||
		pvc.UID == "" && ref.Namespace == pvc.Namespace && ref.Name == pvc.Name && pv.Status.Phase != corev1.VolumeReleased)
}

// misfit says why a volume that is not yet bound to a claim cannot be, what to do,
// and with what the claim would have to be made anew. It repeats the controller's
// checks (checkVolumeSatisfyClaim).
func (p *Pass) misfit(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim, class string,
) (why string, remedy Remedy, with string) {
	in := func(why, value string) (string, Remedy, string) {
		return why, Remedy{value + " in the claim"}, " with " + value
	}
	size, asked := pv.Spec.Capacity.Storage(), pvc.Spec.Resources.Requests.Storage()
	const another = " with another volumeName"
	switch {
	case pv.DeletionTimestamp != nil:
		return "this one is being deleted", Remedy{"choose another" + p.Mend("", ": kubectl get pv")}, another
	case claimGone(pv):
		return "this one still belongs to a claim that is gone",
			Remedy{"to pass on its data: " + p.Mend("remove claimRef from PersistentVolume "+pv.Name,
				fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"claimRef":null}}'`, pv.Name))}, another
	case pv.Spec.ClaimRef != nil:
		return fmt.Sprintf("this one belongs to claim %s/%s", pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name),
			Remedy{"choose one that is Available" + p.Mend("", ": kubectl get pv")}, another
	case size.Cmp(*asked) < 0:
		value := fmt.Sprintf("resources: {requests: {storage: %s}}", size)
		return fmt.Sprintf("this one has %s of the %s asked for", size, asked), Remedy{value, ", or a larger volume"},
			" with " + value
	case cluster.VolumeClass(pv) != class:
		is := cluster.VolumeClass(pv)
		return in(fmt.Sprintf("its class is %q, not %q", is, class), fmt.Sprintf("storageClassName: %q", is))
	case !attributesFit(p.Cluster, pvc, pv):
		return fmt.Sprintf("its volumeAttributesClassName is %q, not %q", ptr.Deref(pv.Spec.VolumeAttributesClassName, ""),
			ptr.Deref(pvc.Spec.VolumeAttributesClassName, "")), Remedy{p.attributesOf(pv)}, another
	case !cluster.VolumeModeFits(pv, pvc):
		return in("its volumeMode is another", fmt.Sprintf("volumeMode: %s", volumeMode(pv)))
	case !cluster.AccessModesFit(pv, pvc):
		return in("it does not have all access modes asked for", fmt.Sprintf("accessModes: [%s]",
			joinModes(pv.Spec.AccessModes)))
	}
	return "", nil, ""
}

func volumeMode(pv *corev1.PersistentVolume) corev1.PersistentVolumeMode {
	if pv.Spec.VolumeMode == nil {
		return corev1.PersistentVolumeFilesystem
	}
	return *pv.Spec.VolumeMode
}

func joinModes(modes []corev1.PersistentVolumeAccessMode) string {
	var names []string
	for _, m := range modes {
		names = append(names, string(m))
	}
	return strings.Join(names, ", ")
}
