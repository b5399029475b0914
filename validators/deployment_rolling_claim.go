package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var deploymentRollingClaim = &Rule{
	Name:  "deployment-rolling-claim",
	Level: Warn,
	Loses: LosesTime,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `a Deployment with a claim for one node should be recreated, not rolled

A rolling update starts the new Pod before it stops the old one. On another node
the new Pod waits for the volume that the old Pod holds, and the old Pod stays
until the new one is ready: the update hangs. On the same node both write the
same files for a while. With a ReadWriteOncePod claim the new Pod can start on
no node. Set strategy: {type: Recreate}, or maxSurge: 0 and maxUnavailable: 1.
Recreate is the better of the two: it waits until the old Pod is gone, and without
a surge the new one starts while the old one shuts down.

For a Deployment that exists the API server refuses a server-side apply, as Helm
does one, of Recreate over a manifest that had no rollingUpdate: the defaults that
were filled in there have no field manager and stay, and Recreate allows none of
them; rollingUpdate: null does not help. It takes maxSurge: 0 and maxUnavailable: 1,
and Recreate after these. So lint --fix writes these, and in a cluster the remedy
is a patch. A client-side apply takes both.`,

	Exempt: "the application locks its files, and all its Pods run on one node",

	Checks: []Check{On(func(p *Pass, deploy *appsv1.Deployment) error {
		if replicasOf(deploy.Spec.Replicas) != 1 || !surges(deploy.Spec.Strategy) {
			return nil // deployment-shared-claim reports more replicas
		}
		volumes, err := sharedClaims(p.Cluster, deploy, &deploy.Spec.Template.Spec)
		if err != nil {
			return err
		}
		var claims []string
		cost := "Pods on another node wait for claim %s"
		for _, v := range volumes {
			if v.pvc != nil && exclusive(v.pvc.Spec.AccessModes) {
				claims = append(claims, v.claim)
				if onePod(v.pvc.Spec.AccessModes) {
					cost = "the new Pod waits for claim %s"
				}
			}
		}
		if len(claims) == 0 {
			return nil
		}
		wrong := field.Invalid(deploymentStrategy.Child("type"), appsv1.RollingUpdateDeploymentStrategyType,
			"must be Recreate or not surge; "+fmt.Sprintf(cost, cluster.Few(claims)))
		if p.Cluster.Manifests() {
			rolling := deploymentStrategy.Child("rollingUpdate")
			p.ReportFix(wrong, setting(rolling.Child("maxSurge"), 0, 3).set(rolling.Child("maxUnavailable"), 1, 3),
				", or strategy: {type: Recreate}")
			return nil
		}
		p.Report(wrong,
			fmt.Sprintf(`kubectl patch deploy %s -n %s -p '{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}'`,
				deploy.Name, deploy.Namespace))
		return nil
	}).Of("spec.replicas", "spec.strategy", "spec.template.spec.volumes[*].persistentVolumeClaim")},
}

var deploymentStrategy = specPath.Child("strategy")

// surges says whether an update starts new Pods before it stops old ones, as
// it does by default. Percentages are rounded up.
func surges(s appsv1.DeploymentStrategy) bool {
	if s.Type == appsv1.RecreateDeploymentStrategyType {
		return false
	}
	if s.RollingUpdate == nil || s.RollingUpdate.MaxSurge == nil {
		return true
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(s.RollingUpdate.MaxSurge, 1, true)
	return err == nil && n > 0
}
