package validators_test

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"stayput.dev/validators"
)

type sts = *appsv1.StatefulSet

var _ = register(map[string]oracle{
	"statefulset-name-length": stored(func(_ *world, s sts) validators.Level {
		if len(s.Name) > 52 {
			return deny
		}
		return nothing
	}),
	"statefulset-no-storage": created(func(_ *world, s sts) validators.Level {
		for _, v := range s.Spec.Template.Spec.Volumes {
			if v.PersistentVolumeClaim != nil || v.HostPath != nil || v.NFS != nil {
				return nothing
			}
		}
		return warnIf(len(s.Spec.VolumeClaimTemplates) == 0)
	}),
	"statefulset-shared-claim": stored(func(w *world, s sts) (level validators.Level) {
		if count(s.Spec.Replicas) <= 1 {
			return nothing
		}
		for _, v := range s.Spec.Template.Spec.Volumes {
			if v.PersistentVolumeClaim == nil || hasTemplate(s, v.Name) { // whose claim takes its place
				continue
			}
			pvc := find(w.claims, s.Namespace, v.PersistentVolumeClaim.ClaimName)
			if pvc == nil || !slices.Contains(pvc.Spec.AccessModes, "ReadWriteMany") ||
				!separate(&s.Spec.Template.Spec, v.Name) {
				level = warn
			}
		}
		if len(overwritten(w, s)) > 0 {
			return deny
		}
		return level
	}),
	"statefulset-retention": gravest(created(func(w *world, s sts) validators.Level { return freed(w, s, s) }),
		updated(func(w *world, old, s sts) validators.Level {
			if policy := old.Spec.PersistentVolumeClaimRetentionPolicy; policy == nil || policy.WhenDeleted != "Delete" {
				return nothing
			}
			return freed(w, old, s)
		}), stored(func(w *world, s sts) validators.Level {
			policy := s.Spec.PersistentVolumeClaimRetentionPolicy
			if policy == nil || policy.WhenDeleted != "Delete" && policy.WhenScaled != "Delete" ||
				len(s.Spec.VolumeClaimTemplates) == 0 {
				return nothing
			}
			for _, pvc := range claimsFor(w, s, upTo(100)) {
				if pv := volumeHad(w, pvc); pv != nil && pv.Spec.PersistentVolumeReclaimPolicy != "Retain" &&
					wishOfMember(w, s, pv, pvc) != "Delete" {
					return deny
				}
			}
			for i := range s.Spec.VolumeClaimTemplates {
				t := &s.Spec.VolumeClaimTemplates[i]
				if w.retain == "off" && destroyer(classFor(w, t)) && wishFor(w, nil, t, s.Namespace) == "" {
					return deny
				}
			}
			return warn
		})),
	"statefulset-scale-down": gravest(created(func(w *world, s sts) validators.Level {
		policy := s.Spec.PersistentVolumeClaimRetentionPolicy
		if policy == nil || policy.WhenScaled != "Delete" || s.ResourceVersion != "" {
			return nothing
		}
		for _, t := range s.Spec.VolumeClaimTemplates {
			for _, pvc := range in(w.claims, s.Namespace) {
				ordinal, its := strings.CutPrefix(pvc.Name, t.Name+"-"+s.Name+"-")
				n, err := strconv.Atoi(ordinal)
				if !its || err != nil || strconv.Itoa(n) != ordinal || n < 0 || slices.Contains(ordinalsOf(s), n) ||
					ownedElsewhere(s, pvc) {
					continue
				}
				if mountsIts(w, s, t.Name, n) { // it takes the Pod over, and has no place for it
					return warn
				}
			}
		}
		return nothing
	}), updated(func(w *world, old, s sts) validators.Level {
		gone := claimsFor(w, s, without(ordinalsOf(old), ordinalsOf(s)))
		if policy := s.Spec.PersistentVolumeClaimRetentionPolicy; policy != nil && policy.WhenScaled == "Delete" {
			gone = slices.DeleteFunc(gone, func(pvc *corev1.PersistentVolumeClaim) bool { return ownedElsewhere(s, pvc) })
		}
		return warnIf(len(ordinalsOf(s)) < len(ordinalsOf(old)) && len(gone) > 0)
	})),
	"statefulset-scale-up": gravest(
		created(func(w *world, s sts) validators.Level {
			return warnIf(findsClaim(w, s, ordinalsOf(s), w.user != "" && ownerOf(s) != nil))
		}),
		updated(func(w *world, old, s sts) validators.Level {
			return warnIf(findsClaim(w, s, without(ordinalsOf(s), ordinalsOf(old)), false))
		}),
	),
	"statefulset-ordinals": updated(func(_ *world, old, s sts) validators.Level {
		return warnIf(firstOrdinal(old) != firstOrdinal(s) && len(without(ordinalsOf(old), ordinalsOf(s))) > 0)
	}),
	"statefulset-grace-period": stored(func(_ *world, s sts) validators.Level {
		seconds := s.Spec.Template.Spec.TerminationGracePeriodSeconds
		if seconds == nil || *seconds >= 10 {
			return nothing
		}
		return denyIf(*seconds == 0)
	}),
	"statefulset-on-delete": gravest(
		created(func(_ *world, s sts) validators.Level { return warnIf(s.Spec.UpdateStrategy.Type == "OnDelete") }),
		updated(func(_ *world, old, s sts) validators.Level {
			return warnIf(s.Spec.UpdateStrategy.Type == "OnDelete" && !reflect.DeepEqual(old.Spec.Template, s.Spec.Template) &&
				count(s.Spec.Replicas) > 0)
		}),
	),
	"statefulset-partition": stored(func(_ *world, s sts) validators.Level {
		return warnIf(partition(s) > 0 && count(s.Spec.Replicas) > 0)
	}),
	"statefulset-recreate": gravest(
		created(func(_ *world, s sts) validators.Level {
			return warnIf(s.Spec.UpdateStrategy.Type == "Recreate" && several(s))
		}),
		updated(func(_ *world, old, s sts) validators.Level {
			had := old.Spec.UpdateStrategy.Type == "Recreate" && several(old)
			has := s.Spec.UpdateStrategy.Type == "Recreate" && several(s)
			return warnIf(has && (!had || !reflect.DeepEqual(old.Spec.Template, s.Spec.Template)))
		}),
	),
	"statefulset-max-unavailable": stored(func(w *world, s sts) validators.Level {
		update, all := s.Spec.UpdateStrategy.RollingUpdate, count(s.Spec.Replicas)
		if update == nil || update.MaxUnavailable == nil {
			return nothing
		}
		down := update.MaxUnavailable.IntValue()
		if update.MaxUnavailable.Type == intstr.String {
			percent, _ := strconv.Atoi(strings.TrimSuffix(update.MaxUnavailable.StrVal, "%"))
			down = all * percent / 100
			if w.since(38) {
				down = (all - int(partition(s))) * percent / 100
			}
		}
		down = min(down, all-int(partition(s)))
		return warnIf(down >= 2 && all-down <= down)
	}),
	"statefulset-parallel": created(func(w *world, s sts) validators.Level {
		svc := governing(w, s)
		switch {
		case s.Spec.PodManagementPolicy != "Parallel" || count(s.Spec.Replicas) < 2:
			return nothing
		case svc == nil:
			return validators.Warn
		case headless(svc) && tellsReady(s): // the other rule's
			return nothing
		}
		return warnIf(!svc.Spec.PublishNotReadyAddresses)
	}),
	"statefulset-readiness": stored(func(_ *world, s sts) validators.Level {
		return warnIf(count(s.Spec.Replicas) > 1 && s.Spec.UpdateStrategy.Type != "OnDelete" && !tellsReady(s))
	}),
	"statefulset-min-ready-seconds": stored(func(_ *world, s sts) validators.Level {
		return warnIf(count(s.Spec.Replicas) > 1 && s.Spec.MinReadySeconds == 0 &&
			!slices.Contains([]appsv1.StatefulSetUpdateStrategyType{"OnDelete", "Recreate"}, s.Spec.UpdateStrategy.Type))
	}),
	"statefulset-identity": stored(func(_ *world, s sts) validators.Level {
		pod := s.Spec.Template.Spec
		return warnIf(pod.Hostname != "" || pod.Subdomain != "" && pod.Subdomain != s.Spec.ServiceName ||
			pod.HostnameOverride != nil && count(s.Spec.Replicas) > 1)
	}),
	"statefulset-spread": stored(func(_ *world, s sts) validators.Level {
		pod, own := &s.Spec.Template.Spec, s.Spec.Template.Labels
		for _, c := range allContainers(pod) {
			for _, p := range c.Ports {
				if p.HostPort > 0 || pod.HostNetwork { // where it is the same number
					return nothing
				}
			}
		}
		for _, c := range pod.TopologySpreadConstraints {
			if c.TopologyKey == "kubernetes.io/hostname" && matches(c.LabelSelector, own) {
				return nothing
			}
		}
		if pod.Affinity != nil && pod.Affinity.PodAntiAffinity != nil {
			terms := pod.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
			for _, p := range pod.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
				terms = append(terms, p.PodAffinityTerm)
			}
			for _, term := range terms {
				_, name, _ := strings.Cut(term.TopologyKey, "kubernetes.io/")
				if matches(term.LabelSelector, own) && name != "os" && name != "arch" {
					return nothing
				}
			}
		}
		return warnIf(count(s.Spec.Replicas) > 1)
	}),
	"statefulset-disruption-budget": stored(func(w *world, s sts) validators.Level {
		if count(s.Spec.Replicas) == 0 {
			return nothing
		}
		var for_ []*policyv1.PodDisruptionBudget
		for _, pdb := range in(w.budgets, s.Namespace) {
			if matches(pdb.Spec.Selector, s.Spec.Template.Labels) && pdb.DeletionTimestamp == nil {
				for_ = append(for_, pdb)
			}
		}
		if len(for_) == 0 {
			return warnIf(count(s.Spec.Replicas) > 1 && !slices.ContainsFunc(in(w.budgets, s.Namespace),
				func(pdb *policyv1.PodDisruptionBudget) bool {
					if pdb.DeletionTimestamp != nil {
						return false
					}
					sameOwner := ofOperator(s) && slices.ContainsFunc(pdb.OwnerReferences,
						func(o metav1.OwnerReference) bool { return o.UID == ownerOf(s).UID })
					return sameOwner || matchesOnceLabelled(pdb.Spec.Selector, s.Spec.Template.Labels)
				}))
		}
		if len(for_) > 1 {
			return warn
		}
		pods := count(s.Spec.Replicas)
		beside, replicas := templatesBeside(w, s)
		for i, l := range beside {
			if matches(for_[0].Spec.Selector, l) {
				pods += replicas[i]
			}
		}
		return warnIf(!lets(for_[0].Spec, pods) && !lets(for_[0].Spec, count(s.Spec.Replicas)))
	}),
	"statefulset-delete": deleted(func(w *world, s sts) validators.Level {
		claims := slices.DeleteFunc(claimsFor(w, s, upTo(100)), ofItsPod)
		return warnIf(!w.orphan && w.user == "jane" && len(claims) > 0)
	}),
})

