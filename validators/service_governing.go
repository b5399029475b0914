package validators

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

var serviceGoverning = &Rule{
	Name:      "service-governing",
	Level:     Warn,
	NeverDeny: true, // helm uninstall deletes the Service before the StatefulSet
	Reads:     []client.Object{&appsv1.StatefulSet{}},
	Doc: `the Service that a StatefulSet names must stay, headless, and select its Pods

The Pods of a StatefulSet have DNS names under the Service that spec.serviceName
names, as long as it selects them. When that Service is deleted, or its selector
or its type changes, the names are gone within seconds, and the members of a
database no longer find each other, although every Pod runs on. A Service that
has a virtual IP has that one as the address of its own name, and not the Pods'.

An alias (ExternalName) becomes headless in place, by kubectl patch. A Service
with a virtual IP keeps it, and serviceName cannot be changed: delete the Service
and create it as it should be. Nobody resolves its name in between.`,

	Exempt: "the StatefulSet is about to go, or its members are found by other means than DNS",

	Checks: []Check{
		OnCreate(func(p *Pass, svc *corev1.Service) error { return governs(p, nil, svc) }),
		OnUpdate(governs),
		OnDelete(func(p *Pass, svc *corev1.Service) error {
			governed, err := governedBy(p.Cluster, svc)
			if err != nil || len(governed) == 0 {
				return err
			}
			p.Report(field.Invalid(namePath, svc.Name, "must stay while "+sets(governed)+" names it; the Pods lose their DNS names"),
				fmt.Sprintf("create Service %s again, headless; or let it go last, after StatefulSet %s", svc.Name, governed[0].Name))
			return nil
		}),
	},
}

// governs reports what is wrong with a Service for the StatefulSets that name
// it, but not what was as wrong before.
func governs(p *Pass, old, svc *corev1.Service) error {
	governed, err := governedBy(p.Cluster, svc)
	if err != nil {
		return err
	}
	suffer := func(bad func(*corev1.Service, *appsv1.StatefulSet) bool) (suffering []*appsv1.StatefulSet) {
		for _, sts := range governed {
			if bad(svc, sts) && (old == nil || !bad(old, sts)) {
				suffering = append(suffering, sts)
			}
		}
		return suffering
	}
	spec := specPath
	if s := suffer(alias); len(s) > 0 {
		p.Report(field.Invalid(spec.Child("type"), svc.Spec.Type, "must not be an alias while "+sets(s)+" names it; the Pods have no DNS names"),
			p.Mend("type: ClusterIP, clusterIP: None and no externalName", unalias(svc, memberLabels(s[0]))))
	}
	if s := suffer(balances); len(s) > 0 {
		p.Report(field.Invalid(spec.Child("clusterIP"), svc.Spec.ClusterIP, "must be None for "+sets(s)+"; its name resolves to one virtual IP, not to the Pods"),
			p.Mend("clusterIP: None", fmt.Sprintf("kubectl delete service %s -n %s, then make it again with clusterIP: None; in between its name and clients are cut off", svc.Name, svc.Namespace)))
	}
	if s := suffer(misses); len(s) > 0 {
		p.Report(field.Invalid(spec.Child("selector"), short(labels.FormatLabels(svc.Spec.Selector)), "must match the template of "+sets(s)+"; without it the Pods have no DNS names"),
			p.selecting(svc.Name, svc.Namespace, memberLabels(s[0])))
	}
	return nil
}

// unalias returns the command that makes an alias a headless Service that selects
// Pods by labels; nothing has to be deleted. It is one command: a headless
// Service without a selector is given two families of addresses, and a cluster
// that has one then refuses every selector.
func unalias(svc *corev1.Service, on map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(on)) {
		pairs = append(pairs, fmt.Sprintf("%q:%q", name, on[name]))
	}
	return fmt.Sprintf(`kubectl patch service %s -n %s -p '{"spec":{"type":"ClusterIP","clusterIP":"None","externalName":null,"selector":{%s}}}'`,
		svc.Name, svc.Namespace, strings.Join(pairs, ","))
}

// selecting returns what makes a Service select Pods that have labels.
func (p *Pass) selecting(name, namespace string, on map[string]string) string {
	return p.Mend(fmt.Sprintf("spec: {selector: %s} in Service %s", flowYAML(on), name),
		fmt.Sprintf("kubectl set selector service %s %s -n %s", name, labels.FormatLabels(on), namespace))
}

func alias(svc *corev1.Service, _ *appsv1.StatefulSet) bool {
	return svc.Spec.Type == corev1.ServiceTypeExternalName
}

// balances says whether a Service leads to its Pods by one virtual IP. One without
// a selector leads to what somebody wrote; that it selects nothing is enough to say.
func balances(svc *corev1.Service, sts *appsv1.StatefulSet) bool {
	return !cluster.Headless(svc) && !alias(svc, sts) && len(svc.Spec.Selector) > 0
}

func misses(svc *corev1.Service, sts *appsv1.StatefulSet) bool {
	return !cluster.Selects(svc, sts.Spec.Template.Labels) && !alias(svc, sts)
}

// governedBy returns the StatefulSets that name a Service, sorted, but those
// that are being deleted.
func governedBy(v *cluster.View, svc *corev1.Service) (governed []*appsv1.StatefulSet, err error) {
	naming, err := cluster.Find(v, cluster.StatefulSetsByService, svc.Namespace, svc.Name)
	if err != nil {
		return nil, fmt.Errorf("list StatefulSets: %w", err)
	}
	for _, sts := range naming {
		if sts.DeletionTimestamp == nil {
			governed = append(governed, sts)
		}
	}
	slices.SortFunc(governed, func(a, b *appsv1.StatefulSet) int { return strings.Compare(a.Name, b.Name) })
	return governed, nil
}

// sets names StatefulSets in a message.
func sets(all []*appsv1.StatefulSet) string {
	var names []string
	for _, sts := range all {
		names = append(names, sts.Name)
	}
	return "StatefulSet " + cluster.Few(names)
}
