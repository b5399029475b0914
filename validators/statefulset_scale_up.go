package validators

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var statefulsetScaleUp = &Rule{
	Name:  "statefulset-scale-up",
	Level: Warn,
	Loses: LosesData,
	Reads: []cluster.Object{&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}, &corev1.Pod{}},
	Doc: `a person who scales a StatefulSet up should know which old claims it uses

A new Pod uses the claim of its name if one exists from before a scale-down or
from an earlier StatefulSet of that name, with all data on its volume.
Kubernetes does not compare its size and class with the template. A database may
take stale data for current, or have a smaller disk than the other members. The
rule ignores claims that the StatefulSet's own running Pods use, as after
--cascade=orphan. It also says nothing to an operator that creates a StatefulSet
again to return to its data, unless a claim differs from its template.

If the claims should be used again, there is nothing to do; a claim that is too
small can be expanded with kubectl patch pvc, if its StorageClass allows it. If
not, find out what each claim holds, and keep a copy, before you delete any. A
claim in the same manifests as the StatefulSet, or one that is filled from a
snapshot or another claim, is intended, and is no finding.`,

	Exempt: "the members are meant to come back to their old data",

	Checks: []Check{
		OnCreate(func(p *Pass, sts *appsv1.StatefulSet) error {
			if sts.ResourceVersion != "" {
				return nil // audit: an existing StatefulSet uses its own claims
			}
			byOperator := p.Cluster.Request.AtAdmission() && cluster.ForeignController(sts) != nil
			return reused(p, sts, []span{ordinals(sts)}, byOperator)
		}),
		OnUpdate(func(p *Pass, old, sts *appsv1.StatefulSet) error {
			return reused(p, sts, ordinals(sts).less(ordinals(old)), false)
		}),
	},
}

// reused reports existing claims that new Pods of a StatefulSet will use; if differing
// is set, only those that differ from their template.
func reused(p *Pass, sts *appsv1.StatefulSet, added []span, differing bool) error {
	if len(added) == 0 {
		return nil
	}
	claims, err := replicaClaims(p.Cluster, sts)
	if err != nil {
		return err
	}
	claims = slices.DeleteFunc(claims, func(c replicaClaim) bool {
		return !slices.ContainsFunc(added, func(s span) bool { return s.has(c.ordinal) })
	})
	used, unknown := usedByOwn(p.Cluster, sts, claims)
	if !p.presumed(unknown) {
		return unknown
	}
	var names []string
	var found []*corev1.PersistentVolumeClaim
	var example []string // facts about the claim that differs most
	of := ""
	for _, c := range claims {
		if used[c.claim.Name] || meant(p.Cluster, c.claim) {
			continue
		}
		facts := differences(c)
		if differing && len(facts) == 0 {
			continue
		}
		names, found = append(names, c.claim.Name), append(found, c.claim)
		if t := c.claim.CreationTimestamp; !t.IsZero() {
			facts = slices.Insert(facts, 0, "of "+t.UTC().Format(time.DateOnly))
		}
		if len(facts) > len(example) {
			of, example = c.claim.Name, facts
		}
	}
	if len(names) == 0 {
		return nil
	}
	what := "claims exist: " + cluster.Few(names)
	if len(names) == 1 {
		what = "its claim exists: " + names[0]
	} else if of != "" {
		what += "; " + of
	}
	remedy := "to start empty: another name for the StatefulSet; to use what they hold: nothing"
	if empty, err := allHoldNothing(p.Cluster, found); err != nil {
		return err
	} else if empty {
		remedy = deleteClaims(names, sts.Namespace) + ", for nothing is on them yet"
	}
	p.Report(field.Invalid(replicasPath, replicasOf(sts.Spec.Replicas),
		strings.TrimSpace(fmt.Sprintf("cannot start empty, as %s %s", what, strings.Join(example, ", ")))),
		remedy)
	return nil
}

// usedByOwn returns the names of a StatefulSet's claims that its own live Pods
// mount, each in the Pod of the claim's ordinal.
func usedByOwn(v *cluster.View, sts *appsv1.StatefulSet, claims []replicaClaim) (map[string]bool, error) {
	names := claimNames(claims, func(replicaClaim) bool { return true })
	if len(names) == 0 {
		return nil, nil
	}
	pods, err := cluster.Find(v, cluster.PodsByClaim, sts.Namespace, names...)
	if err != nil {
		return nil, fmt.Errorf("list Pods: %w", err)
	}
	used := map[string]bool{}
	for _, pod := range pods {
		n, ok := cluster.OrdinalOf(sts, pod.Name)
		if !ok || !ownPod(sts, pod) {
			continue
		}
		for _, vol := range pod.Spec.Volumes {
			if src := vol.PersistentVolumeClaim; src != nil && src.ClaimName == cluster.ClaimName(sts, vol.Name, n) {
				used[src.ClaimName] = true
			}
		}
	}
	return used, nil
}

// meant says whether a claim was made for the StatefulSet to use: it is in the
// same manifests, or has a data source.
func meant(v *cluster.View, pvc *corev1.PersistentVolumeClaim) bool {
	return v.Manifests() && pvc.UID == "" || pvc.Spec.DataSource != nil || pvc.Spec.DataSourceRef != nil ||
		pvc.Spec.VolumeName != "" && pvc.Status.Phase != corev1.ClaimBound
}

// allHoldNothing is [holdsNothing] for several claims.
func allHoldNothing(v *cluster.View, claims []*corev1.PersistentVolumeClaim) (bool, error) {
	for _, pvc := range claims {
		if nothing, err := holdsNothing(v.Cached(), pvc); err != nil || !nothing {
			return false, err
		}
	}
	return true, nil
}

// differences says how a claim differs from its template.
func differences(c replicaClaim) (facts []string) {
	if has, wants := sizeOf(c.claim), sizeOf(c.template); has.Cmp(wants) != 0 {
		facts = append(facts, fmt.Sprintf("with %s, not %s", has.String(), wants.String()))
	}
	// A template without a class means the default class, which may have
	// changed.
	if has, wants := c.claim.Spec.StorageClassName, c.template.Spec.StorageClassName; has != nil && wants != nil &&
		*has != *wants {
		facts = append(facts, fmt.Sprintf("class %s, not %s", *has, *wants))
	}
	return facts
}

// sizeOf returns the capacity of a bound claim, or the requested size.
func sizeOf(pvc *corev1.PersistentVolumeClaim) resource.Quantity {
	if has, ok := pvc.Status.Capacity[corev1.ResourceStorage]; ok {
		return has
	}
	return pvc.Spec.Resources.Requests[corev1.ResourceStorage]
}
