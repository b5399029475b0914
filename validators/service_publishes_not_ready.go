package validators

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

var servicePublishesNotReady = &Rule{
	Name:  "service-publishes-not-ready",
	Level: Warn,
	Loses: LosesTime,
	Style: true,
	Reads: []client.Object{&appsv1.StatefulSet{}, &corev1.Service{}},
	Doc: `a Service for clients should lead to ready Pods only

With publishNotReadyAddresses: true a Service also sends clients to Pods that
are not ready: their connections are refused, or answered by a member whose data
is not up to date. Members that must find each other before they are ready need
the field, but on the headless Service that the StatefulSet names. A Service
with a virtual IP that selects the same Pods is for clients.

Remove the field from the clients' Service. The rule is silent where the Pods
have no readinessProbe, because they are ready as soon as they run, and where
the StatefulSet has no headless Service of its own. If the StatefulSet is
created after its Services, only audit and lint find it.`,

	Exempt: "the clients must reach members that are not ready, to administer them, or retry elsewhere by themselves",

	Checks: []Check{On(func(p *Pass, svc *corev1.Service) error {
		if !svc.Spec.PublishNotReadyAddresses || len(svc.Spec.Selector) == 0 || cluster.Headless(svc) || alias(svc, nil) {
			return nil
		}
		sel := labels.SelectorFromSet(svc.Spec.Selector)
		found, err := cluster.Find(p.Cluster, cluster.StatefulSetsByLabel, svc.Namespace, cluster.SelectorKeys(sel)...)
		if err != nil {
			return fmt.Errorf("list StatefulSets: %w", err)
		}
		found = slices.SortedFunc(slices.Values(found), func(a, b *appsv1.StatefulSet) int {
			return strings.Compare(a.Name, b.Name)
		})
		for _, sts := range found {
			if sts.DeletionTimestamp != nil || sts.Spec.ServiceName == svc.Name ||
				!cluster.Selects(svc, sts.Spec.Template.Labels) || !probed(&sts.Spec.Template.Spec) {
				continue
			}
			members, err := governingService(p.Cluster, sts)
			if err != nil {
				return err
			}
			if members == nil || !cluster.Headless(members) {
				continue
			}
			path := specPath.Child("publishNotReadyAddresses")
			fix := setting(path, false, 1)
			p.Report(field.Invalid(path, true, fmt.Sprintf(
				"must be false for clients; they reach Pods of StatefulSet %s that are not ready, whose members have Service %s",
				sts.Name, members.Name)),
				p.Mend(fix.Text(),
					fmt.Sprintf(`kubectl patch service %s -n %s -p '{"spec":{"publishNotReadyAddresses":false}}'`, svc.Name,
						svc.Namespace)))
			p.Fix(fix)
			return nil
		}
		return nil
	}).Of("spec.publishNotReadyAddresses", "spec.selector", "spec.type", "spec.clusterIP", "spec.clusterIPs")},
}
