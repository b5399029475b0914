package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

var statefulsetServiceHeadless = &Rule{
	Name:  "statefulset-service-headless",
	Level: Deny,
	Reads: []client.Object{&corev1.Service{}},
	Doc: `the Service that a StatefulSet names must be headless

The name of a headless Service resolves to the addresses of all Pods, which is
how the members of a database find each other. The name of any other Service
resolves to one virtual IP, behind which every connection may reach another
Pod. Neither clusterIP nor serviceName can be changed later.

Create a second, headless Service (clusterIP: None) and name that one; clients
may keep the first. With one replica the rule only warns, unless the Service is
an alias (ExternalName), which never leads to a Pod. For a StatefulSet that
exists: kubectl delete statefulset NAME --cascade=orphan, which leaves Pods and
claims alone, and apply it again with the other serviceName.`,

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		path, name := serviceNamePath, sts.Spec.ServiceName
		if name == "" {
			return nil // statefulset-service-name
		}
		svc, err := governingService(p.Cluster, sts)
		if err != nil || svc == nil || cluster.Headless(svc) {
			return err // statefulset-service-missing
		}
		what := "must name a headless Service; this one resolves to one virtual IP, not to the Pods, and cannot be changed later"
		if svc.Spec.Type == corev1.ServiceTypeExternalName {
			what = "must name a headless Service; this one is an alias of " + svc.Spec.ExternalName + " and gives no Pod a name"
		}
		others, err := cluster.HeadlessFor(p.Cluster.Cached(), sts.Namespace, sts.Spec.Template.Labels) // for the remedy
		if err != nil {
			return err
		}
		var remedy string
		if len(others) > 0 {
			remedy = fmt.Sprintf("serviceName: %s (headless, selects these Pods)", others[0])
		} else {
			other := headlessName(name)
			remedy = fmt.Sprintf("serviceName: %s, and apply %s", other, headlessService(sts, other, 280))
		}
		leaving := svc.DeletionTimestamp != nil // a headless one may take its place
		if !leaving && (replicasOf(sts.Spec.Replicas) > 1 || svc.Spec.Type == corev1.ServiceTypeExternalName) {
			p.Report(field.Invalid(path, name, what), remedy)
		} else {
			p.Warn(field.Invalid(path, name, what), remedy)
		}
		return nil
	})},
}