// matchesOnceLabelled says whether a selector that asks for some of the labels that
// there are would match them if there were more.
func matchesOnceLabelled(sel *metav1.LabelSelector, on map[string]string) bool {
	if sel == nil {
		return false
	}
	known := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	for k, v := range sel.MatchLabels {
		if _, ok := on[k]; ok {
			known.MatchLabels[k] = v
		}
	}
	for _, e := range sel.MatchExpressions {
		if _, ok := on[e.Key]; ok {
			known.MatchExpressions = append(known.MatchExpressions, e)
		}
	}
	return len(known.MatchLabels)+len(known.MatchExpressions) > 0 && matches(known, on)
}

// findsClaim says whether Pods that are new find a claim of theirs. Whatever
// labels the Pod of its name has, while it lives with the claim it is not new. An
// operator hears of claims alone that are not as the template would make them.
func findsClaim(w *world, s sts, ordinals []int, operator bool) bool {
	for i, t := range s.Spec.VolumeClaimTemplates {
		if !lastOfName(s, i) {
			continue
		}
		for _, n := range ordinals {
			claim := fmt.Sprintf("%s-%s-%d", t.Name, s.Name, n)
			if c := find(w.claims, s.Namespace, claim); c != nil && !mountsIts(w, s, t.Name, n) && strange(c) &&
				(!operator || unlike(c, &t)) {
				return true
			}
		}
	}
	return false
}

