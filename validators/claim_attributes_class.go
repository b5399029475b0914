package validators

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
)

var claimAttributesClass = &Rule{
	Name:  "claim-attributes-class",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.VolumeAttributesClass{}, &storagev1.StorageClass{}, &corev1.PersistentVolume{}},
	Doc: `a claim's volumeAttributesClassName must be a class of the driver that makes its volume

A VolumeAttributesClass says with which attributes, such as IOPS, one CSI driver
makes a volume, and to which it changes one. The API server does not check the
name. If the class does not exist, or belongs to another driver than the claim's
StorageClass, no volume is made: the claim and its Pods are Pending, and the
claim cannot be changed until it is bound. If the claim is bound already, its
volume stays as it was, and only the claim's events say why.

A class that does not exist is no finding where an available volume has its
name: administrators match volumes made by hand to claims in this way.`,

	Versions: []*cluster.Feature{attributesClasses},

	Exempt: "the class is made later by something else, such as the driver's own chart",

	Checks: append([]Check{
		OnCreate(claimAttributes),
		OnUpdate(func(p *Pass, old, pvc *corev1.PersistentVolumeClaim) error {
			if sameAttributes(old.Spec.VolumeAttributesClassName, pvc.Spec.VolumeAttributesClassName) ||
				old.Status.Phase != corev1.ClaimBound {
				return nil // field-fixed
			}
			return claimAttributes(p, pvc)
		}),
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			for i := range sts.Spec.VolumeClaimTemplates {
				pvc := &sts.Spec.VolumeClaimTemplates[i]
				if ptr.Deref(pvc.Spec.VolumeAttributesClassName, "") == "" {
					continue
				}
				if err := attributesClass(p, p.firstClaim(sts, i), templatesPath.Index(i).Child("spec"), sts); err != nil {
					return err
				}
			}
			return nil
		}),
	}, onEphemeral(func(p *Pass, pvc *corev1.PersistentVolumeClaim, spec *field.Path) error {
		return attributesClass(p, pvc, spec, nil)
	})...),
}

func claimAttributes(p *Pass, pvc *corev1.PersistentVolumeClaim) error {
	return attributesClass(p, pvc, specPath, nil)
}

// A claimDriver is the CSI driver that a claim's attributes class must suit.
type claimDriver struct {
	name    string // of the CSI driver, "" where there is none or it is not known
	bound   bool
	settled bool // no driver is asked to do anything
}

// driverOf returns the driver that makes the volume of a claim, or that has
// made it. An error says which kind is not known; where manifests hold no such
// kind, it is taken as empty.
func (p *Pass) driverOf(pvc *corev1.PersistentVolumeClaim) (claimDriver, error) {
	if pvc.Spec.VolumeName != "" {
		pv, err := volumeOf(p.Cluster, pvc)
		switch {
		case err != nil || pv == nil: // claim-volume
			return claimDriver{settled: true}, err
		case sameAttributes(pv.Spec.VolumeAttributesClassName, pvc.Spec.VolumeAttributesClassName):
			return claimDriver{settled: true}, nil
		case pv.Spec.CSI == nil:
			return claimDriver{bound: true}, nil
		}
		return claimDriver{name: pv.Spec.CSI.Driver, bound: true}, nil
	}
	pvs, unknown := volumesFor(p.Cluster, pvc)
	if !p.presumed(unknown) || bestVolume(p.Cluster, pvc, pvs, false) != nil {
		return claimDriver{settled: true}, unknown // names alone are compared
	}
	_, class, _, err := classOf(p.Cluster, pvc)
	switch {
	case !p.presumed(err):
		return claimDriver{settled: true}, err
	case err != nil:
		return claimDriver{}, err
	case !provisions(class): // without a provisioner, too, only names are compared
		return claimDriver{settled: true}, unknown
	}
	return claimDriver{name: class.Provisioner}, unknown
}

