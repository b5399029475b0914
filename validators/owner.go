package validators

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// The policy for what an operator owns: an object whose controller is of none of
// Kubernetes' own kinds, see [cluster.ForeignController]. Whoever reads of it
// cannot edit it, for the operator would undo that, and the operator cannot read.
//
//   - A denial that saves no data is a warning, for an operator that is refused
//     what it makes cannot make anything else. It stays for people: an
//     ownerReference is written by whoever writes the object. One that saves data
//     stays for everybody.
//   - Every remedy ends in the owner, through which it must be done.
//   - Conventions of style are told once, when the object is created: no update of
//     it speaks of them, not even one that changes what they read.
//   - What an operator makes beside the object, a second later, is not missed when
//     that is created, but in audit, and upon an update that changes what the rule
//     reads.
//
// Custom resources are not looked up: whether one is going shows in the
// deletionTimestamp of what it owns.

// speaking returns the rules that speak of what an operator owns when this
// happens to it.
func speaking(rules []*Rule, req cluster.Request, old, obj client.Object) []*Rule {
	created, updated := old == nil && req.AtAdmission(), old != nil && obj != nil
	return filter(rules, func(r *Rule) bool {
		if r.Companion {
			return !created
		}
		return !r.Style || !updated
	})
}

// comesLater says whether what is missing beside an object that is created is
// another that its operator may make a second later.
func (p *Pass) comesLater(obj client.Object) bool {
	return p.Cluster.Request.AtAdmission() && cluster.ForeignController(obj) != nil
}

// ownedBy does to a verdict what the policy says of an object with that owner.
func (v *Verdict) ownedBy(owner *metav1.OwnerReference, req cluster.Request) {
	if req.ByServiceAccount() || !req.AtAdmission() {
		v.lower(func(r *Rule) bool { return !r.SavesData })
	}
	through := throughOwner(owner)
	for i := range v.Findings {
		if f := &v.Findings[i]; !strings.HasSuffix(f.Remedy, through) {
			f.briefs = slices.Concat(f.briefs, []string{printRule + f.Rule.Name + ", " + through, through})
			f.Remedy += ", " + through
		}
	}
}

// throughOwner says by what a remedy is to be had.
func throughOwner(owner *metav1.OwnerReference) string {
	return fmt.Sprintf("through %s %s", owner.Kind, owner.Name)
}

// letThrough tells a service account that is denied, or would be if the mode were
// not to warn, what it can have: the entry of the configuration that lets it
// through, the narrowest that there is, and what that costs. Nobody reads the
// answer who could annotate anything.
func (v *Verdict) letThrough(req cluster.Request, obj client.Object, deletion bool) {
	if !req.ByServiceAccount() {
		return
	}
	for i := range v.Findings {
		f := &v.Findings[i]
		if f.Level != Deny {
			continue
		}
		if w := f.wayThrough(req.User.Username, obj, deletion); v.Mode == ModeWarn {
			v.foretell(f.Rule, w)
		} else {
			f.letThrough(w, deletion)
		}
	}
}

// A wayThrough says which entry of the configuration lets somebody through, with
// more or less of what that costs, the best first.
type wayThrough struct{ full, brief, briefest, entry string }

func (f *Finding) wayThrough(user string, obj client.Object, deletion bool) wayThrough {
	entry := "exemptions: [" + ExemptionFor(f.Rule.Name, user, obj).YAML() + "]"
	if deletion {
		entry = "deletions: {callers: [" + CallerFor(user, obj).YAML() + "]}"
	}
	entry = "a platform engineer must add " + entry
	const where = " to Stayput's configuration"
	w := wayThrough{entry + where, entry, entry, entry}
	if f.Rule.SavesData {
		costs := fmt.Sprintf("disks in %s whose policy is Delete", placeOf(obj))
		if len(f.Loses) > 0 {
			one := ", which lets go the disk of " + cluster.Few(f.Loses)
			w.briefest += one
			costs = one + ", and other " + costs
		} else {
			costs = ", which lets go " + costs
		}
		w.full, w.brief = w.full+costs, w.brief+costs
	}
	return w
}

func (f *Finding) letThrough(w wayThrough, deletion bool) {
	switch own := f.Remedy; {
	case !deletion: // what it applies may come from somebody who can edit that
		f.Remedy, f.briefs = own+"; or "+w.full, []string{own + "; or " + w.brief, w.full, w.brief, w.briefest, w.entry}
	case len(f.Loses) > 0 && len(f.Loses) <= 2:
		f.Remedy = "to keep the disk: " + retainCommand(strings.Join(f.Loses, " ")) + "; to let it go, " + w.full
		f.briefs = []string{w.full, w.brief, w.briefest, w.entry}
	default:
		f.Remedy, f.briefs = w.full, []string{w.brief, w.briefest, w.entry}
	}
}

// foretell says by which way what is only warned of would be let through if it
// were denied. It is a warning of its own: beside what is found there is no room.
func (v *Verdict) foretell(r *Rule, w wayThrough) {
	const most = 250 // runes that the API server is sure to pass on
	for _, way := range []string{w.full, w.brief, w.briefest, w.entry} {
		if note := r.Name + ": under enforce, " + way; utf8.RuneCountInString(note) <= most {
			v.note("%s", note)
			return
		}
	}
}
