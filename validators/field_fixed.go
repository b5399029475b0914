package validators

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
)

var (
	expansionRecovers = &cluster.Feature{
		With: "a size that could not be had may sink again, to above the capacity", Without: "no size may sink",
		Gate: "RecoverVolumeExpansionFailure", Gated: cluster.Version{Minor: 23}, Locked: cluster.Version{Minor: 34},
		On: []cluster.Span{{From: cluster.Version{Minor: 32}}},
	}
	fixedFieldsNamed = &cluster.Feature{
		With:    "the API server's own refusal names the field of a StatefulSet",
		Without: "it lists those that can be changed; what Stayput says is the same",
		On:      []cluster.Span{{From: cluster.Version{Minor: 37}}},
	}
)

var fieldFixed = &Rule{
	Name:  "field-fixed",
	Level: Hint,
	Loses: LosesTime,
	Reads: []cluster.Object{&storagev1.StorageClass{}, &corev1.PersistentVolume{}, &corev1.Pod{}},
	Doc: `a field that cannot change must be changed by its recipe

Kubernetes refuses to change some fields, and does not say what to do instead:
the volumeClaimTemplates, serviceName, podManagementPolicy and selector of a
StatefulSet; the selector of a Deployment; the clusterIP of a Service; the
provisioner, parameters and reclaimPolicy of a StorageClass; the class and the
volume of a claim, once it has one, a smaller size, and a larger one where the
class does not allow expansion. Stayput adds a recipe to the refusal. A claim that
is Pending and that nothing uses has no data: it is deleted and applied again.

A StatefulSet can be replaced while its Pods run: kubectl delete statefulset
<name> --cascade=orphan leaves Pods and claims alone, and the StatefulSet that
is applied next adopts them, as a Deployment adopts its ReplicaSets. It adopts
what its selector matches: where that asks for more than before, the Pods, or the
ReplicaSets, are given the labels before it is applied, and a rollout replaces the
Pods as at any change of the template. The file must say how many replicas run,
also where an autoscaler decides: without replicas there will be one.

Claims that exist do not change with their template. Expand each claim with
kubectl patch pvc <name> -p
'{"spec":{"resources":{"requests":{"storage":"20Gi"}}}}'; no claim can shrink.
Change the attributes class of each bound claim with kubectl patch pvc <name> -p
'{"spec":{"volumeAttributesClassName":"gold"}}'; it can never be removed again.
An update may keep a fault that the object always had, while the creation of the
same object is denied: Stayput then says what to correct first, and gives the
recipe only when that is done. kubectl create --dry-run=server -f <file> shows
the same while the old object still exists. A StorageClass can be deleted and
applied again without any effect on the volumes that it made.`,

	Versions: []*cluster.Feature{attributesClasses, expansionRecovers, fixedFieldsNamed},

	Exempt: "never: the API server refuses the change whatever Stayput says; an exemption only silences the recipe",

	Checks: []Check{
		OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
			statefulSetFixed(p, old, sts)
			return nil
		}),
		OnUpdate(func(p *Pass, old, d *appsv1.Deployment) error {
			p.selectorFixed(&selecting{old, "deploy", "rs", old.Spec.Selector, old.Spec.Template.Labels},
				&selecting{d, "deploy", "rs", d.Spec.Selector, d.Spec.Template.Labels})
			return nil
		}).Of("spec.selector"),
		OnUpdate(func(p *Pass, old, svc *corev1.Service) error {
			was, is := old.Spec.ClusterIP, svc.Spec.ClusterIP
			if is == "" || is == was || alias(old, nil) || alias(svc, nil) {
				return nil // the API server fills in the old one
			}
			p.ReportRecreating(field.Invalid(field.NewPath("spec", "clusterIP"), is,
				"cannot be changed; the Service keeps what it has"),
				fmt.Sprintf("kubectl delete service %s -n %s && %s; in between its name and its clients' connections are gone",
					svc.Name, svc.Namespace, applyAgain), "leave clusterIP out")
			return nil
		}),
		OnUpdate(storageClassFixed),
		OnUpdate(claimFixed),
	},
}

func storageClassFixed(p *Pass, old, sc *storagev1.StorageClass) error {
	remedy := fmt.Sprintf("kubectl delete storageclass %s && %s; in between new claims of it wait", sc.Name, applyAgain)
	fixed := func(path *field.Path, was, is string) {
		if was != is {
			p.ReportRecreating(field.Invalid(path, short(is), "cannot be changed; volumes keep theirs"), remedy, keepAs(was))
		}
	}
	fixed(field.NewPath("provisioner"), old.Provisioner, sc.Provisioner)
	all := maps.Clone(old.Parameters)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, sc.Parameters)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		fixed(field.NewPath("parameters").Key(k), old.Parameters[k], sc.Parameters[k])
	}
	policy := func(sc *storagev1.StorageClass) string {
		return string(ptr.Deref(sc.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete))
	}
	mode := func(sc *storagev1.StorageClass) string {
		return string(ptr.Deref(sc.VolumeBindingMode, storagev1.VolumeBindingImmediate))
	}
	fixed(field.NewPath("volumeBindingMode"), mode(old), mode(sc))
	remedy += `; volumes: kubectl patch pv <name> -p '{"spec":{"persistentVolumeReclaimPolicy":"` + policy(sc) + `"}}'`
	fixed(field.NewPath("reclaimPolicy"), policy(old), policy(sc))
	return nil
}

