package e2e

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const protect = "stayput.dev/protect"

// TestWhatIsProtectedIsNotDeleted labels an object of each kind, and asks for its
// deletion in every way.
func TestWhatIsProtectedIsNotDeleted(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pv := database(t, ns, 1)
	letGo(t, pv)
	labelled := [][]string{{"statefulset", "mysql", "-n", ns}, {"pvc", "data-mysql-0", "-n", ns}, {"pv", pv[0]},
		{"namespace", ns}}
	for _, object := range labelled {
		kubectl(t, append(append([]string{"label"}, object...), protect+"=true")...)
	}
	for _, object := range labelled {
		fix := "kubectl label " + strings.Join(object, " ") + " " + protect + "-"
		for _, how := range [][]string{
			{}, {"--dry-run=server"}, {"--cascade=orphan"}, {"--force", "--grace-period=0"},
			{"--as=system:serviceaccount:argocd:argocd-application-controller", "--as-group=system:masters"},
		} {
			out := denied(t, "protected", append(append([]string{"delete"}, object...), how...)...)
			contains(t, out, "must be taken off first", fix)
		}
	}
	apps := env.client.AppsV1().StatefulSets(ns)
	if err := apps.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err == nil {
		t.Error("a collection was deleted")
	} else {
		contains(t, err.Error(), "protected: ")
	}

	// A set goes down in no other way either.
	scale := []string{"scale", "statefulset", "mysql", "-n", ns}
	for _, as := range [][]string{nil, {"--as=system:serviceaccount:kube-system:horizontal-pod-autoscaler",
		"--as-group=system:masters"}} {
		contains(t, denied(t, "protected", append(append(scale, "--replicas=0"), as...)...), "must be at least 1")
		for _, patch := range []string{`{"spec":{"replicas":0}}`,
			`{"metadata":{"labels":{"stayput.dev/protect":null}},"spec":{"replicas":0}}`} {
			denied(t, "protected", append([]string{"patch", "statefulset", "mysql", "-n", ns, "-p", patch}, as...)...)
		}
	}
	kubectl(t, append(scale, "--replicas=2")...)

	// Without the label all goes.
	kubectl(t, append(append([]string{"label"}, labelled[0]...), protect+"-")...)
	kubectl(t, append(scale, "--replicas=0")...)
	gone(t, "pod", "-n", ns)
	kubectl(t, append([]string{"delete"}, labelled[0]...)...)
	for _, object := range labelled[1:3] {
		kubectl(t, append(append([]string{"label"}, object...), protect+"-")...)
	}
	kubectl(t, append([]string{"delete"}, labelled[1]...)...)
	denied(t, "protected", "delete", "namespace", ns)
	kubectl(t, "label", "namespace", ns, "stayput.dev/mode=warn")
	contains(t, kubectl(t, "delete", "namespace", ns, "--dry-run=server"), "Warning: protected: ")
	kubectl(t, "label", "namespace", ns, protect+"-")
	kubectl(t, "delete", "namespace", ns)
}

// TestProtectionHoldsNoTeardownBack deletes what owns labelled objects, and the
// namespace in which they are.
func TestProtectionHoldsNoTeardownBack(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pv := database(t, ns, 2, "  replicas: 2",
		"  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}\n  replicas: 2")
	letGo(t, pv)
	output(t, "StatefulSet", "get", "pvc", "data-mysql-0", "-n", ns, "-o", "jsonpath={.metadata.ownerReferences[*].kind}")
	kubectl(t, "label", "pvc", "data-mysql-0", "-n", ns, protect+"=true")
	denied(t, "protected", "delete", "pvc", "data-mysql-0", "-n", ns)
	kubectl(t, "delete", "statefulset", "mysql", "-n", ns)
	gone(t, "pvc", "-n", ns)

	more := database(t, ns, 1)
	letGo(t, more)
	kubectl(t, "label", "pvc,statefulset", "--all", "-n", ns, protect+"=true")
	kubectl(t, "delete", "namespace", ns)
	output(t, "Released", "get", "pv", more[0], "-o", "jsonpath={.status.phase}")
}
