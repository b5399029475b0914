package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

var deploymentRollingClaim = &Rule{
	Name:  "deployment-rolling-claim",
	Level: Warn,
	Loses: LosesTime,
	Reads: []client.Object{&corev1.PersistentVolumeClaim{}},
	Doc: `a Deployment with a claim for one node should be recreated, not rolled

A rolling update starts the new Pod before it stops the old one. If the new one
comes to another node, it waits for the volume that the old one holds, and the
old one is kept until the new one is ready: the update hangs. On the same node
both write the same files for a while. A ReadWriteOncePod claim lets the new Pod
start nowhere. Say strategy: {type: Recreate}, or
maxSurge: 0.

Of a Deployment that exists kubectl apply --server-side, and a tool that applies
so, is refused then: what the API server filled in for rollingUpdate belongs to
nobody and stays, and Recreate allows none. Patch the Deployment first, with the
command of the remedy in a cluster.`,

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
