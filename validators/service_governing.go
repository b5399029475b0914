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

	"stayput.dev/cluster"
)

var serviceGoverning = &Rule{
	Name:      "service-governing",
	Level:     Warn,
	Loses:     LosesName,
	NeverDeny: true, // helm uninstall deletes the Service before the StatefulSet
	Reads:     []cluster.Object{&appsv1.StatefulSet{}},
	Doc: `the Service that a StatefulSet names must stay, headless, and select its Pods

The Pods of a StatefulSet have DNS names under the Service that spec.serviceName
names, as long as it selects them. When that Service is deleted, or its selector
or its type changes, the names are gone within seconds, and the members of a
database no longer find each other, although every Pod runs on. The name of a
Service with a virtual IP resolves to that IP, and not to the addresses of the
Pods.

A Service of type ExternalName can be made headless with kubectl patch. A
Service with a virtual IP keeps it, and serviceName cannot be changed: delete
the Service and create it as it should be. Nobody resolves its name in between.`,

	Exempt: "the StatefulSet is about to go, or its members are found by other means than DNS",

	Checks: []Check{
		OnCreate(func(p *Pass, svc *corev1.Service) error { return governs(p, nil, svc) }),
		OnUpdate(governs),
		OnDelete(func(p *Pass, svc *corev1.Service) error {
			governed, err := governedBy(p.Cluster, svc.Namespace, svc.Name)
			if err != nil || len(governed) == 0 {
				return err
			}
			p.Report(field.Invalid(namePath, svc.Name,
				"must stay while "+sets(governed)+" names it; the Pods lose their DNS names"),
				fmt.Sprintf("create Service %s again, headless", svc.Name),
				"; or let it go last, after StatefulSet "+governed[0].Name)
			return nil
		}),
	},
}

// governs reports how a Service is wrong for the StatefulSets that name it,
// unless the old Service was wrong in the same way.
func governs(p *Pass, old, svc *corev1.Service) error {
	governed, err := governedBy(p.Cluster, svc.Namespace, svc.Name)
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
		p.Report(field.Invalid(spec.Child("type"), svc.Spec.Type,
			"must not be an alias while "+sets(s)+" names it; the Pods have no DNS names"),
			p.unaliased(svc, memberLabels(s[0])))
	}
	if s := suffer(balances); len(s) > 0 {
		p.Report(field.Invalid(spec.Child("clusterIP"), svc.Spec.ClusterIP,
			"must be None for "+sets(s)+"; its name resolves to one virtual IP, not to the Pods"),
			p.headlessAgain(svc, nil, slices.ContainsFunc(s, meets)))
	}
	if s := suffer(misses); len(s) > 0 {
		p.Report(field.Invalid(spec.Child("selector"), short(labels.FormatLabels(svc.Spec.Selector)),
			"must match the template of "+sets(s)+"; without it the Pods have no DNS names"),
			p.selectingAll(svc, governed)...)
		p.brieflySelecting(svc, labelsOfAll(governed))
	}
	return nil
}

// selectingAll returns the remedy that makes a Service select the Pods of all
// StatefulSets that name it.
func (p *Pass) selectingAll(svc *corev1.Service, governed []*appsv1.StatefulSet) Remedy {
	if on := labelsOfAll(governed); len(on) > 0 {
		return Remedy{p.selecting(svc, on)}
	}
	return Remedy{"give the templates one label and select it",
		", or make each anew with a headless Service of its own"}
}

// labelsOfAll returns the labels that the Pods of all StatefulSets have in
// common, by which one Service selects them.
func labelsOfAll(governed []*appsv1.StatefulSet) map[string]string {
	on := maps.Clone(memberLabels(governed[0]))
	for _, sts := range governed[1:] {
		maps.DeleteFunc(on, func(name, value string) bool {
			has, ok := sts.Spec.Template.Labels[name]
			return !ok ||
				has != value
		})
	}
	return on
}

// headlessAgain returns the remedy that makes a Service with a virtual IP
// headless, with the selector on unless that is empty. If meet is true, the
// Service publishes Pods that are not ready.
func (p *Pass) headlessAgain(svc *corev1.Service, on map[string]string, meet bool) string {
	fields := "clusterIP: None"
	if meet && !svc.Spec.PublishNotReadyAddresses {
		fields += ", publishNotReadyAddresses: true"
	}
	if len(on) > 0 {
		fields += ", selector: " + flowYAML(on)
	}
	return p.Mend(fmt.Sprintf("%s in Service %s", fields, svc.Name),
		fmt.Sprintf("kubectl delete service %s -n %s, then make it again with %s; in between its name and clients are cut "+
			"off", svc.Name, svc.Namespace, fields))
}

