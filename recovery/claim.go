package recovery

import (
	"context"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

// template returns the StatefulSet and the template from which a volume's claim
// would be made, if they exist.
func (r *Recovery) template(ctx context.Context, v Volume) (*appsv1.StatefulSet, *corev1.PersistentVolumeClaim, error) {
	list, err := cluster.List[appsv1.StatefulSetList](r.view(ctx), cluster.InNamespace(v.Namespace))
	if err != nil {
		return nil, nil, fmt.Errorf("list StatefulSets: %w", err)
	}
	for i := range list.Items {
		sts := &list.Items[i]
		for j := range sts.Spec.VolumeClaimTemplates {
			t := &sts.Spec.VolumeClaimTemplates[j]
			if v.StatefulSet != "" && (sts.Name != v.StatefulSet || t.Name != v.Template) {
				continue
			}
			if n, ok := ordinalOf(v.Claim, t.Name+"-"+sts.Name+"-"); ok && v.Claim == cluster.ClaimName(sts, t.Name, n) {
				return sts, t, nil
			}
		}
	}
	return nil, nil, nil
}

// liveOwner returns the name of the StatefulSet whose claim a volume had, if it
// exists: it makes such a claim, or mounts it by its name.
func (r *Recovery) liveOwner(ctx context.Context, v Volume) (string, error) {
	sts, _, err := r.template(ctx, v)
	if err != nil {
		return "", err
	}
	if sts != nil {
		return sts.Name, nil
	}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: v.Namespace, Name: v.Claim}}
	sets, err := cluster.MountersOf(r.view(ctx), claim)
	if err != nil || len(sets) == 0 {
		return "", err
	}
	return sets[0].Name, nil
}

func ordinalOf(claim, prefix string) (n int, ok bool) {
	_, err := fmt.Sscanf(claim, prefix+"%d", &n)
	return n, err == nil
}

// misfit returns how a volume differs from what its StatefulSet's template asks
// for.
func misfit(v Volume, sts *appsv1.StatefulSet, t *corev1.PersistentVolumeClaim) error {
	size, asked := v.Spec.Capacity.Storage(), t.Spec.Resources.Requests.Storage()
	var what string
	switch {
	case size.Cmp(*asked) < 0:
		what = fmt.Sprintf("volume %s has %s, and the template asks for %s", v.Name, size, asked)
	case t.Spec.StorageClassName != nil && *t.Spec.StorageClassName != cluster.VolumeClass(v.PersistentVolume):
		what = fmt.Sprintf("volume %s is of class %q, and the template of %q", v.Name,
			cluster.VolumeClass(v.PersistentVolume), *t.Spec.StorageClassName)
	case !cluster.VolumeModeFits(v.PersistentVolume, t):
		what = fmt.Sprintf("volume %s has another volumeMode than the template", v.Name)
	case !cluster.AccessModesFit(v.PersistentVolume, t):
		what = fmt.Sprintf("volume %s does not have all access modes of the template", v.Name)
	default:
		return nil
	}
	return fmt.Errorf("%s %s of StatefulSet %s; kubectl delete statefulset %s -n %s --cascade=orphan, or apply one "+
		"whose template fits, and run again",
		what, t.Name, sts.Name, sts.Name, sts.Namespace)
}

// claimFor returns the claim that a volume is given back to. Its spec asks for
// this volume. If the StatefulSet exists, the claim gets what the controller
// would give it; if not, it gets only the record.
func claimFor(v Volume, sts *appsv1.StatefulSet, t *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	class := cluster.VolumeClass(v.PersistentVolume)
	pvc := &corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{Namespace: v.Namespace, Name: v.Claim},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: slices.Clone(v.Spec.AccessModes), StorageClassName: &class, VolumeMode: v.Spec.VolumeMode,
			VolumeName:                v.Name,
			VolumeAttributesClassName: v.Spec.VolumeAttributesClassName,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: *v.Spec.Capacity.Storage()},
			},
		},
	}
	if t != nil {
		pvc.Labels, pvc.Annotations = maps.Clone(t.Labels), maps.Clone(t.Annotations)
		for key, value := range selected(sts) {
			metav1.SetMetaDataLabel(&pvc.ObjectMeta, key, value)
		}
	}
	if v.StatefulSet != "" {
		metav1.SetMetaDataAnnotation(&pvc.ObjectMeta, cluster.AnnotationClaimOf, v.Annotations[cluster.AnnotationClaimOf])
	}
	return pvc
}

func selected(sts *appsv1.StatefulSet) map[string]string {
	if sts.Spec.Selector == nil {
		return nil
	}
	return sts.Spec.Selector.MatchLabels
}
