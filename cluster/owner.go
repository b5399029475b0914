package cluster

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// ForeignController returns the controller of an object, as its ownerReferences
// have it, if that is of none of Kubernetes' own API groups: the custom resource
// of an operator. Else it returns nil. Nothing is looked up, and whoever may
// write the object may write the reference: it says whom to speak to, and is no
// ground for letting anything be destroyed. The result must not be edited.
func ForeignController(obj metav1.Object) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(obj)
	if owner == nil || !IsForeign(*owner) {
		return nil
	}
	return owner
}

// ForeignOwner returns the owner of an object that is of none of Kubernetes' own
// API groups: its controller if that is one, else the first such, else nil. The
// garbage collector deletes the object with it, controller or not. The result
// must not be edited.
func ForeignOwner(obj metav1.Object) *metav1.OwnerReference {
	if owner := ForeignController(obj); owner != nil {
		return owner
	}
	owners := obj.GetOwnerReferences()
	for i := range owners {
		if IsForeign(owners[i]) {
			return &owners[i]
		}
	}
	return nil
}

// IsForeign says whether an owner is of none of Kubernetes' own API groups.
func IsForeign(owner metav1.OwnerReference) bool {
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	return err == nil && !scheme.Scheme.IsGroupRegistered(gv.Group) && !slices.Contains(ownGroups, gv.Group)
}

// ownGroups are the groups that every API server serves, and the scheme does not
// know.
var ownGroups = []string{"apiextensions.k8s.io", "apiregistration.k8s.io"}
