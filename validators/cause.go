package validators

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cause names what a finding about obj is about, where a finding about another
// object may be about the same: a StatefulSet and the Service that it names. Empty
// means that no other can be. Where both objects are reviewed, one of the two
// findings is enough, and the one that yields goes: the author of the StatefulSet
// chose the Service, and cannot choose again once both are there.
func (f Finding) Cause(obj client.Object) (cause string, yields bool) {
	switch o := obj.(type) {
	case *appsv1.StatefulSet:
		of := o.Namespace + "/" + o.Spec.ServiceName
		switch f.Rule.Name {
		case statefulsetServiceHeadless.Name:
			return "address of " + of, false
		case statefulsetServiceSelector.Name:
			return "selector of " + of, false
		}
	case *corev1.Service:
		if f.Rule.Name != serviceGoverning.Name {
			break
		}
		if strings.HasPrefix(f.Field, "spec.selector") {
			return "selector of " + o.Namespace + "/" + o.Name, true
		}
		return "address of " + o.Namespace + "/" + o.Name, true
	}
	return "", false
}
