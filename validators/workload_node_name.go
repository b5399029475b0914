package validators

import (
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/storage/volume"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

var workloadNodeName = &Rule{
	Name:  "workload-node-name",
	Level: Warn,
	Loses: LosesTime,
	Reads: []client.Object{&corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &storagev1.StorageClass{}},
	Doc: `a Pod whose claims wait for the scheduler must not name its node

With nodeName a Pod is on its node from the beginning, and the scheduler never
sees it. But a claim whose class has volumeBindingMode: WaitForFirstConsumer is
bound, or its volume made, only when the scheduler has chosen the node of a Pod
that uses it. So the claim is Pending for ever, and the Pod in ContainerCreating.
Select the node by its label, which the scheduler honours: nodeSelector:
{kubernetes.io/hostname: <node>}.

A claim that is bound, that asks for a volume by volumeName or for which one is
reserved (claimRef) does not wait, and nothing is said.`,

	Exempt: "another Pod, which the scheduler places, is the first to use the claim",

	Checks: ofPods(func(p *Pass, obj client.Object, spec *corev1.PodSpec, at *field.Path) error {
		if spec.NodeName == "" {
			return nil
		}
		var unknown error
		for _, c := range claimsOfPods(obj, spec) {
			class, err := c.waits(p.Cluster)
			if errors.Is(err, cluster.ErrUnknown) {
				unknown = err
				continue
			}
			if err != nil {
				return err
			}
			if class == "" {
				continue
			}
			p.Report(field.Invalid(at.Child("nodeName"), spec.NodeName,
				fmt.Sprintf("must be left to the scheduler, for which class %s waits; without it %s stays Pending", class, c.what)),
				fmt.Sprintf("remove it, and set nodeSelector: {%s: %s}", corev1.LabelHostname, spec.NodeName))
			return unknown
		}
		return unknown
	}, []string{"nodeName", "volumes[*].persistentVolumeClaim", "volumes[*].ephemeral"},
		"spec.volumeClaimTemplates", "spec.replicas", "spec.ordinals"),
}

// A podsClaim is a claim that Pods use: one by name, or one that is made from a
// template.
type podsClaim struct {
	what string
	pvc  *corev1.PersistentVolumeClaim // as it is made, or with no more than its name
	made bool
	set  *appsv1.StatefulSet // of a claim template
}

// claimsOfPods returns the claims that the Pods of a workload, or a Pod, use.
func claimsOfPods(obj client.Object, spec *corev1.PodSpec) (all []podsClaim) {
	fromTemplate := map[string]bool{}
	if sts, ok := obj.(*appsv1.StatefulSet); ok {
		for i := range sts.Spec.VolumeClaimTemplates {
			t := &sts.Spec.VolumeClaimTemplates[i]
			fromTemplate[t.Name] = true
			all = append(all, podsClaim{"the claim of template " + t.Name, claimFrom(sts, t), true, sts})
		}
	}
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		switch {
		case fromTemplate[v.Name]:
		case v.PersistentVolumeClaim != nil:
			pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
				Namespace: obj.GetNamespace(), Name: v.PersistentVolumeClaim.ClaimName,
			}}
			all = append(all, podsClaim{"claim " + pvc.Name, pvc, false, nil})
		case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
			pvc := &corev1.PersistentVolumeClaim{Spec: v.Ephemeral.VolumeClaimTemplate.Spec}
			pvc.Namespace = obj.GetNamespace()
			all = append(all, podsClaim{"the claim of volume " + v.Name, pvc, true, nil})
		}
	}
	return all
}

// waits returns the class for whose scheduled Pod a claim waits, or "".
func (c podsClaim) waits(v *cluster.View) (class string, err error) {
	switch {
	case c.set != nil:
		return c.templateWaits(v)
	case c.made:
		return waitsForPod(v, c.pvc)
	}
	pvc, err := cluster.Get[corev1.PersistentVolumeClaim](v, c.pvc.Namespace, c.pvc.Name)
	if err != nil {
		return "", fmt.Errorf("get PersistentVolumeClaim %s: %w", c.pvc.Name, err)
	}
	if pvc == nil {
		return "", nil
	}
	return waitsForPod(v, pvc)
}

// templateWaits is waits of a claim template: of the claims that are there, and of
// the first that would be made.
func (c podsClaim) templateWaits(v *cluster.View) (class string, err error) {
	claims, err := replicaClaims(v, c.set)
	if err != nil && !(errors.Is(err, cluster.ErrUnknown) && v.Manifests()) {
		return "", err
	}
	all, made := ordinals(c.set), map[int]bool{}
	for _, r := range claims {
		if r.template.Name != c.pvc.Name || !all.has(r.ordinal) {
			continue
		}
		made[r.ordinal] = true
		if class, err := waitsForPod(v, r.claim); class != "" || err != nil {
			return class, err
		}
	}
	if _, sc, _, err := classOf(v, c.pvc); err != nil || !waits(sc) || c.pvc.Spec.VolumeName != "" {
		return "", err
	}
	for ordinal := all.start; ordinal < all.end(); ordinal++ { // to the first for which no volume is reserved
		if made[ordinal] {
			continue
		}
		pvc := *c.pvc
		pvc.Name = cluster.ClaimName(c.set, c.pvc.Name, ordinal)
		if class, err := waitsForPod(v, &pvc); class != "" || err != nil {
			return class, err
		}
	}
	return "", nil
}

// waitsForPod returns the class of a claim that is bound once the scheduler has
// placed a Pod, or "". Source: k8s.io/kubernetes@v1.37.1
// pkg/controller/volume/persistentvolume/pv_controller.go, syncUnboundClaim: one
// that names its volume, or for which one is reserved, does not wait.
func waitsForPod(v *cluster.View, pvc *corev1.PersistentVolumeClaim) (class string, err error) {
	if pvc.Spec.VolumeName != "" {
		return "", nil
	}
	name, sc, _, err := classOf(v, pvc)
	if err != nil || !waits(sc) {
		return "", err
	}
	if pvc.Name == "" { // of an ephemeral volume
		return name, nil
	}
	pvs, err := volumesFor(v, pvc)
	if errors.Is(err, cluster.ErrUnknown) && v.Manifests() {
		return name, nil
	}
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(pvs, func(pv *corev1.PersistentVolume) bool { return volume.IsVolumeBoundToClaim(pv, pvc) }) {
		return "", nil
	}
	return name, nil
}