// lastOfName says whether claims are made from a claim template: from the last of a
// name they are.
func lastOfName(s sts, i int) bool {
	return !slices.ContainsFunc(s.Spec.VolumeClaimTemplates[i+1:], func(later corev1.PersistentVolumeClaim) bool {
		return later.Name == s.Spec.VolumeClaimTemplates[i].Name
	})
}

// unlike says whether a claim is not of the size or the class that is asked for.
func unlike(c, t *corev1.PersistentVolumeClaim) bool {
	has, bound := c.Status.Capacity["storage"]
	if !bound {
		has = c.Spec.Resources.Requests["storage"]
	}
	wants := t.Spec.Resources.Requests["storage"]
	a, b := c.Spec.StorageClassName, t.Spec.StorageClassName
	return has.Cmp(wants) != 0 || a != nil && b != nil && *a != *b
}

// mountsIts says whether the Pod of an ordinal lives on, nobody else's, and has the
// claim that a template gives it.
func mountsIts(w *world, s sts, template string, n int) bool {
	pod := find(w.pods, s.Namespace, fmt.Sprintf("%s-%d", s.Name, n))
	return pod != nil && runs(pod) && free(pod, "StatefulSet", s.Name) &&
		slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			return v.Name == template && v.PersistentVolumeClaim != nil &&
				v.PersistentVolumeClaim.ClaimName == fmt.Sprintf("%s-%s-%d", template, s.Name, n)
		})
}

