package validators

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// Cause identifies the problem that a finding about obj describes, if a finding
// about another object may describe the same one: a StatefulSet and the Service
// that it names. Empty means that no other finding can. If both objects are
// reviewed, one of the two findings is enough, and the one that yields is
// dropped: the StatefulSet's author chose the Service, and can no longer choose
// another once both exist.
func (f Finding) Cause(obj cluster.Object) (cause string, yields bool) {
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
