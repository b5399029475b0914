package validators_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/validators"
)

var _ = register(map[string]oracle{
	"claim-attributes-class": gravest(
		created(unsuited),
		updated(func(w *world, old, c pvc) validators.Level {
			if nameIn(old.Spec.VolumeAttributesClassName) == nameIn(c.Spec.VolumeAttributesClassName) ||
				old.Status.Phase != corev1.ClaimBound { // and the API server refuses it
				return nothing
			}
			return unsuited(w, c)
		}),
		template(func(w *world, s sts, t *corev1.PersistentVolumeClaim) validators.Level {
			return unsuited(w, firstOf(s, t))
		}),
		ephemeral(unsuited),
	),
})

// unsuited says whether no driver can give a claim the attributes that it asks for.
func unsuited(w *world, c pvc) validators.Level {
	name := nameIn(c.Spec.VolumeAttributesClassName)
	if name == "" {
		return nothing
	}
	asked, known := "", false // the driver
	if c.Spec.VolumeName != "" {
		pv := volumeHad(w, c)
		if pv == nil || nameIn(pv.Spec.VolumeAttributesClassName) == name {
			return nothing
		}
		if pv.Spec.CSI != nil {
			asked, known = pv.Spec.CSI.Driver, true
		}
	} else {
		for _, pv := range w.volumes {
			if fits(c, pv) {
				return nothing
			}
		}
		sc := classFor(w, c)
		if !dynamic(sc) {
			return nothing
		}
		asked, known = sc.Provisioner, true
	}
	class := find(w.attributes, "", name)
	return warnIf(class == nil || known && class.DriverName != asked)
}

// firstOf returns the first claim that a StatefulSet makes from a template.
func firstOf(s sts, t *corev1.PersistentVolumeClaim) pvc {
	first := t.DeepCopy()
	first.Namespace, first.Name = s.Namespace, fmt.Sprintf("%s-%s-%d", t.Name, s.Name, firstOrdinal(s))
	return first
}

// ephemeral asks about the claims that are made of volumes of Pods and of templates,
// but not about Pods that some controller makes.
func ephemeral(f func(w *world, c pvc) validators.Level) oracle {
	each := func(w *world, o client.Object, spec *corev1.PodSpec) (level validators.Level) {
		for _, v := range spec.Volumes {
			if v.Ephemeral != nil {
				c := &corev1.PersistentVolumeClaim{Spec: v.Ephemeral.VolumeClaimTemplate.Spec}
				c.Namespace = o.GetNamespace()
				level = max(level, f(w, c))
			}
		}
		return level
	}
	return gravest(
		stored(func(w *world, s sts) validators.Level { return each(w, s, &s.Spec.Template.Spec) }),
		stored(func(w *world, d deployment) validators.Level { return each(w, d, &d.Spec.Template.Spec) }),
		created(func(w *world, pod *corev1.Pod) validators.Level {
			if ownerOf(pod) != nil {
				return nothing
			}
			return each(w, pod, &pod.Spec)
		}),
	)
}

// ephemeralOf are the ephemeral volumes of a workload's template.
func ephemeralOf(_ *world, o client.Object) any {
	var volumes []corev1.Volume
	switch o := o.(type) {
	case sts:
		volumes = o.Spec.Template.Spec.Volumes
	case deployment:
		volumes = o.Spec.Template.Spec.Volumes
	}
	var found []any
	for _, v := range volumes {
		if v.Ephemeral != nil {
			found = append(found, v.Name, v.Ephemeral)
		}
	}
	return found
}
