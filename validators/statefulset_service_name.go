package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statefulsetServiceName = &Rule{
	Name:  "statefulset-service-name",
	Level: Deny,
	Runs: aPod(func(_ *appsv1.StatefulSet, r remnant) bool {
		return r.hasOwnName() && r.spec.Subdomain == ""
	}),
	Doc: `a StatefulSet must name its headless Service

Each Pod gets the DNS name <pod>.<serviceName>.<namespace>, by which the others
find it wherever it runs. Without serviceName no Pod has a name, only an address
that changes with every restart; and the field cannot be added later: the
StatefulSet must be deleted and created again.

Set spec.serviceName and create a headless Service (clusterIP: None) of that
name that selects the Pods. With one replica the rule only warns. For a
StatefulSet that exists: kubectl delete statefulset NAME --cascade=orphan, which
leaves Pods and claims alone, and apply it again with the field.`,

	Exempt: "the Pods are never addressed one by one, as of workers that fetch their tasks themselves",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		if sts.Spec.ServiceName != "" {
			return nil
		}
		err := field.Required(serviceNamePath,
			"must name a headless Service; without one no Pod gets a DNS name, and it cannot be added later")
		name := headlessName(sts.Name)
		remedy := fmt.Sprintf("the headless Service that selects the Pods, or serviceName: %s and apply %s", name,
			headlessService(sts, name, 300))
		if replicasOf(sts.Spec.Replicas) > 1 {
			p.Report(err, remedy)
		} else {
			p.Warn(err, remedy)
		}
		return nil
	})},
}
