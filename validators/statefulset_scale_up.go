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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

var statefulsetScaleUp = &Rule{
	Name:  "statefulset-scale-up",
	Level: Warn,
	Loses: LosesData,
	Reads: []client.Object{&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}, &corev1.Pod{}},
	Doc: `whoever scales a StatefulSet up should know which claims it finds

A new Pod takes the claim of its name if there is one, left from before it was
scaled down or from an earlier StatefulSet of that name, and all that is on the
volume. Neither size nor class is compared with the template. A database may take
stale data for current, or find its disk smaller than that of the others. Of
claims that its own Pods use, which live on where a StatefulSet was deleted with
--cascade=orphan and is made anew, nothing is said; nor to an operator that makes
a StatefulSet anew, which is how it comes back to what it had, unless a claim
differs from its template.

If they are meant to be used again there is nothing to do; a claim with too
small a volume can be grown: kubectl patch pvc, if its StorageClass allows
expansion. If not, find out what each holds, and keep a copy, before anything is
deleted. A claim that comes with the StatefulSet in the same manifests, or that
is to be filled from a snapshot or another claim, is meant, and no finding.`,

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