// strange says whether a claim that a new Pod will find was not made for it to
// find: it wants no data from elsewhere, and waits for no volume of its own.
func strange(c *corev1.PersistentVolumeClaim) bool {
	waits := c.Spec.VolumeName != "" && c.Status.Phase != "Bound"
	return c.Spec.DataSource == nil && c.Spec.DataSourceRef == nil && !waits
}

// overwritten returns the claims that all replicas write, and only one may.
func overwritten(w *world, s sts) (names []string) {
	pod := &s.Spec.Template.Spec
	for _, v := range pod.Volumes {
		if v.PersistentVolumeClaim == nil || hasTemplate(s, v.Name) {
			continue
		}
		pvc := find(w.claims, s.Namespace, v.PersistentVolumeClaim.ClaimName)
		onlyRead := v.PersistentVolumeClaim.ReadOnly || mounted(pod, v.Name) && !written(pod, v.Name)
		if pvc != nil && fitsOne(pvc.Spec.AccessModes) && !onlyRead {
			names = append(names, pvc.Name)
		}
	}
	return names
}

// ofItsPod says whether the Pod of a replica owns its claim: data-db-0 of db-0.
func ofItsPod(pvc *corev1.PersistentVolumeClaim) bool {
	return slices.ContainsFunc(pvc.OwnerReferences, func(o metav1.OwnerReference) bool {
		return o.Kind == "Pod" && strings.HasSuffix(pvc.Name, "-"+o.Name) &&
			strings.Count(pvc.Name, "-") > strings.Count(o.Name, "-")
	})
}

// ownedBySet says whether a StatefulSet is an owner of a claim.
func ownedBySet(s sts, pvc *corev1.PersistentVolumeClaim) bool {
	return slices.ContainsFunc(pvc.OwnerReferences,
		func(o metav1.OwnerReference) bool { return o.APIVersion == "apps/v1" && o.UID == s.UID })
}

// ownedElsewhere says whether a claim has owners besides its StatefulSet and its
// Pod.
func ownedElsewhere(s sts, pvc *corev1.PersistentVolumeClaim) bool {
	own := 0
	if ownedBySet(s, pvc) {
		own++
	}
	if ofItsPod(pvc) {
		own++
	}
	return len(pvc.OwnerReferences) > own
}

// freed says whether whenDeleted is Retain while claims, neither in range nor
// just scaled away, are the StatefulSet's alone.
func freed(w *world, old, s sts) validators.Level {
	if policy := s.Spec.PersistentVolumeClaimRetentionPolicy; policy != nil && policy.WhenDeleted == "Delete" {
		return nothing
	}
	for _, pvc := range claimsFor(w, s, without(without(upTo(100), ordinalsOf(s)), ordinalsOf(old))) {
		if ownedBySet(s, pvc) && len(pvc.OwnerReferences) == 1 {
			return warn
		}
	}
	return nothing
}

func hasTemplate(s sts, name string) bool {
	for _, t := range s.Spec.VolumeClaimTemplates {
		if t.Name == name {
			return true
		}
	}
	return false
}

