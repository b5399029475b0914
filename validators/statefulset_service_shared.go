package validators

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetServiceShared = &Rule{
	Name:  "statefulset-service-shared",
	Level: Warn,
	Loses: LosesName,
	Reads: []cluster.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}},
	Doc: `the Service that a StatefulSet names must select its Pods only

The name of the governing Service resolves to all Pods that its selector
matches. If it also matches Pods of another workload, members of a database try
to join Pods that are no members, and clients read from any Pod that answers.

Give the Pods a label that no other workload's have, and let the Service select
it. The rule ignores a second Service for the same StatefulSet, such as one with
a virtual IP for clients, and a shared Service beside the StatefulSet's own
headless Service.

One Service for several workloads may be intended, for example for members that
find each other by gossip. The rule is silent in two cases: every workload that
the Service selects is a StatefulSet that names it, so that each Pod has a name
of its own under it, <statefulset>-<ordinal>; or the Service selects a label
that is in no workload's own selector, and which the author therefore added for
this Service. Of 137 charts 7 share a Service, all in one of these ways, and
none of them loses data or names. The remaining case is a selector that lacks a
label: the Pods of an API then answer for the database.`,

	Exempt: "all Pods that the Service selects are members of one system, in whatever workload they are",

	Checks: []Check{OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
		svc, err := governingService(p.Cluster, sts)
		if err != nil || svc == nil || !cluster.Headless(svc) || !cluster.Selects(svc, sts.Spec.Template.Labels) {
			return err // statefulset-service-missing, -headless and -selector
		}
		beside, err := sharing(p.Cluster, sts, svc)
		if len(beside) == 0 {
			return err
		}
		own, first := labelsApart(sts, beside)
		var fix *Fix
		remedy := ""
		if svc.Name == headlessName(sts.Name) || svc.Name == sts.Name {
			remedy = p.selecting(svc, own)
		} else {
			name, unnamed := newHeadlessName(p.Cluster.Cached(), sts, sts.Name)
			if known(unnamed) != nil {
				return unnamed
			}
			err = cmp.Or(err, unnamed)
			fix = withService(sts, name, own, 250)
			if remedy = fix.Text(); first != "" {
				fix = nil // labels come first
			}
		}
		p.Report(field.Invalid(serviceNamePath, svc.Name,
			fmt.Sprintf("must name a Service of its own; this one also leads to the Pods of %s", fewWorkloads(beside, 5))),
			first+remedy)
		p.Fix(fix)
		return err
	})},
}

// labelsApart returns the labels by which a Service selects the Pods of a
// StatefulSet and none of the workloads beside it. If they have no such labels,
// first is the step that adds them.
func labelsApart(sts *appsv1.StatefulSet, beside []workload) (own map[string]string, first string) {
	own = memberLabels(sts)
	if len(selected(beside, labels.ValidatedSetSelector(own))) > 0 { // nothing tells the Pods apart
		apart := map[string]string{} // the template may have none
		maps.Copy(apart, own)
		key := distinctKey(sts.Spec.Template.Labels, beside, sts.Name)
		apart[key] = sts.Name
		own = apart
		first = fmt.Sprintf("add %s: %s to spec.selector and template, then ", key, sts.Name)
	}
	return own, first
}

// ownLabels is labelsApart from all workloads. If a kind is not known, the
// known kinds decide, and the error is [cluster.ErrUnknown].
func ownLabels(v *cluster.View, sts *appsv1.StatefulSet) (own map[string]string, first string, err error) {
	beside, err := workloadsBeside(v, sts.Namespace, labels.ValidatedSetSelector(memberLabels(sts)), sts)
	own, first = labelsApart(sts, beside)
	return own, first, err
}

// sharing returns the other workloads to which the governing Service of a
// StatefulSet leads, or none where that is meant. If a kind is not known, it
// returns those of the other together with the error, [cluster.ErrUnknown].
func sharing(v *cluster.View, sts *appsv1.StatefulSet, svc *corev1.Service) ([]workload, error) {
	beside, err := workloadsBeside(v, sts.Namespace, labels.ValidatedSetSelector(svc.Spec.Selector), sts)
	if len(beside) == 0 {
		return nil, err
	}
	named := !slices.ContainsFunc(beside, func(w workload) bool { return w.service != svc.Name })
	own := selectorLabels(sts.Spec.Selector)
	for name, value := range svc.Spec.Selector {
		if v, ok := own[name]; ok && v == value {
			continue
		}
		if !slices.ContainsFunc(beside, func(w workload) bool { v, ok := w.selects[name]; return ok && v == value }) {
			return nil, err // the Service selects by a label of single members
		}
	}
	if named {
		return nil, err
	}
	return beside, err
}

// selectorLabels returns the matchLabels of a selector, which may be nil.
func selectorLabels(sel *metav1.LabelSelector) map[string]string {
	if sel == nil {
		return nil
	}
	return sel.MatchLabels
}
