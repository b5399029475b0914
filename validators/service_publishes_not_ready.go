package validators

import (
	"cmp"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var servicePublishesNotReady = &Rule{
	Name:  "service-publishes-not-ready",
	Level: Warn,
	Loses: LosesTime,
	Style: true,
	Reads: []cluster.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}},
	Doc: `a Service for clients should lead to ready Pods only

With publishNotReadyAddresses: true a Service also sends clients to Pods that
are not ready: their connections are refused, or answered by a member whose data
is not up to date. Members that must find each other before they are ready need
the field, but on the headless Service that the StatefulSet names. A Service
with a virtual IP that selects the same Pods is for clients.

Remove the field from the clients' Service. The rule is silent where the Pods
have no readinessProbe, because they are ready as soon as they run, and where
the StatefulSet's Service is not headless. Of a Deployment it speaks only if
a headless Service publishes the same Pods, so that they find each other there.
It warns about the Service, or about a workload that comes after its Services.`,

	Exempt: "the clients must reach members that are not ready, to administer them, or retry elsewhere by themselves",

	Checks: slices.Concat(
		[]Check{On(func(p *Pass, svc *corev1.Service) error {
			if !publishesToClients(svc) {
				return nil
			}
			found, unknown := workloadsBeside(p.Cluster, svc.Namespace, labels.ValidatedSetSelector(svc.Spec.Selector), nil)
			if known(unknown) != nil {
				return unknown
			}
			for _, w := range found {
				members, err := membersApart(p.Cluster, svc, w)
				if known(err) != nil {
					return err
				}
				unknown = cmp.Or(unknown, err)
				if members == "" {
					continue
				}
				path := specPath.Child("publishNotReadyAddresses")
				fix := setting(path, false, 1)
				p.Report(field.Invalid(path, true, fmt.Sprintf(
					"must be false for clients; they reach Pods of %s that are not ready, whose members have Service %s", w,
					members)), readyAlone(p, svc, fix.Text())...)
				p.Briefly(fix.Text())
				p.Fix(fix)
				break
			}
			return unknown
		}).Of("spec.publishNotReadyAddresses", "spec.selector", "spec.type", "spec.clusterIP", "spec.clusterIPs")},
		ofSelected(templateOfSet, "spec.template", reachedEarly, inContainers("readinessProbe")...),
		ofSelected(templateOfDeployment, "spec.template", reachedEarly, inContainers("readinessProbe")...),
	),
}

// readyAlone returns the remedy of a Service that publishes Pods to clients, which
// in a manifest is written so.
func readyAlone(p *Pass, svc *corev1.Service, written string) Remedy {
	return Remedy{p.Mend(written, fmt.Sprintf(
		`kubectl patch service %s -n %s -p '{"spec":{"publishNotReadyAddresses":false}}'`, svc.Name, svc.Namespace))}
}

// reachedEarly is about a workload whose Pods a Service for clients publishes
// before they are ready.
func reachedEarly(p *Pass, obj cluster.Object, svc *corev1.Service) (*fault, error) {
	if !publishesToClients(svc) {
		return nil, nil
	}
	members, err := membersApart(p.Cluster, svc, workloadOf(obj))
	if members == "" {
		return nil, err
	}
	written := "publishNotReadyAddresses: false in Service " + svc.Name
	return &fault{fmt.Sprintf(
		"must not match Service %s, which leads clients to Pods that are not ready; members have Service %s",
		svc.Name, members), readyAlone(p, svc, written), written}, err
}

// publishesToClients says whether a Service for clients publishes Pods that are
// not ready.
func publishesToClients(svc *corev1.Service) bool {
	return svc.Spec.PublishNotReadyAddresses && len(svc.Spec.Selector) > 0 && svc.DeletionTimestamp == nil &&
		!cluster.Headless(svc) && !alias(svc, nil)
}

// membersApart returns the name of the headless Service under which the Pods of a
// workload find each other beside a Service for their clients, or "": the governing
// one of a StatefulSet, or for a Deployment one that publishes Pods that are not
// ready. It returns "" if no probe tells when the Pods are ready.
func membersApart(v *cluster.View, svc *corev1.Service, w workload) (string, error) {
	if !probed(&w.template.Spec) || w.service == svc.Name {
		return "", nil
	}
	names := []string{w.service}
	if w.service == "" {
		var err error
		if names, err = cluster.HeadlessFor(v, svc.Namespace, w.template.Labels); err != nil {
			return "", err
		}
	}
	for _, name := range names {
		members, err := cluster.Get[corev1.Service](v, svc.Namespace, name)
		if err != nil {
			return "", fmt.Errorf("get Service %s: %w", name, err)
		}
		if members != nil && cluster.Headless(members) && (w.service != "" || members.Spec.PublishNotReadyAddresses) {
			return name, nil
		}
	}
	return "", nil
}