// wishOfMember is the wish for the volume of a StatefulSet's claim, whose
// template counts after it.
func wishOfMember(w *world, s sts, pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) string {
	if own := wish(pv, pvc); own != "" {
		return own
	}
	made := ""
	for i := range s.Spec.VolumeClaimTemplates { // of two of one name the last counts
		if t := &s.Spec.VolumeClaimTemplates[i]; strings.HasPrefix(pvc.Name, t.Name+"-"+s.Name+"-") {
			made = wish(t)
		}
	}
	return cmp.Or(made, wishFor(w, nil, nil, s.Namespace))
}

func firstOrdinal(s sts) int32 {
	if s.Spec.Ordinals == nil {
		return 0
	}
	return s.Spec.Ordinals.Start
}

// partition is how many Pods a rolling update leaves alone.
func partition(s sts) int32 {
	if u := s.Spec.UpdateStrategy; u.Type != "OnDelete" && u.RollingUpdate != nil && u.RollingUpdate.Partition != nil {
		return *u.RollingUpdate.Partition
	}
	return 0
}

// lets says whether a budget lets one of so many healthy Pods go: as the
// disruption controller rounds, up.
func lets(budget policyv1.PodDisruptionBudgetSpec, pods int) bool {
	number := func(v *intstr.IntOrString) int {
		if v.Type == intstr.Int {
			return v.IntValue()
		}
		var percent int
		_, _ = fmt.Sscanf(v.StrVal, "%d%%", &percent)
		return (pods*percent + 99) / 100
	}
	switch {
	case budget.MaxUnavailable != nil:
		return number(budget.MaxUnavailable) > 0
	case budget.MinAvailable != nil:
		return number(budget.MinAvailable) < pods
	}
	return false
}

var _ = register(map[string]oracle{
	"statefulset-service-name": created(func(_ *world, s sts) validators.Level {
		if s.Spec.ServiceName != "" {
			return nothing
		}
		return denyIf(count(s.Spec.Replicas) > 1)
	}),
	"statefulset-service-missing": stored(func(w *world, s sts) validators.Level {
		return warnIf(s.Spec.ServiceName != "" && governing(w, s) == nil)
	}),
	"statefulset-service-headless": created(func(w *world, s sts) validators.Level {
		svc := governing(w, s)
		if svc == nil || headless(svc) {
			return nothing
		}
		if svc.Spec.Type != "ExternalName" && !selects(svc, s.Spec.Template.Labels) {
			return nothing
		}
		leaving := svc.DeletionTimestamp != nil // and so mended by the next apply
		called := speaksOf(&s.Spec.Template.Spec, `([a-z0-9-]*-)?\$(\(\w+\)|\{\w+\}|\w+)`, svc.Name)
		specs := []*corev1.PodSpec{&s.Spec.Template.Spec}
		for _, o := range in(w.statefulSets, s.Namespace) {
			specs = append(specs, &o.Spec.Template.Spec)
		}
		for _, d := range in(w.deployments, s.Namespace) {
			specs = append(specs, &d.Spec.Template.Spec)
		}
		for _, spec := range specs {
			called = called || speaksOf(spec, `(^|[^a-z0-9-])`+s.Name+`-[0-9]+`, svc.Name)
		}
		return denyIf(count(s.Spec.Replicas) > 1 && svc.Spec.Type != "ExternalName" && !leaving &&
			(len(s.Spec.VolumeClaimTemplates) > 0 || called))
	}),
	"statefulset-service-selector": stored(func(w *world, s sts) validators.Level {
		svc := governing(w, s)
		return warnIf(svc != nil && svc.Spec.Type != "ExternalName" && !selects(svc, s.Spec.Template.Labels))
	}),
	"statefulset-service-shared": created(func(w *world, s sts) validators.Level {
		svc := governing(w, s)
		if svc == nil || !headless(svc) || !selects(svc, s.Spec.Template.Labels) {
			return nothing
		}
		type other struct {
			names   bool
			selects map[string]string
		}
		var others []other
		for _, o := range in(w.statefulSets, s.Namespace) {
			if o.Name != s.Name && o.DeletionTimestamp == nil && selects(svc, o.Spec.Template.Labels) {
				others = append(others, other{o.Spec.ServiceName == svc.Name, wants(o.Spec.Selector)})
			}
		}
		for _, d := range in(w.deployments, s.Namespace) {
			if d.DeletionTimestamp == nil && selects(svc, d.Spec.Template.Labels) {
				others = append(others, other{false, wants(d.Spec.Selector)})
			}
		}
		byChance := false
		for _, o := range others {
			byChance = byChance || !o.names
		}
		for name, value := range svc.Spec.Selector { // each of these somebody selects by
			selected := wants(s.Spec.Selector)[name] == value
			for _, o := range others {
				selected = selected || o.selects[name] == value
			}
			byChance = byChance && selected
		}
		return warnIf(byChance)
	}),
	"statefulset-service-not-ready-addresses": stored(func(w *world, s sts) validators.Level {
		svc := governing(w, s)
		return warnIf(svc != nil && s.Spec.PodManagementPolicy == "Parallel" && count(s.Spec.Replicas) > 1 &&
			!svc.Spec.PublishNotReadyAddresses && headless(svc) && tellsReady(s))
	}),
	"service-governing": gravest(
		created(func(w *world, svc *corev1.Service) validators.Level { return governs(w, nil, svc) }),
		updated(func(w *world, old, svc *corev1.Service) validators.Level { return governs(w, old, svc) }),
		deleted(func(w *world, svc *corev1.Service) validators.Level { return warnIf(len(governed(w, svc)) > 0) }),
	),
})