// sameAttributes says whether two names of attributes classes are equal; empty
// counts as none.
func sameAttributes(a, b *string) bool { return ptr.Deref(a, "") == ptr.Deref(b, "") }

// attributesClass reports the attributes class of a claim, whose spec is at a
// path, if the class does not exist or belongs to another driver. Sts is the
// StatefulSet with the claim's template, or nil.
func attributesClass(p *Pass, pvc *corev1.PersistentVolumeClaim, spec *field.Path, sts *appsv1.StatefulSet) error {
	path, name := spec.Child("volumeAttributesClassName"), ptr.Deref(pvc.Spec.VolumeAttributesClassName, "")
	if name == "" || !p.keeps(attributesClasses) {
		return nil
	}
	driver, unknown := p.driverOf(pvc)
	if driver.settled {
		return unknown
	}
	class, err := cluster.Get[storagev1.VolumeAttributesClass](p.Cluster, "", name)
	switch {
	case errors.Is(err, cluster.ErrUnserved):
		return nil
	case err != nil:
		return fmt.Errorf("get VolumeAttributesClass %s: %w", name, err)
	case class != nil && (driver.name == "" || class.DriverName == driver.name):
		return unknown
	}
	list, err := cluster.List[storagev1.VolumeAttributesClassList](p.Cluster, cluster.Selection{})
	if err != nil {
		return fmt.Errorf("list VolumeAttributesClasses: %w", err)
	}
	var fitting []string
	for i := range list.Items {
		if driver.name == "" || list.Items[i].DriverName == driver.name {
			fitting = append(fitting, list.Items[i].Name)
		}
	}
	slices.Sort(fitting)
	cost := "claim and Pods stay Pending"
	switch {
	case driver.bound:
		cost = "the volume stays as it is"
	case pvc.Name == "":
		cost = "Pods stay Pending"
	}
	remedy := Remedy{p.attributesRemedy(pvc, fitting, driver, sts)}
	if class != nil {
		p.Report(field.Invalid(path, name, fmt.Sprintf("must be of driver %s, not %s; %s",
			driver.name, class.DriverName, cost)), remedy...)
		return unknown
	}
	if len(fitting) == 0 || !inPlace(p, pvc) && !driver.bound {
		create, other := "create VolumeAttributesClass "+name, ""
		if driver.name != "" {
			create += " with driverName: " + driver.name
		}
		if len(fitting) > 0 {
			other = ", or " + remedy[0]
		}
		remedy = Remedy{create, other}
	}
	p.Report(notFound(path, name, "must exist; "+cost), remedy...)
	return unknown
}

// inPlace says whether the attributes class of a claim can be changed in place:
// in a manifest or in a template of Pods.
func inPlace(p *Pass, pvc *corev1.PersistentVolumeClaim) bool {
	return p.Cluster.Manifests() || pvc.Name == ""
}

// attributesRemedy returns how to give a claim one of the attributes classes
// that fit: the one with the claim's name for it plus a prefix, or else the
// first.
func (p *Pass) attributesRemedy(pvc *corev1.PersistentVolumeClaim, fitting []string, driver claimDriver,
	sts *appsv1.StatefulSet) string {
	if len(fitting) == 0 {
		return "create a VolumeAttributesClass of that driver, and name it"
	}
	other := cmp.Or(renamed(*pvc.Spec.VolumeAttributesClassName, fitting), fitting[0])
	there := "(there are: " + cluster.Few(fitting) + ")"
	switch {
	case inPlace(p, pvc):
		return fmt.Sprintf("volumeAttributesClassName: %s %s", other, there)
	case driver.bound:
		return fmt.Sprintf(`kubectl patch pvc %s -n %s -p '{"spec":{"volumeAttributesClassName":"%s"}}' %s`,
			pvc.Name, pvc.Namespace, other, there)
	case sts != nil:
		return fmt.Sprintf("name another %s after kubectl delete sts %s -n %s --cascade=orphan",
			there, sts.Name, sts.Namespace)
	}
	return "make the claim anew with another " + there
}
