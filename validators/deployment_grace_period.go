package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var deploymentGracePeriod = &Rule{
	Name:  "deployment-grace-period",
	Level: Warn,
	Loses: LosesData,
	Doc: `the Pods of a Deployment that keeps data must have time to shut down

With terminationGracePeriodSeconds: 0 every deletion of a Pod is a forced
deletion: the API server removes the Pod at once, and the process is killed
before it has written what it holds in memory, so files may end in the middle of
a write. Another Pod may mount the claim while the first still runs. This
happens at each update, each drain and each scale-down, without any failure.

Leave the field out, which means 30 seconds, or set it to what a clean shutdown
takes under load. A Deployment without claims, or one that only reads them,
needs no time, and the rule ignores it.`,

	Exempt: "the data in the claim stays valid when a write is interrupted at any moment",

	Checks: []Check{On(func(p *Pass, d *appsv1.Deployment) error {
		pod := &d.Spec.Template.Spec
		if seconds := pod.TerminationGracePeriodSeconds; seconds == nil || *seconds != 0 {
			return nil
		}
		var claims []string
		written := writtenVolumes(pod)
		for i := range pod.Volumes {
			v := &pod.Volumes[i]
			if c := v.PersistentVolumeClaim; c != nil && !c.ReadOnly && written[v.Name] {
				claims = append(claims, c.ClaimName)
			}
		}
		if len(claims) == 0 {
			return nil
		}
		path := podSpecPath.Child("terminationGracePeriodSeconds")
		fix := setting(path, corev1.DefaultTerminationGracePeriodSeconds, 1)
		p.Report(field.Invalid(path, 0, fmt.Sprintf(
			"must not be 0, a force delete; the Pod is killed while it writes claim %s", cluster.Few(claims))),
			fix.Text()+" or more")
		p.Fix(fix)
		return nil
	}).Of(
		"spec.template.spec.terminationGracePeriodSeconds", "spec.template.spec.volumes[*].persistentVolumeClaim",
		"spec.template.spec.containers[*].volumeMounts", "spec.template.spec.initContainers[*].volumeMounts",
		"spec.template.spec.containers[*].volumeDevices", "spec.template.spec.initContainers[*].volumeDevices",
	)},
}
