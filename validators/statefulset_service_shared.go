package validators

import (
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/webhook/cluster"
)

// labelInstance tells the Pods of one release of an application from another's.
const labelInstance = "app.kubernetes.io/instance"

var statefulsetServiceShared = &Rule{
	Name:  "statefulset-service-shared",
	Level: Warn,
	Reads: []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}},
	Doc: `the Service that a StatefulSet names must select its Pods only

The name of the governing Service resolves to all Pods that its selector
matches. Where it matches those of another workload too, members of a database
try to join what is none, and clients read from whoever answers.

Give the Pods a label that no other workload's have, and let the Service select
it. A second Service for the same StatefulSet, say one with a virtual IP for
clients, is no trouble; nor is a headless Service of its own beside one that is
shared on purpose.`,

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		svc, err := governingService(p.Cluster, sts)
		if err != nil || svc == nil || !cluster.Selects(svc, sts.Spec.Template.Labels) {
			return err // statefulset-service-missing, statefulset-service-selector
		}
		sharing, err := workloadsBeside(p.Cluster, sts, labels.SelectorFromSet(svc.Spec.Selector))
		if len(sharing) == 0 {
			return err
		}
		own, name, first := memberLabels(sts), headlessName(sts.Name), ""
		if len(selected(sharing, labels.SelectorFromSet(own))) > 0 { // nothing tells the Pods apart
			own = maps.Clone(own)
			own[labelInstance] = sts.Name
			first = fmt.Sprintf("add %s: %s to spec.selector and template, then ", labelInstance, sts.Name)
		}
		remedy := fmt.Sprintf("serviceName: %s, and apply %s", name, headlessServiceOf(sts, name, own, 250))
		if svc.Name == name || svc.Name == sts.Name {
			remedy = fmt.Sprintf("kubectl set selector service %s %s -n %s", svc.Name, labels.FormatLabels(own), sts.Namespace)
		}
		p.Report(field.Invalid(serviceNamePath, svc.Name,
			fmt.Sprintf("must name a Service of its own; this one also leads to the Pods of %s", fewWorkloads(sharing))), first+remedy)
		return err
	})},
}
