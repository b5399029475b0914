package validators

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetServiceNotReadyAddresses = &Rule{
	Name:  "statefulset-service-not-ready-addresses",
	Level: Warn,
	Loses: LosesName,
	Style: true,
	Reads: []cluster.Object{&corev1.Service{}},
	Doc: `Pods that start together must find each other before they are ready

A Pod that is not ready has no DNS name, unless its Service publishes the
addresses of such Pods too. If members of a database start in parallel and
become ready only when they have formed a cluster, they wait for each other for
ever: no member is ready before it has found the others, and no member can be
found before it is ready.

Set publishNotReadyAddresses: true on the headless Service that the StatefulSet
names. Clients should use another Service, which lists ready Pods only. The rule
is silent with OrderedReady, with one replica, and without a readinessProbe,
because every Pod is then ready as soon as it runs. It is also silent about a
Service with a virtual IP, which would send its clients to Pods that are not
ready.`,

	Exempt: "the members become ready before they have met",

	Checks: []Check{On(func(p *Pass, sts *appsv1.StatefulSet) error {
		if !meets(sts) {
			return nil // no other member, or started one by one, or ready at once
		}
		svc, err := governingService(p.Cluster, sts)
		if err != nil || svc == nil || svc.Spec.PublishNotReadyAddresses || !cluster.Headless(svc) {
			return err // statefulset-service-missing, statefulset-service-headless
		}
		p.ReportMend(field.Invalid(serviceNamePath, svc.Name,
			"must publish not-ready addresses, or Pods in Parallel meet only when ready"),
			func() *Fix {
				return setting(specPath.Child("publishNotReadyAddresses"), true, 1).in(cluster.KindOf[*corev1.Service](), svc)
			},
			func() string {
				return fmt.Sprintf(`kubectl patch service %s -n %s -p '{"spec":{"publishNotReadyAddresses":true}}'`, svc.Name,
					sts.Namespace)
			})
		return nil
	}).Of("spec.replicas > 1", "spec.podManagementPolicy", "spec.serviceName",
		"spec.template.spec.containers[*].readinessProbe", "spec.template.spec.initContainers[*].readinessProbe")},
}

// meets says whether the Pods of a StatefulSet start together and may have to
// find each other before they are ready. A Pod without a probe is ready when it
// starts.
func meets(sts *appsv1.StatefulSet) bool {
	return sts.Spec.PodManagementPolicy == appsv1.ParallelPodManagement && replicasOf(sts.Spec.Replicas) > 1 &&
		probed(&sts.Spec.Template.Spec)
}
