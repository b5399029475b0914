package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/cluster"
)

// An Owner is a custom resource that owns claims, by their ownerReferences or by
// those of their StatefulSet, and says what is deleted with it.
type Owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// Gone says that the owner no longer exists: the garbage collector is about to
	// delete its dependents.
	Gone bool `json:"gone,omitempty"`
	// Finalizers are the owner's finalizers. Their controllers may delete more
	// than this report says.
	Finalizers []string `json:"finalizers,omitempty"`
	// StatefulSets are the StatefulSets that are deleted with the owner.
	StatefulSets []string `json:"statefulSets"`
	// Claims are the claims of the owner, and those of its StatefulSets.
	Claims []OwnedClaim `json:"claims"`
	// Bytes is the capacity of the volumes that are destroyed with the owner.
	Bytes int64 `json:"bytes"`
	// Remedy is the command that sets these volumes to Retain.
	Remedy string `json:"remedy,omitempty"`
}

// An OwnedClaim is a claim, and says what happens to it when its owner is deleted.
type OwnedClaim struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Volume    string `json:"volume,omitempty"`
	Capacity  string `json:"capacity,omitempty"`
	Bytes     int64  `json:"bytes"`
	// Goes says whether the garbage collector deletes the claim with its owner.
	Goes bool `json:"goes"`
	// Fate says what happens to the data if the claim is deleted.
	Fate Fate `json:"fate" jsonschema:"enum=retained,enum=destroyed,enum=forgotten,enum=unbound,enum=unknown"`
}

// String returns Kind namespace/name.
func (o *Owner) String() string {
	return Object{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}.String()
}

// count returns the number of claims that go or stay with a fate. An empty fate
// stands for any.
func (o *Owner) count(goes bool, fate Fate) (n int) {
	for _, c := range o.Claims {
		if c.Goes == goes && (fate == "" || c.Fate == fate) {
			n++
		}
	}
	return n
}

// Sentence says which claims are deleted with the owner and which stay.
func (o *Owner) Sentence() string {
	var parts []string
	add := func(goes bool, fate Fate, format string, more ...any) {
		if n := o.count(goes, fate); n > 0 {
			parts = append(parts, fmt.Sprintf(format, append([]any{count(n, "claim")}, more...)...))
		}
	}
	add(true, Destroyed, "%s and %s on disk destroyed with it", size(o.Bytes))
	add(true, Retained, "%s deleted with it, the disks stay")
	add(true, NoData, "%s without a disk deleted with it")
	add(true, Unknown, "%s deleted with it, the disks are not known")
	add(false, "", "%s not deleted with it")
	s := strings.Join(parts, "; ")
	if o.Gone {
		s += "; it is gone already"
	}
	if len(o.Finalizers) > 0 {
		s += "; its finalizers may delete more: " + strings.Join(o.Finalizers, ", ")
	}
	return s
}

// A Lookup lists the metadata of all custom resources of a kind. Its error says
// why it cannot.
type Lookup func(kind schema.GroupVersionKind) ([]metav1.PartialObjectMetadata, error)

// An owned collects the objects that have owners, during the walk through the
// cluster.
type owned struct {
	dependents []*dependent
	claims     []ownedClaim
}

// A dependent is an object with owners: a StatefulSet or a custom resource.
type dependent struct {
	uid       types.UID
	namespace string
	owners    []metav1.OwnerReference
	set       string // the name, if it is a StatefulSet
}

type ownedClaim struct {
	Claim

	owners []metav1.OwnerReference
	sets   []types.UID // the StatefulSets that it may belong to
	with   []types.UID // those with whenDeleted: Delete, even if they are not its owners yet
}

func (w *owned) statefulSet(sts *appsv1.StatefulSet) {
	if cluster.ForeignOwner(sts) != nil {
		w.dependents = append(w.dependents, &dependent{uid: sts.UID, namespace: sts.Namespace, owners: sts.OwnerReferences,
			set: sts.Name})
	}
}

func (w *owned) claim(v *cluster.View, pvc *corev1.PersistentVolumeClaim, c Claim) {
	of, _ := cluster.ClaimsOf(v, pvc) // the inventory names the kinds that are not known
	claim := ownedClaim{Claim: c, owners: pvc.OwnerReferences}
	foreign := cluster.ForeignOwner(pvc) != nil
	for _, o := range of {
		sts := o.StatefulSet
		foreign = foreign || cluster.ForeignOwner(sts) != nil
		claim.sets = append(claim.sets, sts.UID)
		p := sts.Spec.PersistentVolumeClaimRetentionPolicy
		if p != nil && p.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType && o.InRange() {
			claim.with = append(claim.with, sts.UID)
		}
	}
	if foreign {
		w.claims = append(w.claims, claim)
	}
}

