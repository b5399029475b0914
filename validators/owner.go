package validators

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

// The policy for objects that an operator owns, that is, with a controller of a
// kind that is none of Kubernetes' own: see [cluster.ForeignController]. People
// who read the finding cannot edit the object, for the operator would undo
// that; and the operator cannot read the finding.
//
//   - A denial that saves no data becomes a warning, because an operator that
//     cannot create one object stops there. For a person's request it stays a
//     denial, for anybody who writes an object can write an ownerReference into
//     it. A denial that saves data, or that a label asks for, stays for everybody.
//   - Every remedy ends with the owner, which must make the change.
//   - Conventions of style are reported once, when the object is created, and
//     never upon updates, even of fields that they read.
//   - An object that an operator creates a second later beside the owned one is
//     not reported as missing at creation. Audit reports it, and so does an
//     update that changes what the rule reads.
//
// Custom resources are not looked up: if an owner is being deleted, the objects
// that it owns have a deletionTimestamp.

// speaking returns the rules that apply to an operator's object for this
// request.
func speaking(rules []*Rule, req cluster.Request, old, obj cluster.Object) []*Rule {
	created, updated := old == nil && req.AtAdmission(), old != nil && obj != nil
	return filter(rules, func(r *Rule) bool {
		if r.Companion {
			return !created
		}
		return !r.Style || !updated
	})
}

// comesLater says whether an object that is missing at the creation of obj may
// be created by the operator a second later.
func (p *Pass) comesLater(obj cluster.Object) bool {
	return p.Cluster.Request.AtAdmission() && cluster.ForeignController(obj) != nil
}

// ownedBy applies the policy for objects with that owner to a verdict.
func (v *Verdict) ownedBy(owner *metav1.OwnerReference, req cluster.Request) {
	if req.ByServiceAccount() || !req.AtAdmission() {
		v.lower(func(r *Rule) bool { return !r.SavesData && !r.Chosen })
	}
	through := throughOwner(owner)
	for i := range v.Findings {
		if f := &v.Findings[i]; f.through != through {
			// Whom to speak to is of more use than where the rest stands.
			var briefs []brief
			for _, b := range f.briefs {
				briefs = append(briefs, brief{b.text + ", " + through, false})
			}
			if f.Recreates {
				f.keep = f.keep.and(", " + through)
			}
			f.briefs = slices.Concat(briefs, briefly(printRule+f.Rule.Name+", "+through, through))
			f.Remedy, f.through = f.Remedy.and(", "+through), through
		}
	}
}

// throughOwner says through which owner a remedy must be applied.
func throughOwner(owner *metav1.OwnerReference) string {
	return fmt.Sprintf("through %s %s", owner.Kind, owner.Name)
}

// letThrough adds a note for a service account that is denied, or would be if
// the mode were not warn: the narrowest entry of the configuration that lets it
// through, and the cost. An operator that reads the answer cannot annotate
// anything.
func (v *Verdict) letThrough(req cluster.Request, obj cluster.Object, deletion bool) {
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

// A wayThrough names the entry of the configuration that lets a caller through,
// with the cost in three lengths, the best first.
type wayThrough struct{ full, brief, briefest, entry string }

func (f *Finding) wayThrough(user string, obj cluster.Object, deletion bool) wayThrough {
	entry := "exemptions: [" + ExemptionFor(f.Rule.Name, user, obj).YAML() + "]"
	if deletion {
		entry = "deletions: {callers: [" + CallerFor(user, obj).YAML() + "]}"
	}
	entry = "a platform engineer must add " + entry
	const where = " to Stayput's configuration"
	w := wayThrough{entry + where, entry, entry, entry}
	if f.Rule.SavesData {
		costs := "disks whose policy is Delete"
		if place := placeOf(obj); place != "" {
			costs = fmt.Sprintf("disks in %s whose policy is Delete", place)
		}
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
	case !deletion, f.Rule.Chosen: // the applied object, or the label, may come from somebody who can edit it
		f.Remedy = append(slices.Clip(own), "; or "+w.full)
		f.briefs = briefly(own.String()+"; or "+w.brief, w.full, w.brief, w.briefest, w.entry)
	case len(f.Loses) > 0 && len(f.Loses) <= 2:
		f.Remedy = Remedy{"to keep the disk: " + retainCommand(strings.Join(f.Loses, " ")), "; to let it go, " + w.full}
		f.briefs = briefly(w.full, w.brief, w.briefest, w.entry)
	default:
		f.Remedy, f.briefs = Remedy{w.full}, briefly(w.brief, w.briefest, w.entry)
	}
}

// foretell adds a warning that names the way through for a finding which would
// be denied in the mode enforce. It is a warning of its own because the
// finding's has no room for it.
func (v *Verdict) foretell(r *Rule, w wayThrough) {
	const most = 250 // runes that the API server always passes on
	for _, way := range []string{w.full, w.brief, w.briefest, w.entry} {
		if n := (Note{Rule: r.Name, Text: "under enforce, " + way}); utf8.RuneCountInString(n.String()) <= most {
			v.note(n)
			return
		}
	}
}
