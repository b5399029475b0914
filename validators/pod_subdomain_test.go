package validators

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
)

// The API server takes no status from the client that creates a Pod, so this is only
// for audit.
func TestPodSubdomainOfPodThatIsDone(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "done", Namespace: "default"},
		Spec:       corev1.PodSpec{Subdomain: "nowhere"},
		Status:     corev1.PodStatus{Phase: corev1.PodSucceeded},
	}
	v := cluster.Environment{Source: &cluster.Snapshot{Complete: true}}.View(context.Background(), cluster.Request{})
	if found, undecided := Review(v, []*Rule{podSubdomain}, nil, pod); len(found)+len(undecided) > 0 {
		t.Errorf("nobody looks up a Pod that is done: %v %v", found, undecided)
	}
	pod.Status.Phase = corev1.PodRunning
	if found, _ := Review(v, []*Rule{podSubdomain}, nil, pod); len(found) != 2 {
		t.Errorf("a hostname and a Service are missing: %v", found)
	}
}
