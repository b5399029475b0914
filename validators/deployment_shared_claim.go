package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var deploymentSharedClaim = &Rule{
	Name:  "deployment-shared-claim",
	Level: Deny,
	Loses: LosesData,
	Runs:  severalMount,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `several replicas of a Deployment must not mount a claim that only one may mount

With a ReadWriteOncePod claim only one Pod can start. A ReadWriteOnce claim can
be mounted on one node only: replicas there write the same files, which few
programs expect, and replicas elsewhere wait for the volume for ever. If every
replica needs a disk, use a StatefulSet with volumeClaimTemplates, whose claims
start empty: copy the data to them first. If all need the same files, use a
ReadWriteMany claim; or else run one replica, which an update stops before it
starts the next (maxSurge: 0 and maxUnavailable: 1).`,

	Exempt: "all Pods are kept on one node and only one of them writes, or the application locks its files",

	Checks: []Check{On(func(p *Pass, deploy *appsv1.Deployment) error {
		replicas := replicasOf(deploy.Spec.Replicas)
		if replicas <= 1 {
			return nil
		}
		volumes, err := sharedClaims(p.Cluster, deploy, &deploy.Spec.Template.Spec)
		if err != nil {
			return err
		}
		for _, v := range volumes {
			if v.pvc == nil {
				continue // its access modes are unknown
			}
			path := podSpecPath.Child("volumes").Index(v.index).Child("persistentVolumeClaim", "claimName")
			one := "replicas: 1"
			if surges(deploy.Spec.Strategy) { // Recreate is not taken by every apply: deployment-rolling-claim
				one += ", strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}"
			}
			remedy := Remedy{one, "; or " + copyFirst + "a StatefulSet with volumeClaimTemplates"}
			switch modes := v.pvc.Spec.AccessModes; {
			case onePod(modes):
				p.Report(field.Invalid(path, v.claim,
					fmt.Sprintf("cannot serve %d replicas; ReadWriteOncePod: only one of them ever starts", replicas)), remedy...)
			case len(modes) == 1 && slices.Contains(modes, corev1.ReadWriteOnce):
				p.Warn(field.Invalid(path, v.claim,
					fmt.Sprintf("cannot serve %d replicas; ReadWriteOnce: they overwrite files or wait for ever", replicas)),
					remedy...)
			}
		}
		return nil
	}).Of("spec.replicas", "spec.template.spec.volumes[*].persistentVolumeClaim")},
}
