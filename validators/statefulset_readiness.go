package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetReadiness = &Rule{
	Name:  "statefulset-readiness",
	Level: Warn,
	Loses: LosesTime,
	Style: true,
	Doc: `an update must wait until the Pod it has replaced is back at work

A rolling update replaces the next Pod when the last is available: ready for
minReadySeconds. Without a readinessProbe a Pod is ready as soon as its process
runs, before it has recovered its data or joined the others, and an update
replaces the Pods faster than the members come back.

Give a container a readinessProbe that answers only when the member takes part.
The strategy Recreate also creates the next Pod, and ends the update, only when
the last Pod is ready. One replica, or OnDelete, needs no probe. The rule
statefulset-min-ready-seconds checks how long a Pod must stay ready.`,

	Versions: []*cluster.Feature{recreateStrategy},

	Exempt: "the process exits by itself as long as it cannot serve, so that running means ready",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		if onDelete(sts) || replicasOf(sts.Spec.Replicas) <= 1 {
			return nil
		}
		if pod := &sts.Spec.Template.Spec; !probed(pod) && len(pod.Containers) > 0 {
			path := podSpecPath.Child("containers").Index(0).Child("readinessProbe")
			what := "must be set, or an update replaces the next Pod as soon as the last one's process runs"
			if recreates(sts) {
				what = "must be set, or an update, which stops all Pods, is over as soon as their processes run"
			}
			p.Report(field.Required(path, what), "readinessProbe: "+probeFor(pod.Containers[0]))
		}
		return nil
	}).Of(
		"spec.replicas > 1", "spec.updateStrategy.type",
		"spec.template.spec.containers[*].name", "spec.template.spec.containers[*].readinessProbe",
		"spec.template.spec.initContainers[*].readinessProbe",
	)},
}

// probed says whether a container, sidecars included, has a readiness probe.
func probed(pod *corev1.PodSpec) bool {
	for _, c := range containers(pod) {
		if c.item.ReadinessProbe != nil {
			return true
		}
	}
	return false
}

// probeFor returns the simplest probe for a container, as YAML.
func probeFor(c corev1.Container) string {
	for _, p := range c.Ports {
		if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
			return fmt.Sprintf("{tcpSocket: {port: %d}}", p.ContainerPort)
		}
	}
	return "{exec: {command: [<succeeds once the member serves>]}}"
}