// resolve looks up the owners and their owners. It returns each owner with its
// dependents, and the errors of kinds that could not be listed. If an owner could
// not be looked up, only the ownerReferences of its dependents describe it.
func (w *owned) resolve(lookup Lookup) (owners []Owner, unread []string) {
	found := map[types.UID]*Owner{}
	kinds := map[schema.GroupVersionKind]map[types.UID]*metav1.PartialObjectMetadata{}
	var climb func(namespace string, refs []metav1.OwnerReference)
	climb = func(namespace string, refs []metav1.OwnerReference) {
		for _, ref := range refs {
			if found[ref.UID] != nil || !cluster.IsForeign(ref) {
				continue
			}
			kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
			items, listed := kinds[kind]
			if !listed {
				list, err := lookup(kind)
				if err == nil {
					items = map[types.UID]*metav1.PartialObjectMetadata{}
				} else {
					unread = append(unread, fmt.Sprintf("%s: %v", kind.GroupKind(), err))
				}
				for i := range list {
					items[list[i].UID] = &list[i]
				}
				kinds[kind] = items
			}
			o := &Owner{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: namespace, Name: ref.Name,
				StatefulSets: []string{}, Claims: []OwnedClaim{}}
			found[ref.UID] = o
			if items == nil {
				continue
			}
			m := items[ref.UID]
			if m == nil {
				o.Gone = true
				continue
			}
			o.Namespace, o.Finalizers = m.Namespace, m.Finalizers
			w.dependents = append(w.dependents, &dependent{uid: ref.UID, namespace: m.Namespace, owners: m.OwnerReferences})
			climb(m.Namespace, m.OwnerReferences)
		}
	}
	for _, d := range slices.Clone(w.dependents) {
		climb(d.namespace, d.owners)
	}
	for i := range w.claims {
		climb(w.claims[i].Namespace, w.claims[i].owners)
	}
	for uid, o := range found {
		w.deleted(o, uid, found)
		if len(o.Claims) > 0 {
			owners = append(owners, *o)
		}
	}
	slices.SortFunc(owners, func(a, b Owner) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Namespace, b.Namespace),
			strings.Compare(a.Kind, b.Kind),
			strings.Compare(a.Name, b.Name), strings.Compare(a.APIVersion, b.APIVersion))
	})
	slices.Sort(unread)
	return owners, unread
}

// deleted fills in the objects that the garbage collector deletes after an owner:
// it deletes an object when none of its owners exists any longer.
func (w *owned) deleted(o *Owner, uid types.UID, found map[types.UID]*Owner) {
	goes := map[types.UID]bool{uid: true}
	all := func(refs []metav1.OwnerReference) bool {
		depends := false
		for _, ref := range refs {
			depends = depends || goes[ref.UID]
			if !goes[ref.UID] && (found[ref.UID] == nil || !found[ref.UID].Gone) {
				return false
			}
		}
		return depends
	}
	for grown := true; grown; {
		grown = false
		for _, d := range w.dependents {
			if !goes[d.uid] && all(d.owners) {
				goes[d.uid], grown = true, true
				if d.set != "" {
					o.StatefulSets = append(o.StatefulSets, d.set)
				}
			}
		}
	}
	var volumes []string
	for i := range w.claims {
		c := &w.claims[i]
		depends := slices.ContainsFunc(c.owners, func(ref metav1.OwnerReference) bool { return goes[ref.UID] }) ||
			slices.ContainsFunc(c.sets, func(uid types.UID) bool { return goes[uid] })
		if !depends {
			continue
		}
		with := len(c.owners) == 0 && slices.ContainsFunc(c.with, func(uid types.UID) bool { return goes[uid] })
		claim := OwnedClaim{Namespace: c.Namespace, Name: c.Name, Volume: c.Volume, Capacity: c.Capacity, Bytes: c.Bytes,
			Goes: with || all(c.owners), Fate: c.Fate}
		o.Claims = append(o.Claims, claim)
		if claim.Goes && claim.Fate == Destroyed {
			o.Bytes += c.Bytes
			volumes = append(volumes, c.Volume)
		}
	}
	slices.Sort(o.StatefulSets)
	slices.SortFunc(o.Claims, func(a, b OwnedClaim) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	if slices.Sort(volumes); len(volumes) > 0 {
		o.Remedy = fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`,
			strings.Join(volumes, " "))
	}
}
