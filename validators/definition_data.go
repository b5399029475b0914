package validators

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"stayput.dev/cluster"
)

var definitionData = &Rule{
	Name:      "definition-data",
	Level:     Deny,
	Loses:     LosesData,
	SavesData: true,
	Reads: []cluster.Object{&appsv1.StatefulSet{}, &corev1.Namespace{}, &corev1.PersistentVolume{},
		&corev1.PersistentVolumeClaim{}, &corev1.Pod{}},
	Doc: `a CustomResourceDefinition must not be deleted with volumes that go with it

Deleting a CustomResourceDefinition deletes every custom resource of its kind, in
all namespaces, and nobody is asked about these. The garbage collector then
deletes what they own: claims, and with each claim the volume whose reclaim
policy is Delete. The rule therefore denies the deletion where a claim goes with
custom resources of the kind: they own it, as controller or not, or they own the
StatefulSet that owns it (persistentVolumeClaimRetentionPolicy). A claim that
something else owns, too, is not deleted. --cascade=orphan changes nothing: it
spares what the definition owns, and that is not its custom resources.

Set the volumes to Retain first; they stay, Released, when the claims are
deleted. If the data may be deleted, annotate the volumes with
stayput.dev/reclaim-policy: Delete (or their claims or Namespaces); the rule then
ignores them. It ignores claims that are being deleted, or whose Namespace is.

Claims of a custom resource that one of another kind owns, and what an operator
deletes itself, are not known here. stayput audit lists what goes with each
custom resource. The mode is that of the configuration: a definition is in no
namespace.`,

	Exempt: "its custom resources are a test's, and their data goes with them",

	Checks: []Check{OnDelete(func(p *Pass, crd *cluster.CustomResourceDefinition) error {
		doomed, err := doomedWith(p.Cluster, crd.Defines())
		if err != nil || len(doomed) == 0 {
			return err
		}
		volumes, size := volumesOf(doomed)
		first := doomed[0].claim
		others := map[string]bool{} // namespaces beside the first
		nearby := 0                 // how many are in that one, which come first
		for _, d := range doomed {
			if d.claim.Namespace == first.Namespace {
				nearby++
			} else {
				others[d.claim.Namespace] = true
			}
		}
		what := fmt.Sprintf("must stay: with its custom resources the volume (%s) of %s/%s is destroyed", &size,
			first.Namespace, first.Name)
		if len(doomed) > 1 {
			what = fmt.Sprintf("must stay: with its custom resources the volumes (%s) of %d claims are destroyed, such as %s/%s",
				&size, len(doomed), first.Namespace, first.Name)
		}
		keep := retainAll(first.Namespace, volumes[:nearby])
		if len(others) > 0 {
			keep += fmt.Sprintf(", and likewise in %d more namespaces", len(others))
		}
		p.Report(field.Forbidden(namePath, what), keep, "; or, to lose them, "+annotateGo(volumes))
		if len(doomed) == 1 {
			p.Briefly(keep)
		}
		p.Loses(volumes...)
		return nil
	})},
}

// doomedWith returns, by namespace and name, the doomed claims that the garbage
// collector deletes once no custom resource of a kind is left. Where they are, the
// cache says: the API server would have to list the claims of all namespaces.
func doomedWith(v *cluster.View, kind schema.GroupKind) (all []doomedClaim, err error) {
	claims, err := cluster.List[corev1.PersistentVolumeClaimList](v.Cached(), cluster.Selection{})
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	var namespaces []string
	for i := range claims.Items {
		goes, err := claimGoesWith(v.Cached(), kind, &claims.Items[i])
		if err != nil {
			return nil, err
		}
		if goes {
			namespaces = append(namespaces, claims.Items[i].Namespace)
		}
	}
	slices.Sort(namespaces)
	for _, name := range slices.Compact(namespaces) {
		ns, err := cluster.Get[corev1.Namespace](v, "", name)
		if err != nil {
			return nil, fmt.Errorf("get Namespace %s: %w", name, err)
		}
		if terminating(ns) {
			continue
		}
		doomed, _, err := doomedIn(v, name)
		if err != nil {
			return nil, err
		}
		for _, d := range doomed {
			goes, err := claimGoesWith(v, kind, d.claim)
			if err != nil {
				return nil, err
			}
			if goes {
				all = append(all, d)
			}
		}
	}
	return all, nil
}

// claimGoesWith says whether a claim goes with the custom resources of a kind. What
// a Pod owns is made to go with the Pod.
func claimGoesWith(v *cluster.View, kind schema.GroupKind, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if slices.ContainsFunc(pvc.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "Pod" }) {
		return false, nil
	}
	return goesWith(v, kind, pvc.Namespace, pvc.OwnerReferences, 0)
}

// goesWith says whether the garbage collector deletes what has these owners once no
// custom resource of a kind is left: none of its owners stays. The owners of a
// StatefulSet, and of the Pod that leads its group, are looked up.
func goesWith(v *cluster.View, kind schema.GroupKind, namespace string, owners []metav1.OwnerReference,
	depth int) (bool, error) {
	if depth > 4 { // of a loop, too
		return false, nil
	}
	goes := false
	for _, o := range owners {
		gv, err := schema.ParseGroupVersion(o.APIVersion)
		if err != nil {
			return false, nil
		}
		var owner metav1.Object
		switch (schema.GroupKind{Group: gv.Group, Kind: o.Kind}) {
		case kind:
			goes = true
			continue
		case schema.GroupKind{Group: appsv1.GroupName, Kind: "StatefulSet"}:
			sts, lost := cluster.Get[appsv1.StatefulSet](v, namespace, o.Name)
			if err = lost; sts != nil {
				owner = sts
			}
		case schema.GroupKind{Kind: "Pod"}:
			pod, lost := cluster.Get[corev1.Pod](v, namespace, o.Name)
			if err = lost; pod != nil {
				owner = pod
			}
		default:
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("get %s %s: %w", o.Kind, o.Name, err)
		}
		if owner == nil || owner.GetUID() != o.UID {
			continue // it is gone already
		}
		its, err := goesWith(v, kind, namespace, owner.GetOwnerReferences(), depth+1)
		if err != nil || !its {
			return false, err
		}
		goes = true
	}
	return goes, nil
}
