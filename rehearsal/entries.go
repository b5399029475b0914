package rehearsal

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

// entries are the narrowest configuration entries that permit what was denied.
type entries struct {
	exemptions, callers map[string]*entry
}

// An entry is one, and why it is not for everybody to write.
type entry struct {
	item  string
	times int
	why   string // it is commented out, or ""
}

const (
	destroys = "lets disks be destroyed"
	person   = "is for a person, who can read the denial and follow it"
)

// add adds the entry that permits a user to delete or write an object in spite
// of a rule. Without a user, none is needed.
func (es *entries) add(v *cluster.View, rule *validators.Rule, user string, obj cluster.Object, deleted bool) {
	if user == "" {
		return
	}
	var item string
	into := &es.exemptions
	if deleted {
		item, into = validators.CallerFor(user, obj).YAML(), &es.callers
	} else {
		exemption := validators.ExemptionFor(rule.Name, user, obj)
		exemption.Reason = "rehearsed: " + rule.Name
		item = exemption.YAML()
	}
	if *into == nil {
		*into = map[string]*entry{}
	}
	e := (*into)[item]
	if e == nil {
		e = &entry{item: item}
		(*into)[item] = e
	}
	e.times++
	switch {
	case rule.SavesData && !retained(v, obj):
		e.why = destroys
	case e.why == "" && !strings.HasPrefix(user, "system:serviceaccount:"):
		e.why = person
	}
}

// retained says whether a deleted object is a claim whose disk is retained,
// like those of all claims in its namespace, because an entry applies to all of
// them. A deleted volume is forgotten by Kubernetes under any policy. For other
// objects it is false.
func retained(v *cluster.View, obj cluster.Object) bool {
	pvc, ok := obj.(*corev1.PersistentVolumeClaim)
	if !ok || pvc.Spec.VolumeName == "" {
		return false
	}
	pv, err := cluster.Get[corev1.PersistentVolume](v, "", pvc.Spec.VolumeName)
	if err != nil || pv == nil {
		return false
	}
	all, err := cluster.Find(v, cluster.VolumesByClaim, "", cluster.ClaimedIn(pvc.Namespace))
	return err == nil && !slices.ContainsFunc(slices.Concat(all, []*corev1.PersistentVolume{pv}),
		func(pv *corev1.PersistentVolume) bool {
			return pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain
		})
}

// yaml returns the entries as a part of a configuration.
func (es *entries) yaml() string {
	var b strings.Builder
	section := func(head, indent string, items map[string]*entry) {
		if len(items) == 0 {
			return
		}
		var live, dead []string
		for _, e := range items {
			if e.why == "" {
				live = append(live, fmt.Sprintf("%s- %s\n", indent, e.item))
			} else {
				dead = append(dead, fmt.Sprintf("%s# %s:\n%s# - %s\n", indent, e.why, indent, e.item))
			}
		}
		slices.Sort(live)
		slices.Sort(dead)
		if len(live) == 0 {
			head = "# " + strings.ReplaceAll(strings.TrimSuffix(head, "\n"), "\n", "\n# ") + "\n"
		}
		b.WriteString(head + strings.Join(live, "") + strings.Join(dead, ""))
	}
	section("exemptions:\n", "", es.exemptions)
	section("deletions:\n  callers:\n", "  ", es.callers)
	return b.String()
}
