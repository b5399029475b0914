package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetSharedClaim = &Rule{
	Name:  "statefulset-shared-claim",
	Level: Deny,
	Loses: LosesData,
	Runs:  severalMount,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `the replicas of a StatefulSet must not share one claim

A claim in the Pod template is one volume for all replicas. If it is
ReadWriteOnce, replicas on the same node write over each other's files, and
those on other nodes wait for ever for a volume that is attached elsewhere; if
it is ReadWriteOncePod, only one of them ever starts. Move the volume to
volumeClaimTemplates, and every replica gets a claim of its own, which it keeps
on whatever node it runs. The new claims start empty, and the data stays in the
shared claim: copy it before the Pods use the new claims. A volume that many
nodes may mount, one that is only read, and a claim that does not exist yet only
cause a warning, because the author may want to share them. The rule is silent
where the claim is ReadWriteMany and every mount has a subPathExpr with the
Pod's own name or ordinal, so that each replica has its own directory.`,

	Exempt: "the replicas lock their files, or each writes to paths that no other does",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		replicas := replicasOf(sts.Spec.Replicas)
		if replicas <= 1 {
			return nil
		}
		spec := &sts.Spec.Template.Spec
		volumes, err := sharedClaims(p.Cluster, sts, spec)
		if err != nil {
			return err
		}
		for _, v := range volumes {
			if v.pvc != nil && slices.Contains(v.pvc.Spec.AccessModes, corev1.ReadWriteMany) && directoryEach(spec, v.volume) {
				continue
			}
			path := podSpecPath.Child("volumes").Index(v.index).Child("persistentVolumeClaim", "claimName")
			remedy := ownClaims(v.volume, sizeOr(v.pvc, "10Gi"))
			switch {
			case v.pvc == nil || !exclusive(v.pvc.Spec.AccessModes):
				p.Warn(field.Invalid(path, v.claim,
					fmt.Sprintf("must be made for sharing; all %d replicas use the same files, none its own", replicas)), remedy)
			case !v.writable:
				p.Warn(field.Invalid(path, v.claim, fmt.Sprintf("cannot serve %d replicas; %s: the others wait for ever", replicas,
					v.pvc.Spec.AccessModes[0])), remedy)
			case onePod(v.pvc.Spec.AccessModes):
				p.Report(field.Invalid(path, v.claim,
					fmt.Sprintf("cannot serve %d replicas; ReadWriteOncePod: only one of them ever starts", replicas)), remedy)
			default:
				p.Report(field.Invalid(path, v.claim,
					fmt.Sprintf("cannot serve %d replicas; ReadWriteOnce: they overwrite files or wait for ever", replicas)), remedy)
			}
			p.Briefly(ownClaimsBriefly)
		}
		return nil
	}).Of(
		"spec.replicas", "spec.volumeClaimTemplates", "spec.template.spec.volumes[*].persistentVolumeClaim",
		"spec.template.spec.containers[*].volumeMounts", "spec.template.spec.initContainers[*].volumeMounts",
		"spec.template.spec.containers[*].volumeDevices", "spec.template.spec.initContainers[*].volumeDevices",
	)},
}

// sizeOr returns the size that a claim requests, or example.
func sizeOr(pvc *corev1.PersistentVolumeClaim, example string) string {
	if pvc == nil || pvc.Spec.Resources.Requests.Storage().IsZero() {
		return example
	}
	return pvc.Spec.Resources.Requests.Storage().String()
}

// directoryEach says whether a volume is mounted, and each mount is of a
// directory that no two Pods of a StatefulSet share.
func directoryEach(spec *corev1.PodSpec, volume string) bool {
	mounted := false
	for _, c := range containers(spec) {
		for _, m := range c.item.VolumeMounts {
			if m.Name != volume {
				continue
			}
			mounted = true
			if !slices.ContainsFunc(c.item.Env, func(e corev1.EnvVar) bool {
				return cluster.OwnName(e) && strings.Contains(m.SubPathExpr, "$("+e.Name+")")
			}) {
				return false
			}
		}
		for _, d := range c.item.VolumeDevices {
			if d.Name == volume {
				return false
			}
		}
	}
	return mounted
}