// speaksOf says whether a container of a Pod says <pattern>.<service>, to be
// followed by nothing that would make it another name.
func speaksOf(spec *corev1.PodSpec, pattern, service string) bool {
	name := regexp.MustCompile(pattern + `\.` + regexp.QuoteMeta(service) + `([^a-z0-9-]|$)`)
	for _, c := range allContainers(spec) {
		said := slices.Concat(c.Command, c.Args)
		for _, e := range c.Env {
			said = append(said, e.Value)
		}
		if slices.ContainsFunc(said, name.MatchString) {
			return true
		}
	}
	return false
}

// wants returns the labels that a selector wants one by one.
func wants(sel *metav1.LabelSelector) map[string]string {
	if sel == nil {
		return nil
	}
	return sel.MatchLabels
}

// separate says whether all that mount a volume of a Pod have a directory there
// that is named after the Pod.
func separate(pod *corev1.PodSpec, volume string) bool {
	mounts := 0
	for _, c := range allContainers(pod) {
		for _, d := range c.VolumeDevices {
			if d.Name == volume {
				return false
			}
		}
		for _, m := range c.VolumeMounts {
			if m.Name != volume {
				continue
			}
			mounts++
			own := false
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.FieldRef.FieldPath == "metadata.name" {
					own = own || strings.Contains(m.SubPathExpr, "$("+e.Name+")")
				}
			}
			if !own {
				return false
			}
		}
	}
	return mounts > 0
}

func governing(w *world, s sts) *corev1.Service {
	return find(w.services, s.Namespace, s.Spec.ServiceName)
}

// governed returns the StatefulSets that name a Service.
func governed(w *world, svc *corev1.Service) (found []sts) {
	for _, s := range in(w.statefulSets, svc.Namespace) {
		if s.Spec.ServiceName == svc.Name && s.DeletionTimestamp == nil {
			found = append(found, s)
		}
	}
	return found
}

// governs finds each of three things that are wrong with a Service and were not
// before: it names no Pods, is not headless, or does not select them.
func governs(w *world, old, svc *corev1.Service) validators.Level {
	alias := func(svc *corev1.Service, _ sts) bool { return svc.Spec.Type == "ExternalName" }
	stranger := func(svc *corev1.Service, s sts) bool { return !selects(svc, s.Spec.Template.Labels) && !alias(svc, s) }
	virtual := func(svc *corev1.Service, s sts) bool { return !headless(svc) && !alias(svc, s) && !stranger(svc, s) }
	for _, s := range governed(w, svc) {
		for _, wrong := range []func(*corev1.Service, sts) bool{alias, virtual, stranger} {
			if wrong(svc, s) && (old == nil || !wrong(old, s)) {
				return warn
			}
		}
	}
	return nothing
}

// tellsReady says whether any container of the Pods has a readiness probe.
func tellsReady(s sts) bool {
	for _, c := range allContainers(&s.Spec.Template.Spec) {
		if c.ReadinessProbe != nil {
			return true
		}
	}
	return false
}
