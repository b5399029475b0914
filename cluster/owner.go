package cluster

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// ForeignController returns the controller of an object, as its ownerReferences
// have it, if that is an operator's: a custom resource, whose API group is none of
// Kubernetes' own, or whatever controls a kind of which none of Kubernetes' own
// controllers makes any (LeaderWorkerSet has each leader's Pod control the
// StatefulSet of its workers). Else it returns nil. Nothing is looked up, and
// whoever may write the object may write the reference: it says whom to speak to,
// and is no ground for letting anything be destroyed. The result must not be
// edited.
func ForeignController(obj metav1.Object) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(obj)
	if owner == nil || !IsForeign(*owner) && !madeByOperatorsAlone(obj) {
		return nil
	}
	return owner
}

// madeByOperatorsAlone says whether an object that is controlled at all is so by
// an operator.
func madeByOperatorsAlone(obj metav1.Object) bool {
	switch obj.(type) {
	case *appsv1.StatefulSet, *appsv1.Deployment:
		return true
	}
	return false
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
