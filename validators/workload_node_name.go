package validators

import (
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var workloadNodeName = &Rule{
	Name:  "workload-node-name",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &storagev1.StorageClass{}},
	Doc: `a Pod whose claims wait for the scheduler must not name its node

A Pod with nodeName is assigned to its node at once, without the scheduler. But
a claim whose class has volumeBindingMode: WaitForFirstConsumer waits until the
scheduler has chosen the node of a Pod that uses it. So the claim is Pending for
ever, and the Pod stays in ContainerCreating. Select the node by its label
instead, and the scheduler assigns the Pod to it: nodeSelector:
{kubernetes.io/hostname: <node>}.

A claim that is bound, that asks for a volume by volumeName or for which one is
reserved (claimRef) does not wait, and the rule ignores it.`,

	Exempt: "another Pod, which the scheduler places, is the first to use the claim",

	Checks: ofPods(func(p *Pass, obj cluster.Object, spec *corev1.PodSpec, at *field.Path) error {
		if spec.NodeName == "" {
			return nil
		}
		var unknown error
		for _, c := range podClaims(obj, spec) {
			class, err := classAwaiting(p.Cluster, obj, c)
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
			p.ReportFix(field.Invalid(at.Child("nodeName"), spec.NodeName,
				fmt.Sprintf("must be left to the scheduler, for which class %s waits; without it %s stays Pending", class,
					c.claimName())),
				removing("", at.Child("nodeName")).set(at.Child("nodeSelector").Key(corev1.LabelHostname), spec.NodeName, 2))
			return unknown
		}
		return unknown
	}, []string{"nodeName", "volumes[*].persistentVolumeClaim", "volumes[*].ephemeral"},
		"spec.volumeClaimTemplates", "spec.replicas", "spec.ordinals"),
}

// claimName names a claim in a sentence.
func (c podClaim) claimName() string {
	switch c.by {
	case aTemplate:
		return "the claim of template " + c.volume
	case anEphemeral:
		return "the claim of volume " + c.volume
	}
	return "claim " + c.claim
}

// classAwaiting returns the class for whose scheduled Pod a claim waits, or "".
func classAwaiting(v *cluster.View, obj cluster.Object, c podClaim) (class string, err error) {
	if sts, ok := obj.(*appsv1.StatefulSet); ok && c.by == aTemplate {
		return templateAwaiting(v, sts, c.template)
	}
	pvc, err := c.object(v, obj.GetNamespace())
	if err != nil || pvc == nil {
		return "", err
	}
	return waitsForPod(v, pvc)
}

// templateAwaiting is classAwaiting for a claim template: for the claims that are
// there, and the first that would be made.
func templateAwaiting(v *cluster.View, sts *appsv1.StatefulSet, t *corev1.PersistentVolumeClaim) (string, error) {
	claims, err := replicaClaims(v, sts)
	if err != nil && !(errors.Is(err, cluster.ErrUnknown) && v.Manifests()) {
		return "", err
	}
	all, made := ordinals(sts), map[int]bool{}
	for _, r := range claims {
		if r.template.Name != t.Name || !all.has(r.ordinal) {
			continue
		}
		made[r.ordinal] = true
		if class, err := waitsForPod(v, r.claim); class != "" || err != nil {
			return class, err
		}
	}
	if _, sc, _, err := classOf(v, t); err != nil || !waits(sc) || t.Spec.VolumeName != "" {
		return "", err
	}
	for ordinal := all.start; ordinal < all.end(); ordinal++ { // to the first for which no volume is reserved
		if made[ordinal] {
			continue
		}
		if class, err := waitsForPod(v, claimAt(sts, t, ordinal)); class != "" || err != nil {
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
	if slices.ContainsFunc(pvs, func(pv *corev1.PersistentVolume) bool { return cluster.Reserves(pv, pvc) }) {
		return "", nil
	}
	return name, nil
}