func claimFixed(p *Pass, old, pvc *corev1.PersistentVolumeClaim) error {
	spec := specPath
	was, is := ptr.Deref(old.Spec.StorageClassName, ""), ptr.Deref(pvc.Spec.StorageClassName, "")
	if old.Spec.StorageClassName != nil && (was != is || pvc.Spec.StorageClassName == nil) {
		return claimKeeps(p, old, field.Invalid(spec.Child("storageClassName"), is, "a volume stays in its class"),
			fmt.Sprintf("storageClassName: %q", was), "class")
	}
	if was, is := old.Spec.VolumeName, pvc.Spec.VolumeName; was != "" && was != is {
		return claimKeeps(p, old, field.Invalid(spec.Child("volumeName"), is, "a claim keeps its volume"),
			"volumeName: "+was, "volume")
	}
	if err := attributesOfClaimFixed(p, old, pvc); err != nil {
		return err
	}
	before, after := old.Spec.Resources.Requests[corev1.ResourceStorage],
		pvc.Spec.Resources.Requests[corev1.ResourceStorage]
	path := spec.Child("resources", "requests").Key(string(corev1.ResourceStorage))
	switch order := after.Cmp(before); {
	case order == 0:
		return nil
	case old.Status.Phase != corev1.ClaimBound:
		return claimWaits(p, old, field.Invalid(path, after.String(), ""), fmt.Sprintf("write storage: %s again", &before))
	case order < 0:
		// After a failed expansion a size may be reduced, but not to the
		// capacity.
		recovers := p.has(expansionRecovers)
		if capacity := old.Status.Capacity[corev1.ResourceStorage]; after.Cmp(capacity) <= 0 || recovers.Unlikely() {
			what, other := "cannot shrink; a volume only ever grows", "; for a smaller volume copy the data to another claim"
			if before.Cmp(capacity) > 0 && !capacity.IsZero() && !recovers.Unlikely() {
				what = fmt.Sprintf("cannot be %s, what the volume has, or less; anything above it is accepted", &capacity)
				other = "; or anything above " + capacity.String()
			}
			p.Report(field.Invalid(path, after.String(), what), fmt.Sprintf("write storage: %s again", &before), other)
		}
		return nil
	}
	class := cluster.ClaimClass(pvc)
	if class == "" {
		p.Report(field.Invalid(path, after.String(), "cannot grow; the volume is of no class, so nothing can make it larger"),
			"copy the data to a claim of a class that allows expansion")
		return nil
	}
	sc, err := cluster.Get[storagev1.StorageClass](p.Cluster, "", class)
	switch {
	case err != nil:
		return fmt.Errorf("get StorageClass %s: %w", class, err)
	case sc == nil:
		p.Report(field.Invalid(path, after.String(), "cannot grow; its StorageClass "+class+" does not exist"),
			fmt.Sprintf("create StorageClass %s with allowVolumeExpansion: true, then apply the claim again", class))
	case !ptr.Deref(sc.AllowVolumeExpansion, false):
		p.Report(field.Invalid(path, after.String(), "cannot grow; its StorageClass "+class+" does not allow expansion"),
			fmt.Sprintf(`if %s can, kubectl patch storageclass %s -p '{"allowVolumeExpansion":true}', and again`, sc.Provisioner,
				class))
	}
	return nil
}

// claimKeeps reports a field of a claim that is final, as it was. One that is not
// bound has no data that could be copied.
func claimKeeps(p *Pass, old *corev1.PersistentVolumeClaim, found *field.Error, was, what string) error {
	keep := "write " + was + " again"
	if old.Status.Phase != corev1.ClaimPending {
		found.Detail = "cannot be changed; " + found.Detail
		p.Report(found, keep+"; for another "+what+" copy the data to another claim")
		return nil
	}
	nothing, err := holdsNothing(p.Cluster, old)
	if err != nil {
		return err
	}
	if !nothing {
		found.Detail = "cannot be changed, though the claim is not bound"
		p.Report(found, keep+"; for another "+what+" make another claim")
		return nil
	}
	found.Detail = "cannot be changed; the claim holds no data yet"
	p.ReportRecreating(found, remade(old), keep)
	return nil
}

// claimWaits reports a field of a claim that can be changed once the claim is
// bound.
func claimWaits(p *Pass, old *corev1.PersistentVolumeClaim, found *field.Error, keep string) error {
	nothing, err := holdsNothing(p.Cluster, old)
	if err != nil {
		return err
	}
	found.Detail = "cannot be changed before the claim is bound"
	remedy := keep + ", and change it once the claim is bound"
	if nothing {
		found.Detail += "; it holds no data yet"
		remedy = remade(old)
	}
	p.ReportBrief(found, remedy, keep)
	if nothing {
		p.Recreates(keep)
	}
	return nil
}

// attributesOfClaimFixed reports a changed attributes class of a claim that is
// not bound, or a class that was removed although the volume has one.
func attributesOfClaimFixed(p *Pass, old, pvc *corev1.PersistentVolumeClaim) error {
	was, is := ptr.Deref(old.Spec.VolumeAttributesClassName, ""), ptr.Deref(pvc.Spec.VolumeAttributesClassName, "")
	path := specPath.Child("volumeAttributesClassName")
	keep := fmt.Sprintf("write volumeAttributesClassName: %s again", was)
	if was == "" {
		keep = "leave volumeAttributesClassName out"
	}
	switch {
	case was == is, was == "" && !p.keeps(attributesClasses): // what is new is dropped
	case p.has(attributesClasses).Unlikely():
		p.Report(field.Forbidden(path, "cannot be changed before Kubernetes 1.34"), keep)
	case old.Status.Phase != corev1.ClaimBound:
		return claimWaits(p, old, field.Invalid(path, is, ""), keep)
	case is == "" && old.Status.CurrentVolumeAttributesClassName != nil:
		p.Report(field.Forbidden(path, "cannot be taken out; the volume keeps the class it has"), keep)
	}
	return nil
}
