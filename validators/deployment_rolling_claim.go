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
no node. Set strategy: {type: Recreate}, or maxSurge: 0.

For a Deployment that exists the API server then refuses a server-side apply:
the defaults that it filled in for rollingUpdate have no field manager and stay,
and Recreate allows no rollingUpdate. Patch the Deployment first; in a cluster
the remedy contains the command.`,

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
		path := field.NewPath("spec", "strategy", "type")
		fix := setting(path, string(appsv1.RecreateDeploymentStrategyType), 2).without("spec.strategy.rollingUpdate")
		p.Report(field.Invalid(path, appsv1.RollingUpdateDeploymentStrategyType,
			"must be Recreate; "+fmt.Sprintf(cost, cluster.Few(claims))),
			p.Mend(fix.Text(),
				fmt.Sprintf(`kubectl patch deploy %s -n %s -p '{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}'`,
					deploy.Name, deploy.Namespace)))
		p.Fix(fix)
		return nil
	}).Of("spec.replicas", "spec.strategy", "spec.template.spec.volumes[*].persistentVolumeClaim")},
}

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
