package validators_test

import (
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"

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
	"claim-data-source": gravest(
		created(sourceless),
		template(func(w *world, s sts, t *corev1.PersistentVolumeClaim) validators.Level {
			return sourceless(w, firstOf(s, t))
		}),
		ephemeral(sourceless),
	),
	"volume-claim-name": created(func(w *world, v pv) validators.Level {
		ref := v.Spec.ClaimRef
		if ref == nil || ref.UID != "" || find(w.claims, ref.Namespace, ref.Name) != nil {
			return nothing
		}
		like, claims := map[string]bool{}, map[string]bool{}
		for _, s := range in(w.statefulSets, ref.Namespace) {
			for _, t := range s.Spec.VolumeClaimTemplates {
				of := regexp.MustCompile("^" + regexp.QuoteMeta(t.Name) + "-(.+)-([0-9]+)$").FindStringSubmatch(ref.Name)
				switch {
				case of == nil:
				case of[1] == s.Name:
					return nothing // it is yet to be made
				case differByAffixes(of[1], s.Name):
					like[t.Name+"-"+s.Name+"-"+of[2]] = true
				}
			}
		}
		number := regexp.MustCompile("-[0-9]+$")
		for _, c := range in(w.claims, ref.Namespace) {
			if c.Spec.VolumeName == "" && number.FindString(c.Name) == number.FindString(ref.Name) &&
				differByAffixes(c.Name, ref.Name) {
				claims[c.Name] = true
			}
		}
		return warnIf(len(like) == 1 || len(claims) == 1)
	}),
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

// sourceless says whether a claim is to be filled from one that does not exist.
func sourceless(w *world, c pvc) validators.Level {
	from := c.Spec.DataSource
	if from == nil || from.Kind != "PersistentVolumeClaim" || c.Spec.VolumeName != "" {
		return nothing
	}
	for _, pv := range w.volumes {
		if fits(c, pv) { // which is bound as it is
			return nothing
		}
	}
	return warnIf(find(w.claims, c.Namespace, from.Name) == nil)
}

// differByAffixes says whether one of two names is the other with more before or behind
// it, divided by a dash or a dot.
func differByAffixes(a, b string) bool {
	within := func(a, b string) bool {
		return a != b && regexp.MustCompile(`(^|[-.])`+regexp.QuoteMeta(a)+`($|[-.])`).MatchString(b)
	}
	return within(a, b) || within(b, a)
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
	each := func(w *world, o Object, spec *corev1.PodSpec) (level validators.Level) {
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
func ephemeralOf(_ *world, o Object) any {
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
