package validators

import (
	"cmp"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"stayput.dev/cluster"
)

var claimDataSource = &Rule{
	Name:  "claim-data-source",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}},
	Doc: `a claim that is filled from another must name one that exists

If dataSource or dataSourceRef names a PersistentVolumeClaim, the driver fills
the new volume with a copy of that claim's volume. While no claim of that name
exists in the same namespace, no volume is made: the claim and its Pods are
Pending, and a data source cannot be changed. Tools that rename claims, such as
kustomize with a namePrefix, do not change these references; the remedy then
gives the new name.

Other sources, such as VolumeSnapshots, are custom resources, and the rule does
not look for them.`,

	Versions: []*cluster.Feature{attributesClasses},

	Exempt: "the claim that is copied is made later by something else",

	Checks: append([]Check{
		OnCreate(func(p *Pass, pvc *corev1.PersistentVolumeClaim) error { return dataSource(p, pvc, specPath) }),
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			for i := range sts.Spec.VolumeClaimTemplates {
				pvc := &sts.Spec.VolumeClaimTemplates[i]
				if _, from := sourceClaim(&pvc.Spec); from == nil {
					continue
				}
				if err := dataSource(p, p.firstClaim(sts, i), templatesPath.Index(i).Child("spec")); err != nil {
					return err
				}
			}
			return nil
		}),
	}, onEphemeral(dataSource)...),
}

// sourceClaim returns the claim that a claim is to be filled from, and the name of the
// field that says so, or nil. The API server writes what the one field says into the
// other.
func sourceClaim(spec *corev1.PersistentVolumeClaimSpec) (name string, from *corev1.TypedObjectReference) {
	const kind = "PersistentVolumeClaim"
	if s := spec.DataSource; s != nil && s.Kind == kind && ptr.Deref(s.APIGroup, "") == "" {
		return "dataSource", &corev1.TypedObjectReference{Kind: kind, Name: s.Name}
	}
	if s := spec.DataSourceRef; s != nil && s.Kind == kind && ptr.Deref(s.APIGroup, "") == "" {
		return "dataSourceRef", s
	}
	return "", nil
}

// dataSource reports the claim that another, whose spec has a path, is to be filled from
// if there is none.
func dataSource(p *Pass, pvc *corev1.PersistentVolumeClaim, spec *field.Path) error {
	name, from := sourceClaim(&pvc.Spec)
	if from == nil || pvc.Spec.VolumeName != "" {
		return nil
	}
	namespace := cmp.Or(ptr.Deref(from.Namespace, ""), pvc.Namespace)
	found, err := cluster.Get[corev1.PersistentVolumeClaim](p.Cluster, namespace, from.Name)
	if err != nil {
		return fmt.Errorf("get PersistentVolumeClaim %s: %w", from.Name, err)
	}
	if found != nil {
		return nil
	}
	pvs, unknown := volumesFor(p.Cluster, pvc)
	if !p.presumed(unknown) || bestVolume(p.Cluster, pvc, pvs, false) != nil {
		return unknown // a volume that is there is bound as it is
	}
	list, err := cluster.List[corev1.PersistentVolumeClaimList](p.Cluster, cluster.InNamespace(namespace))
	if err != nil {
		return fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	remedy := "create PersistentVolumeClaim " + from.Name + " first"
	if other := affixedOf(from.Name, names); other != "" {
		remedy = fmt.Sprintf("%s: {kind: PersistentVolumeClaim, name: %s}", name, other)
	}
	p.Report(notFound(spec.Child(name, "name"), from.Name, "must exist to be copied; claim and Pods stay Pending"), remedy)
	return unknown
}
