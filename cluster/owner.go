package cluster

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ForeignController returns the controller of an object, according to its
// ownerReferences, if that is an operator's, or else nil. It is an operator's
// if it is a custom resource, with an API group that is none of Kubernetes'
// own. It also is if Kubernetes' own controllers never make objects of this
// kind (LeaderWorkerSet has each leader's Pod control the StatefulSet of its
// workers). Nothing is looked up, and anybody who may write the object may
// write the reference: use it to choose the reader of a message, never to
// permit that something is destroyed. The result must not be edited.
func ForeignController(obj metav1.Object) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(obj)
	if owner == nil || !IsForeign(*owner) && !madeByOperatorsAlone(obj) {
		return nil
	}
	return owner
}

// madeByOperatorsAlone says whether any controller of an object of this kind
// must be an operator's.
func madeByOperatorsAlone(obj metav1.Object) bool {
	switch obj.(type) {
	case *appsv1.StatefulSet, *appsv1.Deployment:
		return true
	}
	return false
}

// ForeignOwner returns an owner of the object with an API group that is none of
// Kubernetes' own: its controller if that is one, or else the first, or nil.
// The garbage collector deletes the object with such an owner, controller or
// not. The result must not be edited.
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

// IsForeign says whether the API group of an owner is none of Kubernetes' own.
func IsForeign(owner metav1.OwnerReference) bool {
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	return err == nil && !Scheme().IsGroupRegistered(gv.Group) && !slices.Contains(ownGroups, gv.Group)
}

// ownGroups are groups that every API server serves but that the scheme lacks.
var ownGroups = []string{"apiregistration.k8s.io"}