// unaliased returns the remedy that turns an alias into a headless Service.
func (p *Pass) unaliased(svc *corev1.Service, on map[string]string) string {
	return p.Mend(fmt.Sprintf("spec: %s in place of that of Service %s",
		flowYAML(map[string]any{"clusterIP": "None", "selector": on}), svc.Name), unalias(svc, on))
}

// unalias returns the command that turns an alias into a headless Service that
// selects Pods by labels, without deleting anything. It must be one command: a
// headless Service without a selector is given two families of addresses, and a
// cluster with one family then refuses every selector.
func unalias(svc *corev1.Service, on map[string]string) string {
	return fmt.Sprintf(`kubectl patch service %s -n %s -p '{"spec":{"type":"ClusterIP","clusterIP":"None",`+
		`"externalName":null,"selector":{%s}}}'`,
		svc.Name, svc.Namespace, jsonPairs(on))
}

// jsonPairs returns labels as JSON has them, without the braces.
func jsonPairs(on map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(on)) {
		pairs = append(pairs, fmt.Sprintf("%q:%q", name, on[name]))
	}
	return strings.Join(pairs, ",")
}

// selecting returns the remedy that makes a Service select Pods by labels.
func (p *Pass) selecting(svc *corev1.Service, on map[string]string) string {
	switch {
	case svc.Spec.Type != corev1.ServiceTypeExternalName && !cluster.Headless(svc):
		return p.headlessAgain(svc, on, false)
	case beginsToSelect(svc):
		// The Service has two families of addresses, and a cluster with one
		// refuses every selector until they are set. SingleStack is a new
		// Service's default.
		return p.Mend(fmt.Sprintf("spec: {ipFamilyPolicy: SingleStack, selector: %s} in Service %s", flowYAML(on), svc.Name),
			fmt.Sprintf(`kubectl patch service %s -n %s -p '{"spec":{"ipFamilyPolicy":"PreferDualStack","ipFamilies":null,`+
				`"selector":{%s}}}'`,
				svc.Name, svc.Namespace, jsonPairs(on)))
	}
	return p.Mend(fmt.Sprintf("spec: {selector: %s} in Service %s", flowYAML(on), svc.Name),
		setSelector(svc.Name, svc.Namespace, on))
}

// beginsToSelect says whether a headless Service has no selector yet, and so
// two families of addresses.
func beginsToSelect(svc *corev1.Service) bool {
	return cluster.Headless(svc) && len(svc.Spec.Selector) == 0 && len(svc.Spec.IPFamilies) != 1
}

// brieflySelecting is selecting for a warning that has no room for the command.
func (p *Pass) brieflySelecting(svc *corev1.Service, on map[string]string) {
	if beginsToSelect(svc) {
		p.Briefly(fmt.Sprintf("selector: %s and ipFamilyPolicy: SingleStack, in one patch", flowYAML(on)))
	}
}

func setSelector(name, namespace string, on map[string]string) string {
	return fmt.Sprintf("kubectl set selector service %s %s -n %s", name, labels.FormatLabels(on), namespace)
}

func alias(svc *corev1.Service, _ *appsv1.StatefulSet) bool {
	return svc.Spec.Type == corev1.ServiceTypeExternalName
}

// balances says whether a Service leads to the Pods through one virtual IP. It
// is false for a Service that does not select them: that is reported instead.
func balances(svc *corev1.Service, sts *appsv1.StatefulSet) bool {
	return !cluster.Headless(svc) && !alias(svc, sts) && !misses(svc, sts)
}

func misses(svc *corev1.Service, sts *appsv1.StatefulSet) bool {
	return !cluster.Selects(svc, sts.Spec.Template.Labels) && !alias(svc, sts)
}

// governedBy returns the StatefulSets of a namespace that name a Service, sorted,
// without those that are being deleted. The Service may not exist.
func governedBy(v *cluster.View, namespace, service string) (governed []*appsv1.StatefulSet, err error) {
	naming, err := cluster.Find(v, cluster.StatefulSetsByService, namespace, service)
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
